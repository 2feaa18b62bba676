"""An alert is evidence while it fires and is fresh, unless a fresher snapshot says online; alone it only suggests."""

from datetime import timedelta
from typing import Any

import pytest

from automation.alert_evidence import mode_of, seen
from automation.guards import candidate_of, evidence
from automation.models import Alert, Case, Job
from automation.services import evaluation
from automation.sources import read_alerts
from devices.models import Device
from tests.automation.alerts import make_alert, make_source
from tests.automation.world import World, told
from tests.factories import make_exporter, make_platform, make_target, minutes

pytestmark = pytest.mark.django_db


class Alarm(World):
    """Players whom a CMS and an Alertmanager watch; the job goes by the alerts."""

    def __init__(self, **job: Any) -> None:
        super().__init__(players=8, **{"source": "alert", "hold_s": 0, **job})
        self.source = make_source(self.platform)
        self.player = self.players[0]
        self.poll()

    def raise_alert(self, player: Device | None = None, **fields: Any) -> Alert:
        return make_alert(self.source, player or self.player, at=self.now, **fields)

    def reading(self) -> bool | None:
        found = read_alerts(self.job, expected=set(), now=self.now).get(self.player.pk)
        return found[0].breach if found else None

    def judge(self) -> None:
        """The job as it is evaluated when alerts came, and what follows."""
        evaluation.evaluate_job(self.job, tick=f"test:{self.now}:{Alert.objects.count()}", now=self.now)
        evaluation.cases.advance_platform(self.platform.pk, now=self.now)


def test_a_firing_alert_is_a_breach_and_a_resolved_one_is_none() -> None:
    world = Alarm()
    world.after(1)
    alert = world.raise_alert()

    assert world.reading() is True

    Alert.objects.filter(pk=alert.pk).update(state="resolved", ends_at=world.now)
    assert world.reading() is False


@pytest.mark.parametrize("signal", ["no_data", "error", "missing_series", "paused", "updated", "test"])
@pytest.mark.parametrize("state", ["firing", "resolved"])
def test_what_the_sender_does_not_know_proves_nothing(signal: str, state: str) -> None:
    world = Alarm()
    world.after(1)
    world.raise_alert(signal=signal, state=state)

    assert world.reading() is None
    world.judge()
    assert Case.objects.count() == 0


def test_a_fresher_snapshot_that_says_online_wins() -> None:
    world = Alarm()
    world.after(1)
    world.raise_alert()
    world.after(1)
    world.poll()

    assert world.reading() is False
    world.judge()
    assert Case.objects.count() == 0


def test_only_the_newest_episode_counts() -> None:
    world = Alarm()
    world.after(1)
    old = world.raise_alert()
    newer = world.raise_alert(starts_at=world.now + timedelta(seconds=5), state="resolved")

    assert world.reading() is False
    Alert.objects.filter(pk=newer.pk).delete()
    assert world.reading() is True
    assert old.state == "firing"


def test_the_alert_must_have_been_firing_for_the_hold() -> None:
    world = Alarm(hold_s=600)
    world.hang(world.player)
    world.after(1)
    world.poll()
    world.raise_alert()

    assert world.reading() is None
    world.after(10)
    assert world.reading() is True


def test_labels_choose_the_alerts() -> None:
    world = Alarm(alert_labels={"alertname": "PlayerOffline"})
    world.after(1)
    world.raise_alert(labels={"alertname": "Temperature"}, name="Temperature")

    assert world.reading() is None


def test_an_alert_of_another_platform_is_nobodys() -> None:
    world = Alarm()
    world.after(1)
    elsewhere = make_source(make_platform())
    make_alert(elsewhere, world.player, at=world.now)

    assert world.reading() is None


def test_a_firing_alert_with_an_offline_snapshot_acts() -> None:
    world = Alarm()
    world.hang(world.player)
    world.turn()
    world.turn()
    world.raise_alert()

    world.judge()

    assert world.commands(world.player) == ["queued"]
    assert "acted" in told(world.case_of(world.player))
    world.pump.run_once()
    assert len(world.sent()) == 1


def test_an_alert_alone_only_suggests() -> None:
    world = Alarm()
    world.hush(world.player)
    world.turn(20)
    Device.objects.filter(pk=world.player.pk).update(state="unknown")
    world.raise_alert()

    world.judge()

    assert world.commands(world.player) == []
    assert "suggested" in told(world.case_of(world.player))


def test_a_stale_alert_is_no_evidence() -> None:
    world = Alarm()
    world.hang(world.player)
    world.turn()
    world.raise_alert()
    case = Case.objects.create(
        platform=world.platform, device=world.player, job=world.job, job_version=1, subject="x", title="x", mode="auto",
        opened_at=world.now, state_changed_at=world.now,
    )  # fmt: skip

    assert evidence(candidate_of(case), world.now) is None
    refusal = evidence(candidate_of(case), world.now + timedelta(minutes=16))
    assert refusal.reason == "stale"


def test_a_resolved_alert_is_the_proof_where_no_cms_knows_the_device() -> None:
    world = Alarm(stable_s=300)
    device = Device.objects.get(pk=world.player.pk)
    device.state = "unknown"
    alert = world.raise_alert(state="resolved", ends_at=world.now)

    now = seen(world.job, device, now=world.now + minutes(2))
    assert (now.state, now.since) == ("online", alert.received_at)
    assert seen(world.job, device, now=world.now + minutes(9)).observed_at == alert.received_at + minutes(5)


def test_mode_of_an_alert_alone() -> None:
    world = Alarm()
    device = Device.objects.get(pk=world.player.pk)

    assert mode_of(world.job, device) == "auto"
    device.state = "unknown"
    assert mode_of(world.job, device) == "suggest"
    world.job.source = Job.Source.SNAPSHOT
    assert mode_of(world.job, device) == "auto"


def test_many_alerts_at_once_are_one_mass_case() -> None:
    world = Alarm()
    for player in world.players:
        Device.objects.filter(pk=player.pk).update(state="unknown", observer=None)
        world.raise_alert(player)

    world.judge()

    mass = Case.objects.get(kind="mass")
    assert mass.subject == f"platform:{world.platform.pk}"
    assert [world.commands(player) for player in world.players] == [[]] * len(world.players)


def test_a_source_that_is_switched_off_proves_nothing() -> None:
    world = Alarm()
    world.after(1)
    world.raise_alert()
    world.source.is_enabled = False
    world.source.save()

    assert world.reading() is None


def test_an_alert_job_of_one_exporter_keeps_to_it() -> None:
    world = Alarm()
    other = make_exporter(world.platform)
    make_target(other, world.players[1])
    world.job.exporter = other
    world.job.save()
    world.after(1)
    world.raise_alert()

    assert world.reading() is None
