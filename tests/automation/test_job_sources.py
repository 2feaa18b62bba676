"""Where jobs look besides the snapshot: set times, events, ranges of Prometheus; and jobs that cannot run."""

from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.core.exceptions import ValidationError

from automation.models import Case, Job, JobRun, JobState
from automation.services import broken
from automation.services.evaluation import evaluate_job
from automation.services.sweep import sweep
from automation.sources import read_prometheus
from devices.services import record_event
from notifications.models import Notice
from platforms.models import Platform
from tests.automation.prometheus import FakePrometheus, vector
from tests.automation.world import World, fresh, told
from tests.factories import NOW, make_job, make_user, minutes

pytestmark = pytest.mark.django_db


# --- set times -----------------------------------------------------------------------------------


def scheduled(world: World, *, ahead: float, **fields: Any) -> None:
    """The world's job looks once a day, the next time so many minutes from now."""
    local = (world.now + minutes(ahead)).astimezone(ZoneInfo(world.platform.time_zone))
    world.change_job(source="schedule", cron=f"{local.minute} {local.hour} * * *", **fields)


def test_at_its_time_a_job_repairs_whoever_was_offline_long_enough_and_only_then(db: None) -> None:
    world = World(players=10)
    hung, young = world.players[:2]
    world.turns(2)
    scheduled(world, ahead=30)
    world.hang(hung)
    world.turns(24)
    world.hang(young)
    early = Case.objects.count()
    world.turns(10)

    assert early == 0
    assert [case.device for case in Case.objects.all()] == [hung]
    assert world.sent() == [world.socket_of(hung).msisdn]
    assert JobRun.objects.filter(job=world.job, at__gt=NOW + minutes(5)).count() == 1
    world.turns(20)
    assert Case.objects.count() == 1, "until tomorrow"


def test_a_time_that_was_missed_is_skipped_and_told(db: None) -> None:
    world = World()
    world.turns(2)
    scheduled(world, ahead=10)
    world.hang(world.players[0])
    world.turns(2)
    world.now += timedelta(minutes=20)

    world.turns(3)

    assert not Case.objects.exists()
    assert JobRun.objects.get(job=world.job, looked_at=0).error == "skipped: too late"
    world.job.refresh_from_db()
    assert world.job.next_at > world.now + timedelta(hours=20)


def test_a_time_that_passed_before_the_job_was_made_is_no_time_of_its(db: None) -> None:
    world = World()
    world.hang(world.players[0])
    world.turns(15)
    Case.objects.all().delete()
    scheduled(world, ahead=-2, hold_s=60)

    world.turns(5)

    assert not Case.objects.exists()


def test_one_time_is_evaluated_by_one_worker_only(db: None) -> None:
    world = World()
    world.turns(1)
    scheduled(world, ahead=2, hold_s=0)
    world.turns(1)
    world.after(1.5)
    world.poll()
    stale = Job.objects.select_related("platform").get(pk=world.job.pk)
    mine = Job.objects.select_related("platform").get(pk=world.job.pk)

    first = evaluate_job(mine, tick="a", now=world.now)
    second = evaluate_job(stale, tick="b", now=world.now)

    assert (first is None, second is None) == (False, True)


def test_the_same_failure_is_looked_at_again_at_the_next_time(db: None) -> None:
    """A person ended the case without repair; tomorrow the job sees it anew."""
    world = World(mode="shadow")
    world.turns(1)
    world.hang(world.players[0])
    scheduled(world, ahead=20)
    world.turns(25)
    first = Case.objects.get()
    Case.objects.update(state="cancelled")
    Job.objects.update(next_at=world.now + minutes(1))
    world.turns(3)

    assert Case.objects.exclude(pk=first.pk).count() == 1
    assert JobState.objects.get().episode == 2


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"source": "schedule"}, "cron"),
        ({"source": "schedule", "cron": "* * * * *"}, "cron"),
        ({"source": "event"}, "event_kind"),
        ({"source": "snapshot", "operator": ">"}, "operator"),
        ({"source": "alert", "clear_threshold": 1}, "clear_threshold"),
    ],
)
def test_a_source_needs_what_belongs_to_it(north: Platform, fields: dict[str, Any], field: str) -> None:
    job = make_job(north, **fields)

    with pytest.raises(ValidationError) as refused:
        job.full_clean()
    assert list(refused.value.error_dict) == [field]


# --- events --------------------------------------------------------------------------------------


@pytest.mark.parametrize("of_socket", [True, False])
def test_after_an_event_players_that_stay_away_are_repaired_and_no_others(db: None, of_socket: bool) -> None:
    world = World(source="event", event_kind="mains_back", event_within_s=3600)
    struck, other = world.players[:2]
    world.turns(2)
    world.hang(struck, other)
    world.turns(2)
    record_event(world.socket_of(struck) if of_socket else struck, "mains_back", at=world.now)
    record_event(world.socket_of(other), "alarm", at=world.now)

    world.turns(12)

    assert [case.device for case in Case.objects.all()] == [struck]
    assert world.sent() == [world.socket_of(struck).msisdn]


def test_an_event_of_another_time_or_platform_moves_nothing(db: None, south: Platform) -> None:
    world, elsewhere = World(source="event", event_kind="mains_back"), World(platform=south, with_job=False)
    world.turns(2)
    record_event(world.sockets[0], "mains_back", at=world.now - timedelta(hours=2))
    record_event(elsewhere.sockets[0], "mains_back", at=world.now)
    world.hang(world.players[0])

    world.turns(15)

    assert not Case.objects.exists()


# --- ranges of Prometheus ------------------------------------------------------------------------


def matrix(world: World, *values: str | None, mac: str = "") -> dict[str, Any]:
    """An answer over ten minutes, a point a minute, the last one now; None is a hole."""
    points = [
        [world.now.timestamp() - 60 * (len(values) - 1 - number), value]
        for number, value in enumerate(values) if value is not None
    ]  # fmt: skip
    labels = {"exporter_id": str(world.exporter.pk), "mac": mac or world.players[0].mac}
    return {
        "status": "success",
        "data": {"resultType": "matrix", "result": [{"metric": labels, "values": points}]},
    }


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (["0"] * 41, True),
        (["0"] * 20 + [None] + ["0"] * 20, True),
        (["0"] * 20 + [None] * 5 + ["0"] * 16, None),
        (["0"] * 20 + ["1"] + ["0"] * 20, None),
        (["0"] * 40 + ["1"], False),
        (["1"] * 41, False),
        (["0"] * 40 + ["NaN"], None),
    ],
)
def test_a_range_is_bad_when_it_was_so_all_along(
    prometheus: FakePrometheus, values: list[str | None], said: bool | None
) -> None:
    world = World(source="promql", promql_range_s=2400)
    query = f'status{{platform_id="{world.platform.pk}"}}'
    world.change_job(promql=query)
    world.poll()
    prometheus.answer = matrix(world, *values)

    readings = read_prometheus(world.job, expected=set(), now=world.now)

    asked = prometheus.asked[-1]
    assert (asked["path"], asked["query"], asked["step"]) == ("/api/v1/query_range", query, "40")
    assert float(asked["end"]) - float(asked["start"]) == 2400
    [(reading, _max_age)] = readings.values()
    # 61 points are asked for in steps of 40 s; this answer has one a minute
    assert reading.breach is (None if said is True else said)
    world.job.promql_range_s = 600
    prometheus.answer = matrix(world, *values)
    [(reading, _max_age)] = read_prometheus(world.job, expected=set(), now=world.now).values()
    assert reading.breach is said


# --- jobs that cannot run ------------------------------------------------------------------------


def test_people_hear_once_of_a_query_that_cannot_be_evaluated_and_once_that_it_runs(
    prometheus: FakePrometheus,
) -> None:
    world = World(source="promql", threshold=0, mode="shadow")
    make_user("keeper", platform=world.platform, role="admin")
    world.change_job(promql=f'status{{platform_id="{world.platform.pk}"}}')
    prometheus.status = 422
    prometheus.answer = {"status": "error", "errorType": "execution", "error": "many-to-many matching"}
    for _minute in range(10):
        world.sweep_turn()
    case = Case.objects.get(kind="job")
    during = (case.state, case.outcome, case.title, case.notices_sent)
    told_once = Notice.objects.filter(case=case).count()
    prometheus.status, prometheus.answer = 200, vector()
    for _minute in range(3):
        world.sweep_turn()

    assert during == ("escalated", "job_broken", world.job.name, 1)
    assert told_once == Notice.objects.filter(case=case, kind="escalated").count() == 1
    assert told(fresh(case)) == ["job_broken", "escalated", "verified"]
    assert fresh(case).outcome == "job_runs_again"
    assert Job.objects.get().broken_since is None


def test_a_prometheus_that_does_not_answer_is_one_case_for_all_its_jobs(prometheus: FakePrometheus) -> None:
    world = World(source="promql", mode="shadow")
    query = f'status{{platform_id="{world.platform.pk}"}}'
    world.change_job(promql=query)
    make_job(world.platform, source="promql", promql=query)
    prometheus.status = 500
    for _minute in range(6):
        world.sweep_turn()
    prometheus.status = 200
    during = list(Case.objects.values_list("kind", "title", "outcome"))
    for _minute in range(3):
        world.sweep_turn()

    assert during == [("job", "Prometheus", "prometheus_down")]
    assert Case.objects.get().state == "verified"


def test_a_failure_of_a_moment_and_a_job_that_is_off_are_nothing_to_hear_of(db: None) -> None:
    world = World()
    broken.note(world.job, "x", of_query=True, now=world.now)
    broken.see_to_jobs(now=world.now + minutes(2))
    early = Case.objects.count()
    broken.see_to_jobs(now=world.now + minutes(3))
    opened = Case.objects.get()
    Job.objects.update(is_enabled=False)
    broken.see_to_jobs(now=world.now + minutes(4))
    sweep(now=world.now + minutes(5))

    assert early == 0
    assert (opened.state, fresh(opened).state, fresh(opened).outcome) == ("escalated", "cancelled", "job_off")
    assert Case.objects.count() == 1


# --- two jobs, one device ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overlap", "owner", "later"), [("take_over", "second", 1), ("leave", "first", 1), ("queue", "first", 2)]
)
def test_a_device_that_another_job_works_on(db: None, overlap: str, owner: str, later: int) -> None:
    """The first one only watches; the second may act."""
    world = World(mode="shadow", name="first")
    second = make_job(world.platform, name="second", hold_s=900, overlap=overlap)
    case = world.until_fired(world.players[0])
    world.turns(8)
    job = fresh(case).job
    assert job is not None
    assert job.name == owner
    assert bool(world.sent()) == (owner == "second")
    Case.objects.filter(pk=case.pk).update(state="cancelled")
    world.turns(3)

    assert Case.objects.count() == later
    if overlap == "queue":
        assert Case.objects.exclude(pk=case.pk).get().job == second
        assert len(world.sent()) == 1
