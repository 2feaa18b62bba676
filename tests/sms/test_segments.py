"""What a text costs in SMS parts, and that no part is ever cut in the wrong place."""

import itertools
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sms.segments import ESCAPE, GSM7_BASIC, GSM7_EXTENSION, Segments, count, encoding_of, split

ROWS = json.loads(
    (Path(__file__).parent.parent / "fixtures" / "sms_pdu" / "segmentation.json").read_text(encoding="utf-8")
)
GSM7_CHARACTERS = GSM7_BASIC.replace("\x1b", "") + "".join(GSM7_EXTENSION)


def units_of(text: str, encoding: str) -> int:
    """Count units another way than the source does, so that a common mistake cannot hide."""
    if encoding == "ucs2":
        return len(text.encode("utf-16-be")) // 2
    return len(text) + sum(text.count(character) for character in "\f^{}\\[~]|€")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['encoding']}-{row['units']}")
def test_count_agrees_with_every_row_of_the_fixture(row):
    expected = (row["encoding"].lower(), row["units"], row["segments_8bit_ref"])

    counted = count(row["text"])

    assert (counted.encoding, counted.units, counted.parts) == expected


def test_basic_table_has_128_different_characters():
    assert len(GSM7_BASIC) == len(set(GSM7_BASIC)) == 128
    assert GSM7_BASIC[ESCAPE] == "\x1b"


@pytest.mark.parametrize(
    ("character", "septet"),
    [
        *[("@", 0x00), ("Ç", 0x09), ("\n", 0x0A), ("\r", 0x0D), ("_", 0x11), ("Ξ", 0x1A), ("É", 0x1F)],
        *[(" ", 0x20), ("¤", 0x24), ("0", 0x30), ("¡", 0x40), ("A", 0x41), ("§", 0x5F), ("¿", 0x60)],
        *[("z", 0x7A), ("à", 0x7F)],
    ],
)
def test_basic_table_has_the_code_of_the_standard(character, septet):
    assert GSM7_BASIC.index(character) == septet


def test_small_c_cedilla_is_not_in_the_alphabet_although_the_capital_is():
    assert (encoding_of("Ç"), encoding_of("ç")) == ("gsm7", "ucs2")


def test_escape_itself_is_not_a_character_of_the_alphabet():
    assert encoding_of("\x1b") == "ucs2"


def test_an_extension_character_moves_whole_to_the_next_part():
    text = "a" * 152 + "€" + "b" * 10

    parts = split(text)

    assert parts == ["a" * 152, "€" + "b" * 10]
    assert count(text) == Segments("gsm7", 164, 2, 153)


def test_a_surrogate_pair_moves_whole_to_the_next_part():
    text = "я" * 66 + "🛠" + "ж" * 5

    parts = split(text)

    assert parts == ["я" * 66, "🛠" + "ж" * 5]
    assert count(text) == Segments("ucs2", 73, 2, 67)


def test_padding_before_an_escape_can_cost_a_part_more_than_the_units_alone():
    text = ("a" * 152 + "€") * 2

    counted = count(text)

    assert (counted.units, counted.parts) == (308, 3)


def test_a_lone_surrogate_is_refused_with_a_sentence():
    with pytest.raises(ValueError, match="lone surrogate"):
        count("ok \ud83d")


@given(st.one_of(st.text(max_size=700), st.text(alphabet=GSM7_CHARACTERS, max_size=1000)))
def test_parts_join_to_the_text_and_stay_within_the_limit(text):
    counted = count(text)
    parts = split(text)

    assert "".join(parts) == text
    assert len(parts) == counted.parts
    assert units_of(text, counted.encoding) == counted.units
    assert all(units_of(part, counted.encoding) <= counted.per_part for part in parts)
    assert counted.per_part == (160 if counted.encoding == "gsm7" else 70) or counted.parts > 1


@given(st.text(alphabet=GSM7_CHARACTERS, min_size=161, max_size=1000))
def test_no_part_but_the_last_has_room_for_one_more_character(text):
    parts = split(text)

    assert all(units_of(part + following[0], "gsm7") > 153 for part, following in itertools.pairwise(parts))
