"""Hours as people write them, as they are stored, and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remosa.lib.hours import ALWAYS, DAYS, check_week, parse_week, span_of, week_text

RUSSIAN = ("пн", "вт", "ср", "чт", "пт", "сб", "вс")


def test_lines_are_read_in_the_readers_language_and_in_english() -> None:
    week = parse_week("пн-пт 9:00-22:00\nсб,sun 10:00–14:00, 18:00-02:00", RUSSIAN)

    assert week == {day: ["09:00-22:00"] for day in DAYS[:5]} | {
        day: ["10:00-14:00", "18:00-02:00"] for day in DAYS[5:]
    }
    assert week_text(week, RUSSIAN) == "пн-пт 09:00-22:00\nсб-вс 10:00-14:00, 18:00-02:00"
    assert parse_week(" 24/7 ", RUSSIAN) == ALWAYS
    assert list(parse_week("пт-пн 10:00-11:00", RUSSIAN)) == ["mon", "fri", "sat", "sun"]
    assert parse_week("", RUSSIAN) == {}


@pytest.mark.parametrize(
    "text", ["пн", "пн 9-22", "xx 09:00-10:00", "пн 09:00-09:00", "пн 25:00-26:00", "пн 09:60-10:00"]
)
def test_what_is_no_line_is_named(text: str) -> None:
    with pytest.raises(ValueError, match=text):
        parse_week(f"вт 10:00-11:00\n{text}", RUSSIAN)


@pytest.mark.parametrize(
    "week",
    [[], {"day": []}, {"mon": "09:00-10:00"}, {"mon": [9]}, {"mon": ["1"]}, {"mon": ["09:00-10:00"] * 5}],
)
def test_what_is_no_week_is_refused(week: object) -> None:
    with pytest.raises(ValueError, match=r".*"):
        check_week(week)


spans = st.tuples(st.integers(0, 1439), st.integers(1, 1440)).filter(lambda span: span[0] != span[1])
texts = spans.map(lambda span: f"{span[0] // 60:02}:{span[0] % 60:02}-{span[1] // 60:02}:{span[1] % 60:02}")


@given(st.dictionaries(st.sampled_from(DAYS), st.lists(texts, min_size=1, max_size=4)))
def test_a_week_survives_being_written_and_read(week: dict[str, list[str]]) -> None:
    stored = check_week(week)

    assert parse_week(week_text(stored, RUSSIAN), RUSSIAN) == stored
    assert all(end > start for hours in stored.values() for start, end in map(span_of, hours))
