"""Opening hours of a week, as people write them and as they are stored. Pure; what they mean at a moment is not here.

A week is ``{"mon": ["09:00-22:00"], …}``: only days with hours stand in it, ``{}`` says that nobody has told
them. ``24:00`` is the end of the day; an end before its start lies on the next day (``18:00-02:00``).
"""

import re
from collections.abc import Iterable, Mapping, Sequence

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_MINUTES = 24 * 60
SPAN = re.compile(r"(\d{1,2}):(\d\d)\s*[-–—]\s*(\d{1,2}):(\d\d)")
MOST_SPANS = 4  # of one day
ALWAYS = {day: ["00:00-24:00"] for day in DAYS}
Week = Mapping[str, Sequence[str]]


def span_of(text: str) -> tuple[int, int]:
    """(start, end) in minutes of the day on which it starts. ValueError for what is no span."""
    found = SPAN.fullmatch(text.strip())
    if found is None:
        raise ValueError(text)
    start, end = int(found[1]) * 60 + int(found[2]), int(found[3]) * 60 + int(found[4])
    if start >= DAY_MINUTES or end > DAY_MINUTES or int(found[2]) > 59 or int(found[4]) > 59 or start == end:
        raise ValueError(text)
    return start, end if end > start else end + DAY_MINUTES


def spans_of(texts: Iterable[str]) -> list[tuple[int, int]]:
    """The spans of one day, in order."""
    return sorted(span_of(text) for text in texts)


def canonical(spans: Iterable[str]) -> list[str]:
    """The spans of one day, each written as ``09:00-22:00``. ValueError for what is none, or too many."""
    rows = list(spans)
    if len(rows) > MOST_SPANS or not all(isinstance(text, str) for text in rows):
        raise ValueError(str(rows[:1]))
    return [_text(*span) for span in spans_of(rows)]


def check_week(week: object) -> dict[str, list[str]]:
    """The week in order and without empty days. ValueError for what is no week."""
    if not isinstance(week, Mapping) or set(week) - set(DAYS):
        raise ValueError(str(week)[:50])
    for spans in week.values():
        if not isinstance(spans, list | tuple):
            raise ValueError(str(spans)[:50])
    return {day: canonical(week[day]) for day in DAYS if week.get(day)}


def _text(start: int, end: int) -> str:
    end = end if end <= DAY_MINUTES else end - DAY_MINUTES
    return f"{start // 60:02}:{start % 60:02}-{end // 60:02}:{end % 60:02}"


def parse_week(text: str, names: Sequence[str]) -> dict[str, list[str]]:
    """A week from lines such as ``mon-fri 09:00-22:00``; ``names`` are the reader's words for the days, Monday first.

    ``24/7`` is a week without a break. ValueError with the line that cannot be read.
    """
    if text.strip() == "24/7":
        return dict(ALWAYS)
    numbers = {name.lower(): number for number, name in enumerate(names)}
    numbers |= {day: number for number, day in enumerate(DAYS)}
    week: dict[str, list[str]] = {}
    for line in filter(None, (part.strip() for part in re.split(r"[\n;]", text))):
        days, _space, hours = line.partition(" ")
        try:
            for number in _days(days.rstrip(":"), numbers):
                week.setdefault(DAYS[number], []).extend(
                    canonical(filter(None, (span.strip() for span in hours.split(","))))
                )
        except (ValueError, KeyError) as exc:
            raise ValueError(line) from exc
        if not hours.strip():
            raise ValueError(line)
    return check_week(week)


def _days(text: str, numbers: Mapping[str, int]) -> Iterable[int]:
    for part in text.lower().split(","):
        first, dash, last = re.sub("[–—]", "-", part).partition("-")
        begin = numbers[first.strip()]
        end = numbers[last.strip()] if dash else begin
        yield from ((begin + step) % 7 for step in range((end - begin) % 7 + 1))


def week_text(week: Week, names: Sequence[str]) -> str:
    """The week in lines, neighbouring days with the same hours together."""
    if all(list(week.get(day, ())) == ["00:00-24:00"] for day in DAYS):
        return "24/7"
    lines: list[list[object]] = []  # [first, last, hours]
    for number, day in enumerate(DAYS):
        hours = ", ".join(week.get(day, ()))
        if not hours:
            continue
        if lines and lines[-1][2] == hours and lines[-1][1] == number - 1:
            lines[-1][1] = number
        else:
            lines.append([number, number, hours])
    return "\n".join(
        f"{names[int(str(first))]}{'' if first == last else '-' + names[int(str(last))]} {hours}"
        for first, last, hours in lines
    )
