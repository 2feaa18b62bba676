"""Which device the labels mean: the first rule that names exactly one, and never two."""

import pytest

from automation.mapping import USUAL, Index, Known, Rule, filled, keys_of

DEVICES = [
    Known(1, "02:00:00:00:00:01", "4711", "6a0f2a3c-7e1d-4c55-9a40-0c6f2b1f5d01", "Касса 1"),
    Known(2, "02:00:00:00:00:02", "4712", "6a0f2a3c-7e1d-4c55-9a40-0c6f2b1f5d02", "A-7"),
    Known(3, "", "", "6a0f2a3c-7e1d-4c55-9a40-0c6f2b1f5d03", "twin"),
    Known(4, "", "", "6a0f2a3c-7e1d-4c55-9a40-0c6f2b1f5d04", "twin"),
]


def find(labels: dict[str, str], *rules: Rule) -> tuple[int | None, str]:
    found = Index(DEVICES).find(keys_of(rules or USUAL, labels))
    return found.device_id, found.why


@pytest.mark.parametrize(
    ("labels", "device"),
    [
        ({"mac": "02:00:00:00:00:01"}, 1),
        ({"mac": "02-00-00-00-00-02"}, 2),
        ({"mac": "020000000001"}, 1),
        ({"player_id": "4711"}, 1),
        ({"player_id": "02:00:00:00:00:02"}, 2),
        ({"device_id": "4712"}, 2),
        ({"player_name": "Касса 1"}, 1),
        ({"device_uid": "6A0F2A3C-7E1D-4C55-9A40-0C6F2B1F5D03"}, 3),
        ({"mac": "not a mac", "player_id": "4711"}, 1),
    ],
)
def test_usual_labels_find_their_device(labels: dict[str, str], device: int) -> None:
    assert find(labels) == (device, "")


def test_why_nobody_is_found() -> None:
    assert find({"instance": "x"}) == (None, "no_rule")
    assert find({"mac": "02:00:00:00:00:99"}) == (None, "no_device")
    assert find({"player_name": "twin"}) == (None, "ambiguous")


def test_a_text_is_put_together_from_labels() -> None:
    assert find({"hall": "A", "screen": "7"}, Rule("name", "{hall}-{screen}")) == (2, "")
    assert filled("{hall}-{screen}", {"hall": "A"}) is None
    assert filled("{hall}", {"hall": ""}) is None


def test_a_value_is_never_a_template_again() -> None:
    assert filled("{a}", {"a": "{b}", "b": "secret"}) == "{b}"


def test_rules_with_conditions_and_fixed_devices() -> None:
    fixed = Rule("device", only={"instance": "wall:9100"}, device_id=2)

    assert find({"instance": "wall:9100", "mac": "02:00:00:00:00:01"}, fixed, *USUAL) == (2, "")
    assert find({"instance": "other", "mac": "02:00:00:00:00:01"}, fixed, *USUAL) == (1, "")
    assert find({"mac": "02:00:00:00:00:01"}, Rule("mac", "{mac}", {"job": "x"})) == (None, "no_rule")
