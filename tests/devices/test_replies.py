"""What a device said: known replies make a verdict, unknown ones never a guess."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices import catalogue
from devices.catalogue import TemplateSpec, load_catalogue
from devices.replies import MAX_TEXT, ReplyRule, ReplyRuleError, ReplyVerdict, load_rules, read_reply
from devices.services.templates import shipped_models

FIXTURES = Path(__file__).parent.parent / "fixtures" / "sockets"
SHIPPED = json.loads((catalogue.DATA / "replies" / "simpal.json").read_text(encoding="utf-8"))
RULES = load_rules(SHIPPED)
ALL_RULES = {model["code"]: model["rules"] for model in shipped_models()}
MODELS = {"simpal_d210": "D210", "gsm_power_socket_oem": "GSM-SOCKET", "isocket_706_707": "ISOCKET-706"}
NAMES = {"out1": "state", "temperature_c": "temperature"}  # of facts: ours, the fixture's
ROWS = [json.loads(line) for line in (FIXTURES / "replies.jsonl").read_text(encoding="utf-8").splitlines()]
SPECS = {(spec.model, spec.key): spec for spec in load_catalogue()}
CYCLE = SPECS["D210", "power_cycle"]


def awaited(key: str, model: str = "D210") -> TemplateSpec:
    return SPECS[model, key]


def read(text: str, awaiting: TemplateSpec | None = None, **sent: object) -> ReplyVerdict:
    return read_reply(text, RULES, awaiting=awaiting, sent=sent or None)


def rule(**changes: object) -> ReplyRule:
    return ReplyRule.from_dict({"name": "some", "pattern": "A", "verdict": "info"} | changes)


# --- the fixture: three vendors


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["text"][:30])
def test_every_reply_of_the_fixture_is_read(row):
    model = MODELS[row["vendor"]]
    rules = load_rules(ALL_RULES[model])
    expected = {key: value for key, value in row["expect"].items() if key != "note"}
    secret = expected.pop("secret_in_text", False)
    awaiting = (
        SPECS[model, "register_admin" if model != "ISOCKET-706" else "power_on"]
        if "error" in expected
        else None
    )

    verdict = read_reply(row["text"], rules, awaiting=awaiting)

    known = {NAMES.get(name, name): value for name, value in verdict.facts.items()}
    known |= {"for_minutes": verdict.echoes.get("minutes")}
    known["error" if verdict.kind == "refused" else "event"] = verdict.reason
    assert {key: known.get(key) for key in expected} == expected
    assert verdict.kind == {"error": "refused", "event": "event"}.get(next(iter(expected)), "info")
    assert ("1234" in verdict.masked_text) is False
    assert secret is ("****" in verdict.masked_text)


def test_function_on_is_not_taken_for_the_state_of_the_output():
    rules = load_rules(ALL_RULES["GSM-SOCKET"])

    verdict = read_reply("Temperature alert: function ON\nMin Temp.:20\nMax Temp.:30.", rules, awaiting=None)

    assert verdict.facts == {"temp_alarm": "on", "temp_low": 20, "temp_high": 30}


# --- verdicts of the shipped rules


@pytest.mark.parametrize(
    ("text", "model", "key", "facts"),
    [
        ("OUT1 ON", "D210", "power_on", {"out1": "on"}),
        ("OUT1 OFF", "D210", "power_off", {"out1": "off"}),
        ("OUT1 OFF 5 MIN", "D210", "power_cycle", {}),
        ("OUT1 ON 5 MIN", "D210", "power_on_for", {}),
        ("OUT2 ON", "D410", "power_on_line2", {"out2": "on"}),
        ("OUT1 ON; OUT2 ON", "D410", "power_on_all", {"out1": "on", "out2": "on"}),
        ("OUT1 OFF; OUT2 OFF", "D410", "power_off_all", {"out1": "off", "out2": "off"}),
        ("OK", "D410", "on_after_line1", {}),
        ("OK", "D210", "mains_sms_on", {}),
        (
            "OUT1 ON; T=23C; MAINS OK; GSM 21",
            *("D210", "status"),
            {"out1": "on", "temperature_c": 23, "mains": "ok", "gsm_csq": 21},
        ),
        (
            "OUT1 ON; OUT2 OFF; T=-4C; MAINS LOST; GSM 9",
            *("D410", "status"),
            {"out1": "on", "out2": "off", "temperature_c": -4, "mains": "lost", "gsm_csq": 9},
        ),
    ],
)
def test_the_answer_to_what_was_asked_confirms_it(text, model, key, facts):
    verdict = read(f"  {text}\r\n", awaited(key, model))

    assert (verdict.kind, verdict.facts, verdict.answers) == ("confirmed", facts, True)
    assert verdict.masked_text == text


@pytest.mark.parametrize(
    "text", ["OUT1 ON", "OUT1 OFF 5 MIN", "OK", "ERR FORMAT", "OUT1 ON; T=23C; MAINS OK; GSM 21"]
)
def test_nothing_is_confirmed_or_refused_when_nothing_is_awaited(text):
    verdict = read(text)

    assert (verdict.kind, verdict.answers, verdict.mismatch) == ("info", False, "not_awaited")


@pytest.mark.parametrize(
    ("text", "model", "key"),
    [
        ("OUT1 ON", "D210", "power_cycle"),
        ("OUT1 OFF", "D210", "power_cycle"),
        ("OUT1 ON", "D210", "power_off"),
        ("OK", "D210", "power_cycle"),
        ("OK", "D410", "power_on_line1"),
        ("OUT1 ON; T=23C; MAINS OK; GSM 21", "D210", "power_on"),
        ("Номер администратора уже зарегистрирован", "D210", "power_on"),
        ("ERR FULL", "D210", "power_on"),
    ],
)
def test_the_answer_to_something_else_is_only_information(text, model, key):
    verdict = read(text, awaited(key, model))

    assert (verdict.kind, verdict.answers, verdict.mismatch) == ("info", False, "other_command")


@pytest.mark.parametrize(
    ("text", "key"),
    [("OUT1 ON", "power_on_line2"), ("OUT2 ON", "power_on_all"), ("OUT1 ON; OUT2 ON", "power_on_line1")],
)
def test_the_answer_of_another_output_confirms_nothing(text, key):
    verdict = read(text, awaited(key, "D410"))

    assert (verdict.kind, verdict.mismatch) == ("info", "other_line")


def test_a_late_answer_about_other_minutes_confirms_nothing():
    late, own = read("OUT1 OFF 5 MIN", CYCLE, minutes=1), read("OUT1 OFF 5 MIN", CYCLE, minutes=5)

    assert (late.kind, late.mismatch, late.echoes) == ("info", "other_value", {"line": 1, "minutes": 5})
    assert (own.kind, own.mismatch) == ("confirmed", "")


@pytest.mark.parametrize(
    ("text", "reason", "key"),
    [
        ("ERR FORMAT", "bad_command", "power_cycle"),
        ("ERR NOT ADMIN", "not_authorised", "power_cycle"),
        ("Номер администратора уже зарегистрирован", "master_exists", "register_admin"),
        ("ERR PASSWORD", "not_authorised", "factory_reset"),
        ("ERR FULL", "list_full", "add_user"),
    ],
)
def test_a_refusal_of_what_was_asked_is_a_refusal(text, reason, key):
    verdict = read(text, awaited(key))

    assert (verdict.kind, verdict.reason, verdict.answers) == ("refused", reason, True)


@pytest.mark.parametrize(("text", "mains"), [("MAINS LOST", "lost"), ("MAINS OK", "ok")])
@pytest.mark.parametrize("awaiting", [None, CYCLE], ids=["nothing awaited", "cycle awaited"])
def test_a_mains_notice_is_an_event_and_answers_nothing(text, mains, awaiting):
    verdict = read(text, awaiting)

    assert (verdict.kind, verdict.facts, verdict.answers) == ("event", {"mains": mains}, False)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "OUT1",
        "OUT3 ON",
        "out1 on",
        "OUT1 ON OUT1 ON",
        "OUT1 OFF 5000 MIN",
        "Ваш баланс 12 р.",
        "ON OK",
        "OUT１ ON",
    ],
)
def test_an_unknown_text_is_answered_and_state_unknown(text):
    verdict = read(text, CYCLE)

    assert (verdict.kind, verdict.facts, verdict.answers) == ("unrecognised", {}, False)


def test_a_text_that_is_too_long_is_not_read_and_comes_back_cut():
    rules = [rule(pattern="A*")]

    assert read_reply("A" * MAX_TEXT, rules, awaiting=None).matched_rule == "some"
    verdict = read_reply("A" * (MAX_TEXT + 1), rules, awaiting=None)
    assert (verdict.kind, len(verdict.masked_text)) == ("unrecognised", MAX_TEXT)


def test_of_several_rules_the_one_that_answers_goes_first():
    rules = [
        rule(name="first", pattern="DONE"),
        rule(name="second", pattern="DONE", verdict="confirmed", answers={"powers": ["cycle"]}),
    ]

    assert read_reply("DONE", rules, awaiting=CYCLE).matched_rule == "second"
    assert read_reply("DONE", rules, awaiting=None).matched_rule == "first"


def test_a_value_outside_the_words_of_a_fact_is_another_reply():
    facts = {"state": {"group": "s", "type": "word", "words": {"ON": "on"}}}
    rules = [rule(pattern="STATE (?P<s>.{1,9})", facts=facts)]

    assert read_reply("STATE ON", rules, awaiting=None).facts == {"state": "on"}
    assert read_reply("STATE ODD", rules, awaiting=None).kind == "unrecognised"


def test_an_optional_group_that_is_absent_leaves_its_fact_out():
    rules = [rule(pattern="A(?: (?P<n>[0-9]+))?", facts={"n": {"group": "n", "type": "int"}, "seen": True})]

    assert read_reply("A", rules, awaiting=None).facts == {"seen": True}
    assert read_reply("A 7", rules, awaiting=None).facts == {"n": 7, "seen": True}


# --- secrets


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("Your Password is:1234..", "Your Password is:****.."),
        ("Новый пароль: 98ab", "Новый пароль: ****"),
        ("PIN=0000 accepted", "PIN=**** accepted"),
        ("Invalid access password!", "Invalid access password!"),
        ("OUT1 OFF 120 MIN", "OUT1 OFF 120 MIN"),
    ],
)
def test_passwords_are_masked_even_in_a_text_that_no_rule_knows(text, masked):
    assert read(text).masked_text == masked


def test_the_answer_to_a_command_with_a_secret_shows_no_numbers():
    reset = awaited("factory_reset")

    assert read("RESET BY 7788 DONE", reset).masked_text == "RESET BY **** DONE"
    assert read("ab12cd", replace(reset, key="other"), password="12").masked_text == "ab****cd"


def test_a_sensitive_rule_masks_every_number():
    rules = [rule(pattern="USERS .{0,99}", sensitive=True)]

    verdict = read_reply("USERS +79001234567 1:+79001234568", rules, awaiting=None)

    assert verdict.masked_text == "USERS +**** 1:+****"


# --- rules as data


@pytest.mark.parametrize("plain", [each for rules in ALL_RULES.values() for each in rules], ids=str)
def test_a_rule_survives_a_json_column(plain):
    first = ReplyRule.from_dict(plain)

    assert ReplyRule.from_dict(json.loads(json.dumps(first.to_dict()))) == first


def test_shipped_rules_name_their_source():
    sources = {each.source for each in RULES}

    assert sources == {"simulator", "field: SimPal D210"}


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"pattern": ""}, "1 to 500 characters"),
        ({"pattern": "("}, "no regular expression"),
        ({"pattern": "a{1,99999999999999}"}, "no regular expression"),
        ({"pattern": "(a+)+"}, "too many ways"),
        ({"pattern": ".*.*.*"}, "too many ways"),
        ({"pattern": "(" * 200 + ")" * 200}, "50 groups"),
        ({"pattern": r"(a)\1"}, "references back"),
        ({"pattern": "(?=a)a"}, "only"),
        ({"pattern": 5}, "pattern must be a string"),
        ({"verdict": "maybe"}, "verdict must be one of"),
        ({"verdict": "confirmed"}, "must say in answers"),
        ({"verdict": ["info"]}, "verdict must be a string"),
        ({"answers": ["on"]}, "answers may have"),
        ({"answers": {"lines": [1]}}, "answers may have"),
        ({"answers": {"powers": "on"}}, "lists of words"),
        ({"facts": {"Bad name": 1}}, "name of a fact"),
        ({"facts": {"out{line}": "on"}}, "needs a group named line"),
        ({"facts": {"t": {"group": "t"}}}, "no group 't'"),
        ({"facts": {"t": {"group": ["t"]}}}, "rule some: "),
        ({"facts": {"t": None}}, "is a value, or an object"),
        ({"facts": {"t": {"group": "t", "type": "date"}}, "pattern": "(?P<t>a)"}, "type is one of"),
        ({"facts": {"t": {"group": "t", "type": "word"}}, "pattern": "(?P<t>a)"}, "word, and nothing else"),
        (
            {"facts": {"t": {"group": "t", "type": "word", "words": [1]}}, "pattern": "(?P<t>a)"},
            "words is an object",
        ),
        ({"facts": []}, "are objects"),
        ({"sensitive": "yes"}, "true or false"),
        ({"colour": "red"}, "knows no colour"),
    ],
    ids=str,
)
def test_a_rule_that_cannot_be_used_says_what_to_change(changes, problem):
    with pytest.raises(ReplyRuleError, match=f"^rule some: .*{problem}|^{problem}"):
        rule(**changes)


@pytest.mark.parametrize("plain", [{}, {"name": "A b"}, [], "x", {"name": 5}], ids=str)
def test_a_rule_without_a_name_is_refused(plain):
    with pytest.raises(ReplyRuleError, match="with a name"):
        ReplyRule.from_dict(plain)


def test_two_rules_of_one_name_are_refused():
    with pytest.raises(ReplyRuleError, match="two rules have the name status"):
        load_rules([*SHIPPED, next(each for each in SHIPPED if each["name"] == "status")])


@given(st.text(max_size=200), st.sampled_from([None, *SPECS.values()]))
def test_any_text_gets_a_verdict(text, awaiting):
    verdict = read(text, awaiting)

    assert verdict.kind in ("confirmed", "refused", "info", "event", "unrecognised")
    assert verdict.answers is (verdict.kind in ("confirmed", "refused"))
