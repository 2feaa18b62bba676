"""The stop of automation: where it counts, for how long, and who it stops."""

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from devices.models import Command, Device
from devices.services import request_command
from platforms import guards, switches
from platforms.models import AuditEvent, KillSwitch, Platform, User
from platforms.roles import Role
from platforms.services import set_role
from platforms.switches import Scope
from tests.factories import NOW, make_device, make_socket, make_user
from tests.together import together


def stop(by: User, scope: str, platform: Platform | None, **more: Any) -> KillSwitch:
    return switches.engage(scope=scope, platform=platform, reason="maintenance", by=by, now=NOW, **more)


def stopping(platform: Platform, **where: Any) -> KillSwitch | None:
    return switches.stopping(platform_id=platform.pk, now=where.pop("now", NOW), **where)


def test_a_global_stop_stops_everywhere(north: Platform, south: Platform, root: User) -> None:
    switch = stop(root, Scope.GLOBAL, None)

    assert stopping(north) == stopping(south) == switch


def test_a_platforms_stop_stops_there_only(north: Platform, south: Platform, root: User) -> None:
    switch = stop(root, Scope.PLATFORM, north)

    assert stopping(north) == switch
    assert stopping(south) is None


def test_the_stop_of_a_job_or_a_device_stops_nothing_else(
    north: Platform, south: Platform, root: User
) -> None:
    job, device = stop(root, Scope.JOB, north, target_id=7), stop(root, Scope.DEVICE, north, target_id=9)

    assert stopping(north, job_id=7, device_ids=(1,)) == job
    assert stopping(north, job_id=8, device_ids=(1, 9)) == device
    assert stopping(north, job_id=9, device_ids=(7,)) is None
    assert stopping(north) is None
    assert stopping(south, job_id=7, device_ids=(9,)) is None, "numbers of another platform"


def test_the_widest_of_several_stops_is_named(north: Platform, root: User) -> None:
    stop(root, Scope.DEVICE, north, target_id=9)
    stop(root, Scope.PLATFORM, north)
    widest = stop(root, Scope.GLOBAL, None)

    assert stopping(north, device_ids=(9,)) == widest


def test_a_stop_with_an_end_ends_and_one_without_does_not(north: Platform, root: User) -> None:
    end = NOW + timedelta(hours=1)
    stop(root, Scope.PLATFORM, north, expires_at=end)
    stop(root, Scope.JOB, north, target_id=1)

    assert stopping(north, now=end - timedelta(microseconds=1)) is not None
    assert stopping(north, now=end) is None
    assert stopping(north, job_id=1, now=NOW + timedelta(days=3650)) is not None


def test_a_stop_is_released_once_and_is_in_the_audit(north: Platform, root: User, alice: User) -> None:
    switch = stop(root, Scope.PLATFORM, north)

    first = switches.release(switch, by=alice, now=NOW + timedelta(minutes=5))
    again = switches.release(switch, by=root, now=NOW + timedelta(minutes=6))

    switch.refresh_from_db()
    assert (first, again) == (True, False)
    assert (switch.released_by, switch.released_at) == (alice, NOW + timedelta(minutes=5))
    assert stopping(north) is None
    verbs = (
        AuditEvent.objects.filter(verb__startswith="automation.").order_by("at").values_list("verb", "reason")
    )
    assert list(verbs) == [("automation.stopped", "maintenance"), ("automation.resumed", "")]


@pytest.mark.databases
@pytest.mark.django_db(transaction=True)
def test_of_many_who_release_at_once_one_does(north: Platform, root: User) -> None:
    switch = stop(root, Scope.PLATFORM, north)

    results = together(8, lambda _number: switches.release(switch, by=root, now=NOW))

    assert sorted(results) == [False] * 7 + [True]


@pytest.mark.databases
@pytest.mark.parametrize(
    ("scope", "named", "target"),
    [
        (Scope.GLOBAL, True, None), (Scope.PLATFORM, False, None), (Scope.JOB, False, 1), (Scope.DEVICE, True, None),
        (Scope.JOB, True, None),
    ],
)  # fmt: skip
def test_the_database_refuses_a_stop_that_names_no_place(
    north: Platform, root: User, scope: str, named: bool, target: int | None
) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        stop(root, scope, north if named else None, target_id=target)

    assert not KillSwitch.objects.exists()


# --- the guards at the barrier -------------------------------------------------------------------


@pytest.fixture
def player(north: Platform) -> Device:
    return make_device(north)


def ask(north: Platform, player: Device, **fields: Any) -> Command:
    fields.setdefault("source", "job")
    return request_command(
        device=make_socket(north), target=player, template_key="power_cycle", params={"minutes": 1},
        idem_key=str(uuid.uuid4()), cause_id=uuid.uuid4(), now=NOW, **fields,
    )  # fmt: skip


def test_every_scope_of_a_stop_reaches_a_queued_command_of_a_job(
    north: Platform, player: Device, root: User
) -> None:
    command = ask(north, player, job_id=3)
    before = guards.automation_is_not_stopped(command, now=NOW)
    places = [
        (Scope.DEVICE, north, command.device_id), (Scope.DEVICE, north, player.pk), (Scope.JOB, north, 3),
        (Scope.PLATFORM, north, None), (Scope.GLOBAL, None, None),
    ]  # fmt: skip

    said = []
    for scope, platform, target in places:
        switch = stop(root, scope, platform, target_id=target)
        said.append(guards.automation_is_not_stopped(command, now=NOW))
        switches.release(switch, by=root, now=NOW)

    assert before is None
    assert said == [f"kill_switch_{scope}" for scope, _platform, _target in places]
    assert guards.automation_is_not_stopped(command, now=NOW) is None


def test_a_stop_of_automation_does_not_stop_people(
    north: Platform, player: Device, root: User, alice: User
) -> None:
    command = ask(north, player, source="person", actor=alice)
    stop(root, Scope.GLOBAL, None)

    assert guards.automation_is_not_stopped(command, now=NOW) is None


def test_an_actor_with_the_right_passes_and_a_job_needs_none(
    north: Platform, player: Device, alice: User
) -> None:
    assert guards.actor_still_may(ask(north, player, source="person", actor=alice), now=NOW) is None
    assert guards.actor_still_may(ask(north, player), now=NOW) is None


@pytest.mark.parametrize("loss", ["demoted", "removed", "deactivated", "deleted", "platform closed"])
def test_an_actor_who_lost_the_right_does_not_pass(
    north: Platform, player: Device, alice: User, loss: str
) -> None:
    person = make_user("dora", platform=north, role=Role.MANAGER)
    command = ask(north, player, source="api", actor=person)
    if loss == "demoted":
        set_role(user=person, platform=north, role=Role.VIEWER)
    elif loss == "removed":
        set_role(user=person, platform=north, role=None)
    elif loss == "deactivated":
        User.objects.filter(pk=person.pk).update(is_active=False)
    elif loss == "deleted":
        person.delete()
    else:
        Platform.objects.filter(pk=north.pk).update(is_active=False)
    command.refresh_from_db()

    assert guards.actor_still_may(command, now=NOW) == "actor_lost_right"


def test_an_actor_who_does_not_see_the_device_any_more_does_not_pass(north: Platform, alice: User) -> None:
    person = make_user("dora", platform=north, role=Role.USER)
    socket = make_socket(north, owner=person)
    command = request_command(
        device=socket, template_key="power_cycle", params={"minutes": 1}, source="person", actor=person,
        idem_key="k", cause_id=uuid.uuid4(), now=NOW,
    )  # fmt: skip
    before = guards.actor_still_may(command, now=NOW)
    Device.objects.filter(pk=socket.pk).update(owner=alice)

    assert (before, guards.actor_still_may(command, now=NOW)) == (None, "actor_lost_right")
