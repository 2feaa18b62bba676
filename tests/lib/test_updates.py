"""Many rows, each with values of its own, in one statement."""

import math
from datetime import UTC, datetime

import pytest

from automation.models import JobState
from remosa.lib.updates import update_each
from tests.factories import make_device, make_job, make_platform

pytestmark = [pytest.mark.django_db, pytest.mark.databases]
AT = datetime(2026, 11, 27, 10, 0, 0, 123456, tzinfo=UTC)
FIELDS = ("phase", "since", "samples", "value", "changes")


@pytest.fixture
def rows() -> list[JobState]:
    platform = make_platform()
    job = make_job(platform)
    return [
        JobState.objects.create(job=job, device=make_device(platform, name=f"player {number}"))
        for number in range(4)
    ]


def test_each_row_gets_its_own_values_and_keeps_the_others(rows: list[JobState]) -> None:
    for number, row in enumerate(rows[:3]):
        row.phase, row.since, row.samples, row.episode = "firing", AT, number, 7
        row.value, row.changes = (math.inf, -1.5, None)[number], [AT.timestamp(), 'it\'s "quoted" \\ %s']

    update_each(JobState, rows[:3], FIELDS)

    stored = {row.pk: row for row in JobState.objects.all()}
    assert [stored[row.pk].samples for row in rows] == [0, 1, 2, 0]
    assert [stored[row.pk].value for row in rows] == [math.inf, -1.5, None, None]
    assert stored[rows[0].pk].since == AT
    assert stored[rows[0].pk].changes == [AT.timestamp(), 'it\'s "quoted" \\ %s']
    assert {row.episode for row in stored.values()} == {0}  # not named: not written
    assert stored[rows[3].pk].phase == "ok"


def test_a_row_that_was_deleted_meanwhile_stays_deleted(rows: list[JobState]) -> None:
    JobState.objects.filter(pk=rows[0].pk).delete()
    rows[0].samples = rows[1].samples = 5

    update_each(JobState, rows[:2], FIELDS)

    assert list(JobState.objects.order_by("pk").values_list("samples", flat=True)) == [5, 0, 0]


def test_nothing_to_write_asks_nothing(rows: list[JobState], django_assert_num_queries: object) -> None:
    with django_assert_num_queries(0):  # type: ignore[operator]
        update_each(JobState, [], FIELDS)
