"""A job reboots through sockets of every model, by as many SMS as it takes, and never leaves an output off."""

from collections.abc import Callable
from typing import Any

import pytest

from automation.guards import candidate_of, case_still_wants, first_refusal, power
from automation.models import ActionRun, Case, Heartbeat, Job, Maintenance
from automation.repairs import first_command, plan_of
from automation.services import health
from automation.services.cases import cancel_case, repair_now
from devices.errors import CommandForbidden
from devices.models import Command, Device, DeviceModel, Restoration
from devices.restoring import Way
from devices.services import power_cycle, record_sent, refusal_at_barrier, sweep_commands
from devices.services.restorations import cancel
from platforms import switches
from platforms.models import Platform
from tests.automation.world import World, fresh, refusals, told
from tests.factories import cause, make_link, make_socket, make_user, minutes

pytestmark = pytest.mark.django_db

SEVERAL_SMS = [
    ("D410", 2, ["#11#2#1#3#", "#02#2#"], ["OK", "OUT2 OFF"]),
    ("T40-T20", 1, ["#12#0#3#1#", "#02#0#"], ["OK", "OUT1 OFF"]),
    ("T80", 1, ["#12#0#3#1#", "#2#0#"], ["OK", "OUT1 OFF"]),
    ("ISOCKET-706", 2, ["OFFM", "ONM"], ["OUT2 OFF", "OUT2 ON"]),
]


class Hall(World):
    """The first player hangs on a socket whose model needs several SMS."""

    def __init__(self, model: str = "ISOCKET-706", line: int = 2, **job: Any) -> None:
        super().__init__(**{"players": 4, "hold_s": 60, "fresh_samples": 1, **job})
        self.player, self.line = self.players[0], line
        self.socket = make_socket(self.platform, model=model, site=self.player.site)
        make_link(self.player, self.socket, line)

    def bodies(self) -> list[str]:
        commands = Command.objects.filter(device=self.socket).order_by("created_at", "pk")
        return list(commands.values_list("body", flat=True))

    def answer(self, text: str) -> None:
        """The socket answers in the next moment, and REMOSA reads it."""
        self.after(0.1)
        assert self.reply(self.player, text) == "matched"

    def story(self) -> Restoration:
        return Restoration.objects.get(device=self.socket)

    def until_dark(self) -> Case:
        """The job has switched the output off, and the socket has said so; the ON is owed."""
        case = Case.objects.create(
            platform=self.platform, device=self.player, job=self.job, job_version=self.job.version, subject="x",
            title="x", mode="auto", state="acting", attempts=1, opened_at=self.now, state_changed_at=self.now,
        )  # fmt: skip
        cycle = power_cycle(
            device=self.socket, line=self.line, minutes=1, source="job", idem_key="k", cause_id=case.cause_id,
            now=self.now, target=self.player, job_id=self.job.pk, case_id=case.pk,
        )  # fmt: skip
        off = first_command(cycle)
        ActionRun.objects.create(
            case=case, attempt=1, command=off, state="running", planned_at=self.now, state_changed_at=self.now
        )
        record_sent(off.pk, at=self.now)
        self.answer("OUT2 OFF")
        return case


@pytest.mark.parametrize(("model", "line", "texts", "answers"), SEVERAL_SMS, ids=lambda value: str(value))
def test_a_hung_player_is_repaired_whatever_sms_its_socket_needs(
    db: None, model: str, line: int, texts: list[str], answers: list[str]
) -> None:
    hall = Hall(model, line)
    case = hall.until_fired(hall.player)

    hall.answer(answers[0])
    hall.turns(2)
    hall.answer(answers[1])
    hall.turns(3)
    hall.recover(hall.player)
    hall.turns(9)

    case = fresh(case)
    assert hall.bodies()[:2] == texts
    assert (case.state, case.outcome, case.attempts) == ("verified", "repaired", 1)
    assert told(case) == ["opened", "acted", "back", "verified"]
    assert hall.story().state == "kept"
    cut = Command.objects.get(device=hall.socket, power="off")
    assert (cut.state, cut.case_id, cut.job_id, cut.source) == ("verified", case.pk, hall.job.pk, "job")


# --- the ON that is owed ---------------------------------------------------------------------------


def _case_ended(hall: Hall, case: Case) -> None:
    assert cancel_case(fresh(case), by=make_user("root", is_superuser=True), reason="wrong", now=hall.now)


def _came_back(hall: Hall, case: Case) -> None:
    hall.recover(hall.player)
    hall.poll()


def _job_changed(hall: Hall, case: Case) -> None:
    hall.change_job(mode="shadow", is_enabled=False, template_key="status")


def _job_gone(hall: Hall, case: Case) -> None:
    Case.objects.filter(pk=case.pk).update(job=None)
    Job.objects.all().delete()


def _link_moved(hall: Hall, case: Case) -> None:
    make_link(hall.player, make_socket(hall.platform), 1)


def _player_removed(hall: Hall, case: Case) -> None:
    Device.objects.filter(pk=hall.player.pk).update(is_active=False)


def _stopped(scope: str) -> Callable[[Hall, Case], None]:
    def stop(hall: Hall, case: Case) -> None:
        target = {"job": hall.job.pk, "device": hall.socket.pk}.get(scope)
        switches.engage(
            scope=scope, platform=None if scope == "global" else hall.platform, target_id=target, reason="stop",
            by=make_user("root", is_superuser=True), now=hall.now,
        )  # fmt: skip

    return stop


def _works(hall: Hall, case: Case) -> None:
    Maintenance.objects.create(
        platform=hall.platform,
        reason="works",
        starts_at=hall.now - minutes(5),
        ends_at=hall.now + minutes(600),
    )


def _not_checked(hall: Hall, case: Case) -> None:
    DeviceModel.objects.update(bench_checked_at=None)


def _many_fell(hall: Hall, case: Case) -> None:
    parent = Case.objects.create(
        platform=hall.platform, kind="mass", subject="site:1", title="all", mode="auto", state="escalated",
        opened_at=hall.now, state_changed_at=hall.now,
    )  # fmt: skip
    Case.objects.filter(pk=case.pk).update(parent=parent)


def _no_mains(hall: Hall, case: Case) -> None:
    Device.objects.filter(pk=hall.socket.pk).update(facts={"mains": "lost"})


def _own_doubt(hall: Hall, case: Case) -> None:
    Heartbeat.objects.update_or_create(name=health.SWEEP, defaults={"at": hall.now - minutes(10)})
    assert health.doubt(now=hall.now) is not None


def _automation_has_spent_its_share(hall: Hall, case: Case) -> None:
    used = Command.objects.filter(device=hall.socket).count()
    Platform.objects.filter(pk=hall.platform.pk).update(sms_limit=used + 3, sms_people_share_ratio=1)


OBSTACLES = [
    _case_ended, _came_back, _job_changed, _job_gone, _link_moved, _player_removed, _stopped("global"),
    _stopped("platform"), _stopped("job"), _stopped("device"), _works, _not_checked, _many_fell, _no_mains, _own_doubt,
    _automation_has_spent_its_share,
]  # fmt: skip


@pytest.mark.parametrize("get_in_the_way", OBSTACLES, ids=lambda each: each.__name__)
def test_nothing_that_stops_automation_stops_an_on_that_is_owed(
    db: None, get_in_the_way: Callable[[Hall, Case], None]
) -> None:
    hall = Hall()
    case = hall.until_dark()
    get_in_the_way(hall, case)
    sweep_commands(now=hall.after(2))

    on = Command.objects.get(device=hall.socket, body="ONM")
    assert on.state == "queued"
    assert refusal_at_barrier(on.pk, now=hall.now) is None
    assert case_still_wants(on, now=hall.now) is None


def test_the_same_obstacle_stops_the_off(db: None) -> None:
    """The control: an OFF of the job that is still queued does not leave any more."""
    hall = Hall()
    hall.until_fired(hall.player, send=False)
    off = Command.objects.get(device=hall.socket, body="OFFM")
    switches.engage(
        scope="platform", platform=hall.platform, target_id=None, reason="stop",
        by=make_user("root", is_superuser=True), now=hall.now,
    )  # fmt: skip

    assert refusal_at_barrier(off.pk, now=hall.now) == "kill_switch_platform"


def test_an_on_that_nothing_confirms_is_repeated_and_the_case_is_handed_to_a_person(db: None) -> None:
    hall = Hall()
    hall.turns(2)
    hall.hang(hall.player)
    case = hall.until_dark()

    hall.turns(16)

    case = fresh(case)
    assert (case.state, case.outcome) == ("escalated", "not_on_again")
    assert hall.bodies().count("OFFM") == 1, "nothing is switched off again"
    assert hall.bodies().count("ONM") >= 3
    assert hall.story().state == "broken"


# --- armed first -----------------------------------------------------------------------------------


def test_without_a_confirmed_way_back_nothing_is_switched_off(db: None) -> None:
    hall = Hall("D410", 1, cooldown_s=0)
    case = hall.until_fired(hall.player)

    hall.turns(24)

    case = fresh(case)
    assert set(hall.bodies()) == {"#11#1#1#3#"}
    assert (case.state, case.outcome, case.attempts) == ("escalated", "command_not_executed", 2)


def test_a_player_that_came_back_meanwhile_is_not_switched_off(db: None) -> None:
    hall = Hall("D410", 1)
    case = hall.until_fired(hall.player)
    hall.recover(hall.player)
    hall.answer("OK")

    hall.turns(8)

    case = fresh(case)
    cut = Command.objects.filter(device=hall.socket, power="off")
    assert [row.state for row in cut] == ["superseded"]
    assert (case.state, case.outcome) == ("verified", "recovered_alone")


def test_reboots_by_several_sms_count_from_their_first_one(db: None) -> None:
    hall = Hall("D410", 1)
    sockets = [make_socket(hall.platform, model="D410") for _number in range(3)]
    for socket in sockets:
        power_cycle(
            device=socket, line=1, minutes=1, source="job", idem_key=str(cause()), cause_id=cause(), now=hall.now,
            job_id=hall.job.pk,
        )  # fmt: skip

    hall.turns(2)
    hall.hang(hall.player)
    hall.turns(12)

    case = hall.case_of(hall.player)
    assert case is not None
    assert "blast_radius_job_limit" in refusals(case)
    assert not Command.objects.filter(power="off").exists()


# --- what may be asked for -------------------------------------------------------------------------


def waiting_case(hall: Hall) -> Case:
    """A case that only people act on."""
    case = hall.until_fired(hall.player)
    return fresh(case)


def test_an_output_on_its_way_back_is_left_alone(db: None) -> None:
    hall = Hall(mode="suggest")
    case = waiting_case(hall)
    power_cycle(
        device=hall.socket, line=2, minutes=1, source="job", idem_key="k", cause_id=cause(), now=hall.now
    )

    found = first_refusal(candidate_of(case, by_person=True), now=hall.now)

    assert found is not None
    assert (found.guard, found.reason) == ("lane", "output_being_restored")


def test_an_output_that_was_left_off_on_purpose_is_left_so(db: None) -> None:
    hall = Hall()
    hall.until_dark()
    person = make_user("root", is_superuser=True)
    assert cancel(hall.story(), why="left_off", by=person, now=hall.now)
    case = Case.objects.get(device=hall.player)

    found = power(candidate_of(case, by_person=True), hall.now)

    assert found is not None
    assert found.reason == "switched_off_by_person"


def test_who_may_not_switch_off_may_not_have_it_done_by_a_case(db: None) -> None:
    hall = Hall(mode="suggest")
    case = waiting_case(hall)
    person = make_user("u", platform=hall.platform, role="user")

    with pytest.raises(CommandForbidden):
        repair_now(case, by=person, now=hall.now)

    assert not Restoration.objects.exists()


def test_automation_begins_nothing_that_it_could_not_end(db: None) -> None:
    hall = Hall("D410", 1, mode="suggest")
    case = waiting_case(hall)
    Platform.objects.filter(pk=hall.platform.pk).update(sms_limit=2)

    found = first_refusal(candidate_of(Case.objects.get(pk=case.pk)), now=hall.now)

    assert found is not None
    assert (found.guard, found.data) == ("budget", {"left": 2})


@pytest.mark.parametrize(
    ("model", "line", "way"),
    [
        ("D210", 1, "cycle"), ("ISOCKET-706", 1, "cycle"), ("ISOCKET-706", 2, Way.PAIR), ("D410", 1, Way.ARMED),
        ("D410", 2, Way.ARMED), ("T40-T20", 1, Way.ARMED), ("T80", 1, Way.ARMED), ("GSM-SOCKET", 1, None),
    ],
)  # fmt: skip
def test_each_model_is_rebooted_in_its_own_way(db: None, model: str, line: int, way: str | None) -> None:
    hall = Hall(model, line)
    plan = plan_of(hall.job, hall.socket, line)

    assert (plan.way if plan else None) == way
