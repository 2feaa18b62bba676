"""A storm of 10,000 alerts: nothing is lost, nothing is switched, people hear once, others do not notice."""

from collections.abc import Callable

import pytest

from automation.models import Alert, AlertChange, AlertMapping, Case
from automation.services import intake
from automation.services.alerts import judge_platform
from devices.models import Command, Device
from notifications.models import Notice
from notifications.services import notify_of_case
from tests.automation.alerts import body_of, item, make_source
from tests.automation.world import World
from tests.factories import make_job, make_platform

pytestmark = [pytest.mark.django_db, pytest.mark.databases, pytest.mark.timeout(600)]
DEVICES, KINDS = 50, 200


@pytest.mark.parametrize("bodies", [20, pytest.param(1, marks=pytest.mark.soak)])
def test_ten_thousand_alerts_at_once(bodies: int, figure: Callable[[str, str], None]) -> None:
    platform = make_platform("stormy", sms_limit=1000)
    make_job(platform, source="alert", hold_s=0)
    players = Device.objects.bulk_create(
        Device(
            platform=platform,
            name=f"player {number}",
            mac=f"02:aa:00:00:{number >> 8:02x}:{number & 255:02x}",
        )
        for number in range(DEVICES)
    )
    source = make_source(platform)
    AlertMapping.objects.create(source=source, by="mac", template="{mac}")
    calm = World(players=8, source="alert", hold_s=0)
    calm.poll()
    calm.hang(calm.players[0])
    calm.turn()
    calm.turn()
    theirs = make_source(calm.platform, name="calm")
    AlertMapping.objects.create(source=theirs, by="mac", template="{mac}")
    alerts = [
        item({"alertname": f"A{kind}", "mac": player.mac}, at=calm.now)
        for kind in range(KINDS)
        for player in players
    ]
    size = len(alerts) // bodies

    for number in range(bodies):
        part = alerts[number * size : (number + 1) * size]
        taken = intake.take(source, body_of(*part), stamp=str(number), now=calm.now)
        assert (taken.accepted, taken.changes, taken.rejected) == (size, size, 0)
    lone = item({"alertname": "PlayerOffline", "mac": calm.players[0].mac}, at=calm.now)
    intake.take(theirs, body_of(lone), stamp="", now=calm.now)
    judge_platform(platform.pk, now=calm.now)
    judge_platform(calm.platform.pk, now=calm.now)
    told = [
        notify_of_case(case.pk, kind="escalated", now=calm.now)
        for case in Case.objects.filter(platform=platform)
    ]

    assert (
        Alert.objects.filter(source=source).count()
        == AlertChange.objects.filter(alert__source=source).count()
    )
    assert Alert.objects.filter(source=source, device__isnull=False).count() == 10_000
    assert Command.objects.filter(platform=platform).count() == 0, "on alerts alone nothing is switched"
    mass = Case.objects.get(platform=platform, kind="mass")
    assert mass.children.count() == DEVICES
    assert [notice.case_id for notice in told if notice is not None] == [mass.pk]
    assert Notice.objects.filter(platform=platform).count() == 1, "one for all"
    assert [command.platform_id for command in Command.objects.all()] == [calm.platform.pk]
    figure("alert storm", "10,000 alerts, 0 lost, 0 switched, 1 notice, the other platform acts")
