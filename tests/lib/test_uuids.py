"""UUIDs that keep the order in which they were made."""

import time

import pytest

from remosa.lib.uuids import time_ordered_uuid


def test_they_sort_as_they_were_made() -> None:
    made = [time_ordered_uuid() for _number in range(10_000)]

    assert made == sorted(made)
    assert len(set(made)) == len(made)
    assert {(one.version, one.variant) for one in made} == {(7, "specified in RFC 4122")}


def test_a_clock_that_goes_back_does_not_turn_them_round(monkeypatch: pytest.MonkeyPatch) -> None:
    before = time_ordered_uuid()
    monkeypatch.setattr(time, "time_ns", lambda: 0)

    assert time_ordered_uuid() > before
