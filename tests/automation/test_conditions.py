"""A query of one platform never reads another, however it is written; and no text breaks the check."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automation.conditions import (
    COMPARE,
    MAX_QUERY,
    ConditionError,
    check_comparison,
    check_promql,
    holds,
    lingers,
)
from automation.models import Job

OWN = 'platform_id="7"'

GOOD = [
    'up{platform_id="7"}',
    "up{platform_id='7'}",
    "up{platform_id=`7`}",
    'up{platform_id="\\x37"}',
    '  up{platform_id="7"}\n',
    'up{platform_id="7"} # a comment',
    'up{platform_id="7"} # platform_id="8"\n == 0',
    'up{platform_id="7"}\r\n== 0',
    '{__name__="up", platform_id="7"}',
    '{__name__=~"up|down", platform_id="7"}',
    '{"platform_id"="7"}',
    'up{platform_id="7", mac=~"aa.*"}',
    'up{platform_id="7", platform_id=~".+"}',
    'max_over_time(up{platform_id="7"}[5m]) < 1',
    'max_over_time(up{platform_id="7"}[5m:1m])',
    'avg by (mac) (up{platform_id="7"}) > 0.5',
    'topk(3, up{platform_id="7"})',
    'up{platform_id="7"} and on(mac) down{platform_id="7"}',
    'up{platform_id="7"} * on(mac) group_left(name) info_of{platform_id="7"}',
    'up{platform_id="7"} or vector(1)',
    'up{platform_id="7"} offset 5m',
    'up{platform_id="7"} @ end()',
    '-(up{platform_id="7"})',
    'label_replace(up{platform_id="7"}, "hall", "$1", "name", "(.*)")',
    'label_join(up{platform_id="7"}, "both", "-", "name", "mac")',
    'absent(up{platform_id="7"})',
    'time() - last_online_seconds{platform_id="7"} > 600',
    'histogram_quantile(0.9, rate(x_bucket{platform_id="7"}[5m]))',
]

HOSTILE = [
    # nothing of the platform in it
    "up", "{}", '{__name__=~".+"}', '{__name__!=""}', "1", '"a string"', "vector(1)", "time()", "scalar(vector(1))",
    # somebody else's
    'up{platform_id="8"}', 'up{platform_id="70"}', 'up{platform_id=" 7"}', 'up{platform_id="7 "}', 'up{platform_id=""}',
    'up{platform_id="٧"}', 'up{exported_platform_id="7"}', 'up{Platform_id="7"}', 'up{platform_id="7\\n"}',
    # not an equality
    'up{platform_id=~"7"}', 'up{platform_id=~"7|8"}', 'up{platform_id!="8"}', 'up{platform_id!~"8"}',
    'up{platform_id=~".*7.*"}',
    # one selector of several
    'up{platform_id="7"} or up', 'up or up{platform_id="7"}', 'up{platform_id="7"} + on() up{platform_id="8"}',
    'up{platform_id="7"} and up', 'up{platform_id="7"} unless down', 'sum(up{platform_id="7"}) / sum(up)',
    'up{platform_id="7"} or on() {mac="x"}', 'quantile(scalar(up), up{platform_id="7"})',
    'topk(scalar(up), up{platform_id="7"})', 'clamp_max(up{platform_id="7"}, scalar(up))',
    'up{platform_id="7"} == bool on() group_left() up', '-up or up{platform_id="7"}', '(((up))) or up{platform_id="7"}',
    'max_over_time(up[5m]) or up{platform_id="7"}', 'max_over_time((up or up{platform_id="7"})[5m:1m])',
    'absent(up) or up{platform_id="7"}', 'up{platform_id="7"} offset 1m or up offset 1m',
    'label_replace(up, "a", "b", "c", "d") or up{platform_id="7"}', 'predict_linear(up[1h], 3600) or up{platform_id="7"}',  # noqa: E501
    # or between matchers
    'up{platform_id="7" or platform_id="8"}', 'up{platform_id="7" or mac="x"}', 'up{mac="x" or platform_id="7"}',
    'up{platform_id="7" or platform_id="7"}',
    # labels that tell devices apart are written
    'label_replace(up{platform_id="7"}, "mac", "aa:bb", "", "")',
    'label_replace(up{platform_id="7"}, "platform_id", "8", "", "")',
    'label_replace(up{platform_id="7"}, "exported_platform_id", "8", "", "")',
    'label_replace(up{platform_id="7"}, "exporter_id", "9", "", "")',
    'label_replace(up{platform_id="7"}, "device_id", "9", "", "")',
    'label_replace(up{platform_id="7"}, ("mac"), "x", "", "")',
    'label_join(up{platform_id="7"}, "mac", "", "name")', 'label_join(up{platform_id="7"}, "device_id", "-", "a", "b")',
    'sum(label_replace(up{platform_id="7"}, "mac", "x", "", ""))',
    'count_values("mac", up{platform_id="7"})', 'count_values without (a) ("platform_id", up{platform_id="7"})',
    'COUNT_VALUES("mac", up{platform_id="7"})',
    # series that the query does not name
    'info(up{platform_id="7"})', 'info(up{platform_id="7"}, {platform_id="7"})',
    # no instant vector
    'up{platform_id="7"}[5m]', 'up{platform_id="7"}[5m:1m]', '(up{platform_id="7"}[5m])', '((up{platform_id="7"}[5m:1m]))',  # noqa: E501
    # hidden in comments, strings and line ends
    '# up{platform_id="7"}', '# up{platform_id="7"}\nup', 'up{platform_id="7"} # \r or up', 'up{platform_id="7"} #\n or up',  # noqa: E501
    'up{mac="platform_id=\\"7\\""}', 'up{mac=`platform_id="7"`}', "'up{platform_id=\"7\"}'",
    # unbalanced, broken, strange
    "", "   ", "\n", "(", ")", "{", "}", 'up{platform_id="7"', 'up{platform_id="7}', 'up{platform_id=7}', "up{platform_id}",  # noqa: E501
    'up{platform_id="7"}}', '(up{platform_id="7"}', 'up{platform_id="7"} or', 'up{platform_id="7"}[', 'up{platform_id="7"} @',  # noqa: E501
    'up{platform_id="7"} offset', 'sum by (', 'rate(up{platform_id="7"})', 'nosuch(up{platform_id="7"})', "DROP TABLE jobs",  # noqa: E501
    'up{platform_id="7"}\x00', '\x00', 'up\ud800{platform_id="7"}', 'up{platform_id="7", mac=~"("}', "\u202eup", "🙂",
    'up{platform_id="7"} + "a"', '"a" + up{platform_id="7"}', '1e999', "0x", 'up{platform_id="7"}[99999999999y]',
    # large
    "up" * 3000, "(" * 1990 + "up" + ")" * 1990, "-" * 3990 + "up", "+".join(["up"] * 1300), "abs(" * 700 + "up" + ")" * 700,  # noqa: E501
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "op", "threshold", "clear", "field"),
    [
        ("number", ">", 80, 70, None),
        ("number", ">", 80, 80, None),
        ("number", "<=", 10, 15, None),
        ("number", "!=", 0, None, None),
        ("state", "==", 0, None, None),
        ("state", ">", 0, None, "operator"),
        ("state", "==", 0, 1, "clear_threshold"),
        ("number", "==", 0, 1, "clear_threshold"),
        ("number", ">", 80, 81, "clear_threshold"),
        ("number", "<", 10, 9, "clear_threshold"),
        ("number", ">", float("nan"), None, "threshold"),
        ("number", ">", 1, float("inf"), "clear_threshold"),
    ],
)
def test_a_comparison_is_checked_by_the_kind_of_its_value(
    kind: str, op: str, threshold: float, clear: float | None, field: str | None
) -> None:
    if field is None:
        check_comparison(kind, op, threshold, clear)
        return
    with pytest.raises(ConditionError) as refused:
        check_comparison(kind, op, threshold, clear)
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("op", "clear", "value", "said"),
    [
        (">", 70, 75, True), (">", 70, 70, False), (">", None, 75, False), ("<", 15, 12, True), ("<=", 15, 15, False),
        (">", 70, float("nan"), False),
    ],
)  # fmt: skip
def test_between_the_thresholds_a_value_lingers(
    op: str, clear: float | None, value: float, said: bool
) -> None:
    assert lingers(value, op, clear) is said


def test_there_are_enough_of_each() -> None:
    assert len(HOSTILE) >= 100
    assert len(set(HOSTILE)) == len(HOSTILE)


@pytest.mark.parametrize("query", GOOD)
def test_a_query_of_the_own_platform_is_taken(query: str) -> None:
    check_promql(query, platform_id=7)


@pytest.mark.parametrize("query", HOSTILE, ids=[str(number) for number in range(len(HOSTILE))])
def test_a_hostile_query_gets_a_sentence(query: str) -> None:
    with pytest.raises(ConditionError) as refused:
        check_promql(query, platform_id=7)

    assert len(str(refused.value)) > 10


@pytest.mark.parametrize("query", GOOD)
def test_what_one_platform_may_ask_another_may_not(query: str) -> None:
    with pytest.raises(ConditionError):
        check_promql(query, platform_id=77)


@pytest.mark.parametrize(
    "query",
    ["(" * 1900 + f"up{{{OWN}}}" + ")" * 1900, "-" * 3900 + f"up{{{OWN}}}", "+".join([f"up{{{OWN}}}"] * 150)],
    ids=["parens", "minus", "plus"],
)
def test_a_deep_query_is_read_to_its_end(query: str) -> None:
    assert len(query) <= MAX_QUERY
    check_promql(query, platform_id=7)


@pytest.mark.parametrize("wrapped", ["({})", "-{}", "sum({})", "abs({})", "{} + 1", "1 + {}", "topk(1, {})"])
@pytest.mark.parametrize("leak", ["up", 'up{platform_id="8"}', 'up{platform_id=~"7"}', '{mac="x"}'])
def test_a_leak_is_found_wherever_it_hides(wrapped: str, leak: str) -> None:
    for hidden in (
        wrapped.format(leak),
        f"up{{{OWN}}} or {wrapped.format(leak)}",
        wrapped.format(wrapped.format(leak)),
    ):
        with pytest.raises(ConditionError):
            check_promql(hidden, platform_id=7)


words = st.sampled_from(
    ["up", "{", "}", "(", ")", "[5m]", OWN, 'platform_id="8"', " or ", " and ", ",", "=~", '"7"', "sum", "rate", "by", "#",  # noqa: E501
     "\n", "offset 1m", "@ 1", "label_replace", "mac", "+", "-", "vector(1)", "\x00", "é"]
)  # fmt: skip


@given(parts=st.lists(words, max_size=25))
def test_no_text_at_all_breaks_the_check(parts: list[str]) -> None:
    try:
        check_promql(" ".join(parts), platform_id=7)
    except ConditionError:
        return

    assert OWN in " ".join(parts)


@given(text=st.text(max_size=60))
def test_no_characters_break_the_check(text: str) -> None:
    with pytest.raises(ConditionError):
        check_promql(text, platform_id=7)


# --- thresholds ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "operator", "threshold", "expected"),
    [
        (0, "==", 0, True), (1, "==", 0, False), (1, "!=", 0, True), (0.5, "<", 1, True), (1, "<", 1, False),
        (1, "<=", 1, True), (1, ">=", 1, True), (2, ">", 1, True), (float("inf"), ">", 1, True),
        (float("-inf"), ">", 1, False), (float("nan"), ">", 1, None), (float("nan"), "!=", 1, None),
        (float("nan"), "==", 0, None),
    ],
)  # fmt: skip
def test_a_value_is_compared_and_nan_says_nothing(
    value: float, operator: str, threshold: float, expected: bool | None
) -> None:
    assert holds(value, operator, threshold) is expected


def test_every_operator_of_a_job_can_be_compared() -> None:
    assert set(Job.Operator.values) == set(COMPARE)
