"""Each guard objects for its own reason, says when it lifts, and lets pass what it has nothing against."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.core.exceptions import ValidationError

from automation.guards import (
    GUARDS,
    LAST_GUARDS,
    Guard,
    Refusal,
    candidate_of,
    case_still_wants,
    first_refusal,
)
from automation.models import Case, GuardRefusal, Heartbeat, Holiday, Job, JobState, Maintenance
from automation.sentences import refusal_sentence
from automation.services.cases import advance_case, write_refusal
from devices.models import Command, Device, DeviceModel, PowerLink
from devices.services import Observed, record_observations, request_command
from exporters.models import Exporter, ExporterTarget
from platforms import switches
from platforms.models import Platform, User
from remosa.lib.hours import ALWAYS, DAYS
from sms.models import Gateway, SmsMessage
from tests.automation.world import World, refusals
from tests.factories import NOW, make_device, make_job, make_link, make_socket, make_user, minutes

pytestmark = pytest.mark.django_db


class Scene(World):
    """One player has been offline long enough, everything is in order, and its case is about to act."""

    def __init__(self, **job: Any) -> None:
        super().__init__(**{"players": 8, "fresh_samples": 1, **job})
        self.player, self.socket = self.players[0], self.sockets[0]
        self.poll()
        self.hang(self.player)
        for _minute in range(12):
            self.after(1)
            self.poll()
        self.case = Case.objects.create(
            platform=self.platform, device=self.player, job=self.job, job_version=self.job.version, subject="x",
            title="x", mode="auto", opened_at=self.now, state_changed_at=self.now,
        )  # fmt: skip

    def refusal(self, *, by_person: bool = False, now: datetime | None = None) -> Refusal | None:
        case = Case.objects.select_related("job__platform", "device", "parent").get(pk=self.case.pk)
        return first_refusal(candidate_of(case, by_person=by_person), now=now or self.now)

    def said(self, **how: Any) -> tuple[str, str] | None:
        found = self.refusal(**how)
        return (found.guard, found.reason) if found else None

    def update(self, **fields: Any) -> None:
        Job.objects.filter(pk=self.job.pk).update(**fields)

    def acted(
        self, ago: float, *, state: str = "verified", socket: Device | None = None, **over: Any
    ) -> Command:
        """A power cycle that left so many minutes ago."""
        command = request_command(**{
            "device": socket or self.socket, "target": self.player, "template_key": "power_cycle",
            "params": {"minutes": 1}, "source": "job", "idem_key": str(uuid.uuid4()), "cause_id": uuid.uuid4(),
            "now": self.now - minutes(ago), **over,
        })  # fmt: skip
        at = self.now - minutes(ago)
        Command.objects.filter(pk=command.pk).update(
            state=state, sent_at=at, created_at=at, verify_until=at + minutes(11)
        )
        return command


@pytest.fixture
def scene(db: None) -> Scene:
    return Scene()


def test_nothing_objects_when_all_is_in_order(scene: Scene) -> None:
    assert scene.refusal() is None


def test_the_order_of_the_guards_is_the_order_of_the_journal() -> None:
    names = [guard.__name__ for guard in GUARDS]

    assert names == [
        "scope", "kill_switch", "maintenance", "own_health", "evidence", "upstream", "mass_change", "flapping",
        "broadcast_hours", "power", "lane", "cooldown", "chronic", "blast_radius", "budget",
    ]  # fmt: skip
    assert set(LAST_GUARDS) < set(GUARDS)


# --- each alone ----------------------------------------------------------------------------------


def _out_of_scope(scene: Scene) -> None:
    scene.job.devices.set([scene.players[1]])


def _stopped(scene: Scene) -> None:
    root = make_user("stopper", is_superuser=True)
    switches.engage(scope="platform", platform=scene.platform, reason="works", by=root, now=scene.now)


def _works(scene: Scene) -> None:
    Maintenance.objects.create(
        platform=scene.platform, site=scene.player.site, reason="new ceiling", starts_at=scene.now - minutes(5),
        ends_at=scene.now + minutes(55),
    )  # fmt: skip


def _late(scene: Scene) -> None:
    Heartbeat.objects.create(name="sweep", at=scene.now - minutes(10))


def _too_young(scene: Scene) -> None:
    Device.objects.filter(pk=scene.player.pk).update(state_since=scene.now - minutes(2))


def _doubted(scene: Scene) -> None:
    Exporter.objects.update(suspect_reason="empty_answer")


def _together(scene: Scene) -> None:
    for player in scene.players[1:4]:
        Device.objects.filter(pk=player.pk).update(state="offline", state_since=scene.now - minutes(11))


def _unplugged(scene: Scene) -> None:
    PowerLink.objects.update(valid_to=scene.now)


def _busy(scene: Scene) -> None:
    scene.acted(20, state="sent", template_key="power_on", params={})


def _just_cycled(scene: Scene) -> None:
    scene.acted(30)


def _often(scene: Scene) -> None:
    scene.update(max_actions_per_day=1)
    scene.acted(300)


def _everywhere(scene: Scene) -> None:
    for player in scene.players[1:4]:
        scene.acted(50, socket=scene.socket_of(player), target=player, job_id=scene.job.pk)


def _flapped(scene: Scene) -> None:
    ago = [50, 45, 40, 35, 30, 11]
    JobState.objects.create(
        job=scene.job, device=scene.player, changes=[(scene.now - minutes(m)).timestamp() for m in ago]
    )


def _on_air(scene: Scene) -> None:
    scene.update(hours=ALWAYS, on_air="leave")


def _spent(scene: Scene) -> None:
    Platform.objects.update(sms_limit=0)


SCENES = {
    "scope": _out_of_scope, "kill_switch": _stopped, "maintenance": _works, "own_health": _late,
    "evidence": _too_young, "upstream": _doubted, "mass_change": _together, "flapping": _flapped,
    "broadcast_hours": _on_air, "power": _unplugged, "lane": _busy,
    "cooldown": _just_cycled, "chronic": _often, "blast_radius": _everywhere, "budget": _spent,
}  # fmt: skip


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.__name__)
def test_without_this_one_guard_the_action_would_pass(
    guard: Guard, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    SCENES[guard.__name__](scene)

    found = scene.refusal()
    monkeypatch.setattr("automation.guards.GUARDS", tuple(one for one in GUARDS if one is not guard))
    without = scene.refusal()

    assert found is not None
    assert found.guard == guard.__name__
    assert refusal_sentence(found.guard, found.reason, found.data) != f"{found.guard}: {found.reason}"
    assert without is None, "a second guard hides that the first is missing"


# --- one gateway ---------------------------------------------------------------------------------


def _through_the_shared_gateway(scene: Scene, count: int, *, ago: float) -> None:
    """Commands of jobs of another platform, which has the same gateway."""
    Gateway.objects.filter(pk=scene.gateway.pk).update(platform=None)
    other = World(with_job=False, players=count)
    other.gateway.delete()
    for socket, player in zip(other.sockets, other.players, strict=True):
        scene.acted(ago, socket=socket, target=player, state="sent")
    messages = SmsMessage.objects.filter(platform=other.platform)
    assert messages.count() == count
    messages.update(gateway=scene.gateway, created_at=scene.now - minutes(ago))


def test_a_gateway_takes_a_few_commands_at_once_and_the_rest_at_a_distance(scene: Scene) -> None:
    _through_the_shared_gateway(scene, 3, ago=0.1)

    found = scene.refusal()

    assert found is not None
    assert (found.guard, found.reason) == ("blast_radius", "gateway_pace")
    assert found.lifts_at is not None
    last = scene.now - minutes(0.1)
    assert timedelta(seconds=20) <= found.lifts_at - last <= timedelta(seconds=60)
    assert scene.said(by_person=True) is None
    assert scene.said(now=found.lifts_at) is None
    SmsMessage.objects.order_by("pk").first().delete()
    assert scene.said() is None, "two are few"


def test_a_gateway_takes_no_more_than_so_many_commands_in_ten_minutes(scene: Scene) -> None:
    _through_the_shared_gateway(scene, 10, ago=5)

    found = scene.refusal()

    assert found == Refusal(
        "blast_radius", "gateway_limit", {"limit": 10, "window_s": 600.0}, scene.now + minutes(5)
    )
    SmsMessage.objects.filter(gateway=scene.gateway).first().delete()
    assert scene.said() is None


# --- flapping ------------------------------------------------------------------------------------


def test_flapping_lifts_when_the_changes_are_old_and_never_objects_where_it_is_off(scene: Scene) -> None:
    _flapped(scene)

    found = scene.refusal()

    assert found == Refusal(
        "flapping", "changes_too_often", {"changes": 6, "window_s": 3600.0}, scene.now + minutes(10)
    )
    assert scene.said(by_person=True) is None
    scene.update(flap_changes=0)
    assert scene.said() is None
    scene.update(flap_changes=7)
    assert scene.said() is None
    scene.update(flap_changes=6, flap_window_s=2400)
    assert scene.said() is None


# --- broadcast hours -----------------------------------------------------------------------------


def week(*hours: str) -> dict[str, list[str]]:
    return {day: list(hours) for day in DAYS}


def test_on_air_the_job_does_as_it_says(scene: Scene) -> None:
    """NOW is 12:00 UTC, and the scene twelve minutes on; the player fell eleven minutes ago."""
    zone = ZoneInfo(scene.player.site.time_zone)
    local = scene.now.astimezone(zone)
    begin, end = local - timedelta(hours=2), local + timedelta(hours=3)
    scene.update(hours=week(f"{begin:%H:%M}-{end:%H:%M}"))
    closing = (end.replace(second=0)).astimezone(UTC)
    down = scene.case.opened_at

    scene.update(on_air="leave")
    left = scene.refusal()
    scene.update(on_air="wait")
    waited = scene.refusal()
    scene.update(on_air="act")
    acted = scene.refusal()

    assert left == Refusal("broadcast_hours", "on_air", lifts_at=closing)
    assert waited == Refusal("broadcast_hours", "on_air_wait", lifts_at=down + minutes(30))
    assert acted is None
    scene.update(on_air="leave")
    assert scene.said(by_person=True) is None


def test_at_night_the_job_waits_for_the_hour_before_the_opening(scene: Scene) -> None:
    local = scene.now.astimezone(ZoneInfo(scene.player.site.time_zone))
    opening = (local + timedelta(hours=3)).replace(second=0)
    scene.player.site.broadcast_hours = week(f"{opening:%H:%M}-{opening + timedelta(hours=1):%H:%M}")
    scene.player.site.save()

    found = scene.refusal()

    assert found == Refusal(
        "broadcast_hours", "before_opening", lifts_at=opening.astimezone(UTC) - timedelta(hours=1)
    )
    scene.update(lead_s=3 * 3600 + 60)
    assert scene.said() is None
    scene.update(lead_s=0, off_air="act")
    assert scene.said() is None
    scene.update(off_air="before")
    Holiday.objects.create(platform=scene.platform, day=opening.date(), name="closed")
    Holiday.objects.create(
        platform=scene.platform, day=opening.date(), site=scene.players[1].site, hours=["00:00-24:00"]
    )
    later = scene.refusal()
    assert later is not None
    assert later.lifts_at == opening.astimezone(UTC) + timedelta(days=1), "nobody opens on a holiday"


def test_without_hours_day_and_night_are_alike(scene: Scene) -> None:
    scene.update(on_air="leave", off_air="before")
    scene.player.site.broadcast_hours = {}
    scene.player.site.save()

    assert scene.said() is None


# --- maintenance ---------------------------------------------------------------------------------


def test_works_object_with_their_end_where_they_go_on(scene: Scene, south: Platform) -> None:
    _works(scene)
    window = Maintenance.objects.get()

    found = scene.refusal()

    assert found == Refusal("maintenance", "under_maintenance", {"reason": "new ceiling"}, window.ends_at)
    assert scene.said(by_person=True) is None
    for field, value in (("site", scene.players[1].site), ("platform", south)):
        Maintenance.objects.filter(pk=window.pk).update(**{field: value})
        assert scene.said() is None
    Maintenance.objects.filter(pk=window.pk).update(platform=scene.platform, site=None, device=scene.socket)
    assert scene.said() == ("maintenance", "under_maintenance")


def test_works_of_every_week_object_again_by_the_local_clock(scene: Scene) -> None:
    start = scene.now - timedelta(days=14) - minutes(5)
    Maintenance.objects.create(
        platform=scene.platform,
        reason="cleaning",
        repeats="weekly",
        starts_at=start,
        ends_at=start + minutes(10),
    )

    found = scene.refusal()

    assert found is not None
    assert (found.guard, found.lifts_at) == ("maintenance", scene.now + minutes(5))
    Maintenance.objects.update(repeats="once")
    assert scene.said() is None


# --- scope ---------------------------------------------------------------------------------------


def test_a_closed_platform_a_removed_device_and_one_of_another_set_are_not_meant(scene: Scene) -> None:
    other = make_device(scene.platform)
    said = []

    scene.job.devices.add(other)
    said.append(scene.said())
    Device.objects.filter(pk=scene.player.pk).update(is_active=False)
    said.append(scene.said())
    Platform.objects.update(is_active=False)
    said.append(scene.said())

    assert said == [("scope", "not_in_the_job"), ("scope", "device_removed"), ("scope", "platform_inactive")]


def test_a_person_may_repair_what_the_job_does_not_watch_any_more(scene: Scene) -> None:
    scene.job.devices.add(make_device(scene.platform))

    assert scene.said(by_person=True) is None


# --- kill switch ---------------------------------------------------------------------------------


@pytest.mark.parametrize("end", [None, 60])
def test_a_stop_objects_with_its_reason_and_its_end(scene: Scene, root: User, end: float | None) -> None:
    expires_at = scene.now + minutes(end) if end else None
    switches.engage(
        scope="platform",
        platform=scene.platform,
        reason="works",
        by=root,
        now=scene.now,
        expires_at=expires_at,
    )

    assert scene.refusal() == Refusal("kill_switch", "platform", {"reason": "works"}, expires_at)
    assert scene.refusal(by_person=True) is None
    if expires_at:
        assert scene.said(now=expires_at) != ("kill_switch", "platform")


def test_a_stop_of_anything_on_the_socket_counts(scene: Scene, root: User) -> None:
    neighbour = scene.add_player(socket=scene.socket)
    for device in (scene.player, scene.socket, neighbour):
        stop = switches.engage(
            scope="device", platform=scene.platform, target_id=device.pk, reason="x", by=root, now=scene.now
        )
        assert scene.said() == ("kill_switch", "device")
        switches.release(stop, by=root, now=scene.now)

    switches.engage(
        scope="device",
        platform=scene.platform,
        target_id=scene.players[1].pk,
        reason="x",
        by=root,
        now=scene.now,
    )
    assert scene.said() is None


# --- evidence ------------------------------------------------------------------------------------


def see(scene: Scene, state: str, at: datetime) -> None:
    record_observations([Observed(scene.player.pk, state, at)], source="test")


@pytest.mark.parametrize("by_person", [False, True])
def test_without_fresh_positive_evidence_nobody_acts(scene: Scene, by_person: bool) -> None:
    said = [scene.said(by_person=by_person, now=scene.now + timedelta(seconds=135))]
    said.append(scene.said(by_person=by_person, now=scene.now + timedelta(seconds=136)))
    see(scene, "unknown", scene.now)
    said.append(scene.said(by_person=by_person))
    see(scene, "online", scene.now)
    said.append(scene.said(by_person=by_person))

    assert said == [None, ("evidence", "stale"), ("evidence", "no_data"), ("evidence", "not_offline")]


def test_a_device_that_was_never_seen_is_no_evidence(scene: Scene) -> None:
    Device.objects.filter(pk=scene.player.pk).update(noted_at=None, observer=None)

    assert scene.said() == ("evidence", "no_data")


def test_an_observation_in_the_future_is_a_clock_that_was_wrong(scene: Scene) -> None:
    """The clock went back an hour: what is "fresh" for an hour to come proves nothing."""
    assert scene.said(now=scene.now - minutes(60)) == ("evidence", "stale")


def test_the_jobs_own_limit_of_age_counts(scene: Scene) -> None:
    scene.update(evidence_max_age_s=10)

    assert scene.said(now=scene.now + timedelta(seconds=10)) is None
    assert scene.said(now=scene.now + timedelta(seconds=11)) == ("evidence", "stale")


def test_offline_must_have_lasted_as_long_as_the_job_says(scene: Scene) -> None:
    since = scene.now - minutes(9)
    Device.objects.filter(pk=scene.player.pk).update(state_since=since)

    found = scene.refusal()

    assert (found.guard, found.reason, found.lifts_at) == ("evidence", "not_long_enough", since + minutes(10))
    assert scene.said(by_person=True) is None


def test_dark_by_a_command_of_somebody_else_is_no_evidence(scene: Scene) -> None:
    scene.update(cooldown_s=0)
    command = scene.acted(1, state="replied", source="person")
    command.refresh_from_db()

    found = scene.refusal()

    assert (found.guard, found.reason, found.lifts_at) == (
        "evidence",
        "dark_by_our_cycle",
        command.verify_until,
    )
    Command.objects.update(case_id=scene.case.pk)
    assert scene.said() is None, "the case's own attempt is judged by its own window"


@pytest.mark.databases
def test_a_target_that_was_never_polled_does_not_hide_the_interval(scene: Scene) -> None:
    """Where NULL sorts first is the database's choice, not ours."""
    slow = Exporter.objects.create(platform=scene.platform, name="slow", kind="cubic", interval_s=3600, base_url="http://x/",
                                   is_enabled=False)  # fmt: skip
    ExporterTarget.objects.create(exporter=slow, device=scene.player, external_id="zz")

    assert scene.said(now=scene.now + timedelta(seconds=136)) == ("evidence", "stale")


# --- upstream ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"is_up": False, "last_error": "timeout"}, "timeout"),
        ({"is_up": None}, "down"),
        ({"suspect_reason": "half_missing"}, "half_missing"),
    ],
)
def test_a_cms_in_doubt_objects(scene: Scene, fields: dict[str, Any], why: str) -> None:
    Exporter.objects.update(**fields)

    found = scene.refusal()

    assert (found.guard, found.reason) == ("upstream", "cms_in_doubt")
    assert found.data == {"exporter": scene.exporter.name, "why": why}
    assert scene.said(by_person=True) == ("upstream", "cms_in_doubt")


def test_a_cms_that_is_switched_off_is_not_asked_for_its_health(scene: Scene) -> None:
    Exporter.objects.update(is_up=False, is_enabled=False)

    assert scene.said() is None


# --- mass change ---------------------------------------------------------------------------------


def test_many_who_fell_together_object_also_long_after(scene: Scene) -> None:
    for player in scene.players[1:4]:
        Device.objects.filter(pk=player.pk).update(
            state="offline", state_since=Device.objects.get(pk=scene.player.pk).state_since
        )

    found = scene.refusal()

    assert (found.guard, found.reason) == ("mass_change", "platform")
    assert found.data == {"group": scene.platform.name, "bad": 4, "known": 8}
    Device.objects.filter(platform=scene.platform, state="offline").update(
        state_since=scene.now - timedelta(days=1)
    )
    assert scene.said() == ("mass_change", "platform"), "a day later they still fell together"


def test_those_who_fell_at_other_times_do_not_count(scene: Scene) -> None:
    for number, player in enumerate(scene.players[1:6]):
        Device.objects.filter(pk=player.pk).update(
            state="offline", state_since=scene.now - timedelta(days=2 + number)
        )

    assert scene.said() is None


def test_an_open_mass_case_of_the_group_objects_for_who_fell_until_then(scene: Scene) -> None:
    mass = Case.objects.create(
        platform=scene.platform, kind="mass", subject=f"site:{scene.player.site_id}", title="site", state="escalated",
        opened_at=scene.now, state_changed_at=scene.now,
    )  # fmt: skip

    during = scene.refusal()
    Case.objects.filter(pk=mass.pk).update(opened_at=scene.now - timedelta(days=2))
    later = scene.said()
    Case.objects.filter(pk=scene.case.pk).update(parent=mass)
    as_child = scene.said()
    Case.objects.filter(pk=mass.pk).update(state="verified")

    assert during == Refusal("mass_change", "common_cause", {"group": "site"})
    assert later is None
    assert as_child == ("mass_change", "common_cause")
    assert scene.said() is None


# --- power ---------------------------------------------------------------------------------------


def test_without_a_socket_that_can_be_asked_nothing_is_done(scene: Scene) -> None:
    said = []
    for change in ({"facts": {"mains": "lost"}}, {"msisdn": ""}, {"is_active": False}):
        Device.objects.filter(pk=scene.socket.pk).update(**change)
        said.append(scene.said(by_person=True))
    PowerLink.objects.filter(device=scene.player).update(valid_to=scene.now)
    said.append(scene.said(by_person=True))

    assert said == [
        ("power", "no_mains"),
        ("power", "no_number"),
        ("power", "no_number"),
        ("power", "no_power_link"),
    ]


def test_a_model_that_was_not_checked_is_left_to_people(scene: Scene) -> None:
    DeviceModel.objects.update(bench_checked_at=None)

    assert scene.said() == ("power", "model_not_checked")
    assert scene.said(by_person=True) is None


@pytest.mark.parametrize("which", ["player", "socket"])
def test_what_was_moved_is_left_to_people_until_somebody_has_seen_it_work(scene: Scene, which: str) -> None:
    """However the stop of the device has ended: by its end, from the list of stops, by a program."""
    Device.objects.filter(pk=getattr(scene, which).pk).update(recheck_since=scene.now - minutes(5))

    assert scene.said() == ("power", "not_rechecked")
    assert scene.said(by_person=True) is None


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("no_such_key", "no_such_command"), ("power_off", "not_a_repair"), ("factory_reset", "not_a_repair"),
        ("remove_all_users", "not_a_repair"), ("power_on_for", "not_a_repair"), ("status", "not_a_repair"),
        ("power_cycle", None), ("power_on", None),
    ],
)  # fmt: skip
def test_a_job_sends_repairs_and_nothing_else(scene: Scene, key: str, reason: str | None) -> None:
    scene.update(template_key=key)

    assert scene.said() == (("power", reason) if reason else None)


def test_the_wrong_output_is_not_switched(scene: Scene) -> None:
    scene.update(template_key="power_on_line1")
    socket = make_socket(scene.platform, model="D410")
    make_link(scene.player, socket, line=2)

    found = scene.refusal()

    assert (found.guard, found.reason, found.data) == (
        "power",
        "wrong_line",
        {"command": "power_on_line1", "line": 2},
    )
    scene.update(template_key="power_on_line2")
    assert scene.said() is None


@pytest.mark.parametrize("source", ["person", "job"])
def test_what_a_person_switched_off_stays_off(scene: Scene, source: str) -> None:
    scene.update(cooldown_s=0)
    command = scene.acted(120, template_key="power_off", params={}, source=source)
    scene.acted(60, template_key="schedule_on", params={}, source="person")

    assert (scene.said() == ("power", "switched_off_by_person")) is (source == "person")

    scene.acted(30, template_key="power_on", params={}, source="person")
    assert scene.said() is None, command


def test_a_neighbour_that_works_objects_unless_the_job_may_darken_it(scene: Scene) -> None:
    neighbour = scene.add_player(socket=scene.socket, name="works")
    record_observations([Observed(neighbour.pk, "online", scene.now)], source="test")

    found = scene.refusal()

    assert (found.guard, found.reason, found.data) == (
        "power",
        "feeds_healthy_players",
        {"players": ["works"]},
    )
    assert scene.said(by_person=True) is None
    Device.objects.filter(pk=neighbour.pk).update(is_active=False)
    assert scene.said() is None
    Device.objects.filter(pk=neighbour.pk).update(is_active=True)
    scene.update(may_darken_others=True)
    assert scene.said() is None


def test_a_neighbour_on_the_other_output_counts_only_when_both_are_switched(scene: Scene) -> None:
    socket = make_socket(scene.platform, model="D410")
    make_link(scene.player, socket, line=1)
    neighbour = scene.add_player(socket=socket, line=2)
    record_observations([Observed(neighbour.pk, "online", scene.now)], source="test")

    scene.update(template_key="power_on_line1")
    one = scene.said()
    scene.update(template_key="power_on_all")

    assert (one, scene.said()) == (None, ("power", "feeds_healthy_players"))


# --- lane, cooldown, chronic ---------------------------------------------------------------------


@pytest.mark.parametrize("by_person", [False, True])
def test_a_busy_socket_objects(scene: Scene, by_person: bool) -> None:
    scene.update(cooldown_s=0)
    scene.acted(20, state="sent", template_key="power_on", params={})

    found = scene.refusal(by_person=by_person)

    assert (found.guard, found.reason, found.data["state"]) == ("lane", "socket_busy", "sent")


def test_the_pause_is_kept_and_says_when_it_ends(scene: Scene) -> None:
    command = scene.acted(59)
    command.refresh_from_db()

    found = scene.refusal()

    assert (found.guard, found.reason) == ("cooldown", "too_soon")
    assert found.lifts_at == command.sent_at + minutes(60)
    assert scene.said(by_person=True) is None
    scene.update(cooldown_s=59 * 60)
    assert scene.said() is None


@pytest.mark.parametrize("state", ["sent", "delivered", "replied", "verified", "unverified", "unknown", "needs_operator",  # noqa: E501
                                   "closed_by_operator"])  # fmt: skip
def test_whatever_may_have_acted_starts_the_pause(scene: Scene, state: str) -> None:
    other = make_socket(scene.platform)
    scene.acted(30, state=state, socket=other)

    assert scene.said() == ("cooldown", "too_soon"), "also by another socket: a new one is no new start"


@pytest.mark.parametrize(
    "state", ["blocked", "cancelled", "expired", "superseded", "failed", "not_executed", "refused"]
)
def test_what_did_not_act_starts_none(scene: Scene, state: str) -> None:
    scene.acted(30, state=state)

    assert scene.said() is None


@pytest.mark.databases
def test_an_action_without_a_time_of_sending_counts_from_its_last_step(scene: Scene) -> None:
    command = scene.acted(30, state="replied")
    Command.objects.filter(pk=command.pk).update(sent_at=None, state_changed_at=scene.now - minutes(30))
    scene.acted(600)

    assert scene.said() == ("cooldown", "too_soon")


def test_a_device_that_needs_it_so_often_needs_a_person(scene: Scene) -> None:
    oldest, *_later = [scene.acted(60 * hours) for hours in (20, 10, 2)]
    oldest.refresh_from_db()

    found = scene.refusal()

    assert (found.guard, found.reason, found.data) == ("chronic", "day_limit", {"limit": 3})
    assert found.lifts_at == oldest.sent_at + timedelta(days=1)
    assert scene.said(by_person=True) is None


@pytest.mark.parametrize("mode", ["auto", "suggest"])
def test_people_hear_of_a_chronic_device_at_once_not_when_the_day_is_over(scene: Scene, mode: str) -> None:
    scene.update(mode=mode)
    for hours in (20, 10, 2):
        scene.acted(60 * hours)

    for _look in range(2):
        advance_case(scene.case.pk, now=scene.now)

    scene.case.refresh_from_db()
    assert (scene.case.state, scene.case.outcome, scene.case.notices_sent) == ("escalated", "chronic", 1)
    assert refusals(scene.case) == {"chronic_day_limit": 1}


def test_six_in_a_week_are_too_many(scene: Scene) -> None:
    oldest, *_later = [scene.acted(60 * 24 * days) for days in (6.9, 5, 4, 3, 2.5, 2)]
    oldest.refresh_from_db()

    found = scene.refusal()

    assert (found.guard, found.reason, found.lifts_at) == (
        "chronic", "week_limit", oldest.sent_at + timedelta(days=7),
    )  # fmt: skip
    assert scene.said(now=scene.now) == ("chronic", "week_limit")


# --- blast radius, budget ------------------------------------------------------------------------


def test_one_job_acts_on_few_devices_an_hour(scene: Scene) -> None:
    first = None
    for number, player in enumerate(scene.players[1:4]):
        command = scene.acted(50 - number, socket=scene.socket_of(player), target=player, job_id=scene.job.pk)
        first = first or command
    scene.acted(50, socket=scene.sockets[5], target=scene.players[5], job_id=scene.job.pk + 1)
    first.refresh_from_db()

    found = scene.refusal()

    assert (found.guard, found.reason, found.data) == (
        "blast_radius",
        "job_limit",
        {"limit": 3, "window_s": 3600},
    )
    assert found.lifts_at == first.created_at + minutes(60)
    assert scene.said(by_person=True) is None
    Command.objects.filter(pk=first.pk).update(state="blocked")
    assert scene.said() is None, "what never left does not count"


def test_a_large_job_may_act_on_five_per_cent(db: None) -> None:
    scene = Scene(players=8)
    Platform.objects.update(device_limit=1000)
    Device.objects.bulk_create(Device(platform=scene.platform, name=f"d{n}") for n in range(72))
    for player in scene.players[1:4]:
        scene.acted(50, socket=scene.socket_of(player), target=player, job_id=scene.job.pk)

    assert scene.said() is None
    scene.acted(50, socket=scene.sockets[4], target=scene.players[4], job_id=scene.job.pk)
    assert scene.said() == ("blast_radius", "job_limit")


def test_automation_leaves_people_their_share(scene: Scene) -> None:
    Platform.objects.update(sms_limit=5, sms_people_share_ratio=1.0)

    assert scene.said() == ("budget", "sms_limit")
    assert scene.said(by_person=True) is None
    Platform.objects.update(sms_limit=0)
    assert scene.said(by_person=True) == ("budget", "sms_limit")


# --- at the barrier ------------------------------------------------------------------------------


def test_a_command_without_a_case_is_not_automations_business(scene: Scene) -> None:
    command = scene.acted(0, source="person")

    assert case_still_wants(command, now=scene.now) is None


def plan(scene: Scene, **over: Any) -> Command:
    return request_command(**{
        "device": scene.socket, "target": scene.player, "template_key": "power_cycle", "params": {"minutes": 1},
        "source": "job", "idem_key": str(uuid.uuid4()), "cause_id": uuid.uuid4(), "now": scene.now,
        "case_id": scene.case.pk, "job_id": scene.job.pk, **over,
    })  # fmt: skip


def test_the_last_look_lets_pass_what_still_stands(scene: Scene) -> None:
    assert case_still_wants(plan(scene), now=scene.now) is None


@pytest.mark.parametrize("state", ["verifying", "verified", "escalated", "cancelled"])
def test_a_case_that_does_not_act_any_more_wants_nothing(scene: Scene, state: str) -> None:
    command = plan(scene)
    Case.objects.filter(pk=scene.case.pk).update(state=state)

    assert case_still_wants(command, now=scene.now) == "case_closed"
    command.case_id = uuid.uuid4()
    assert case_still_wants(command, now=scene.now) == "case_closed"


def test_an_action_of_somebody_else_meanwhile_stops_this_one(scene: Scene) -> None:
    """A person cycled the player by hand while the job's SMS waited for a gateway."""
    command = plan(scene)
    scene.acted(0.5, state="replied", template_key="status", params={}, source="person")
    assert case_still_wants(command, now=scene.now) is None
    scene.acted(0.5, state="verified", source="person", socket=make_socket(scene.platform))

    assert case_still_wants(command, now=scene.now) == "cooldown_too_soon"


def test_the_own_command_does_not_make_its_player_count_as_expected(db: None) -> None:
    """Two of two at a site: while the first one's SMS is queued the second falls. That is a mass."""
    scene = Scene()
    second = scene.add_player(site=scene.player.site)
    record_observations([Observed(second.pk, "online", scene.now)], source="test")
    command = plan(scene)
    before = case_still_wants(command, now=scene.now)

    record_observations([Observed(second.pk, "offline", scene.now)], source="test")

    assert (before, case_still_wants(command, now=scene.now)) == (None, "mass_change_site")


# --- the journal ---------------------------------------------------------------------------------


def test_the_same_objection_is_counted_not_repeated(scene: Scene) -> None:
    for number in range(5):
        lifts_at = scene.now + minutes(number)
        write_refusal(
            scene.case,
            Refusal("cooldown", "too_soon", {"n": number}, lifts_at),
            now=scene.now + minutes(number),
        )
    write_refusal(scene.case, Refusal("budget", "sms_limit"), now=scene.now)

    row = GuardRefusal.objects.get(guard="cooldown")
    assert (row.times, row.data, row.first_at, row.last_at) == (
        5,
        {"n": 4},
        scene.now,
        scene.now + minutes(4),
    )
    assert row.lifts_at == scene.now + minutes(4)
    assert refusals(scene.case) == {"cooldown_too_soon": 5, "budget_sms_limit": 1}
    assert scene.case.events.filter(kind="refused").count() == 2


def test_data_of_any_name_can_be_told(scene: Scene) -> None:
    write_refusal(
        scene.case,
        Refusal("g", "r", {"reason": "a", "kind": "b", "now": "c", "by": "d", "case": "e"}),
        now=NOW,
    )

    assert scene.case.events.get().data == {
        "guard": "g",
        "reason": "a",
        "kind": "b",
        "now": "c",
        "by": "d",
        "case": "e",
    }


def test_a_platform_sees_its_own_refusals_only(scene: Scene, charlie: User) -> None:
    write_refusal(scene.case, Refusal("g", "r"), now=NOW)
    own = make_user("own", platform=scene.platform, role="viewer")

    assert GuardRefusal.objects.visible_to(own).count() == 1
    assert GuardRefusal.objects.visible_to(charlie).count() == 0


def test_a_job_can_only_be_saved_with_a_repair(scene: Scene) -> None:
    make_job(scene.platform).full_clean(exclude=["labels", "params"])
    for key in ("factory_reset", "power_off", "nothing"):
        with pytest.raises(ValidationError) as refused:
            make_job(scene.platform, template_key=key).full_clean()
        assert "template_key" in refused.value.message_dict
