"""A real Alertmanager, configured with the very text that the console offers, posts to a real server."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError

from automation.models import Alert, AlertChange, AlertDelivery, AlertSource
from automation.services import intake
from automation.services.sources import configs_of, create_source
from devices.models import Device
from remosa.lib.clock import utcnow
from tests.automation.alerts import rfc3339
from tests.factories import make_device, make_platform, make_user
from tests.servers.alertmanager import Alertmanager
from tests.servers.process import wait_until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]
DEADLINE_S = 60.0


def raised(*players: Device, ended: bool = False) -> list[dict[str, Any]]:
    """What Prometheus tells of players that are not seen; ``ended``: and then they were."""
    now = utcnow()
    ends = now if ended else now + timedelta(minutes=10)
    return [
        {
            "labels": {"alertname": "PlayerOffline", "mac": player.mac, "player": player.name},
            "annotations": {"summary": f"Плеер {player.name} не в сети"}, "endsAt": rfc3339(ends),
            **({} if ended else {"startsAt": rfc3339(now)}), "generatorURL": "http://prom.example/graph",
        }
        for player in players
    ]  # fmt: skip


def states() -> dict[str, str]:
    return {alert.device.name: alert.state for alert in Alert.objects.select_related("device")}


def test_alertmanager_fires_groups_truncates_retries_and_resolves(
    live_server: Any,
    run_alertmanager: Callable[[str], Alertmanager],
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings.PUBLIC_URL = live_server.url
    platform = make_platform("north")
    by = make_user("alice", platform=platform, role="admin")
    source = create_source(AlertSource(platform=platform, name="am", kind="alertmanager"), by=by)
    players = [make_device(platform, name=f"player {number}") for number in range(4)]
    text = configs_of(source, secret=str(source.secret))[0].text
    quick = {"group_wait: 10s": "group_wait: 1s", "group_interval: 1m": "group_interval: 2s"}
    for slow, fast in {**quick, "send_resolved: true": "send_resolved: true\n        max_alerts: 3"}.items():
        assert slow in text
        text = text.replace(slow, fast)
    server = run_alertmanager(text)
    troubles, real = [], intake.take

    def in_trouble_first(*args: Any, **kwargs: Any) -> Any:
        if len(troubles) < 2:
            troubles.append(1)
            raise OperationalError("the database is away")
        return real(*args, **kwargs)

    monkeypatch.setattr("automation.webhooks.take", in_trouble_first)

    server.post(raised(*players[:2]))
    wait_until(
        lambda: len(states()) == 2, deadline_s=DEADLINE_S, what="the first group, after two answers 503"
    )
    assert len(troubles) == 2
    assert set(states().values()) == {"firing"}
    assert AlertDelivery.objects.get().alerts == 2, "one group, one request"

    server.post(raised(*players[2:]))
    wait_until(
        lambda: AlertDelivery.objects.filter(truncated=1).exists(),
        deadline_s=DEADLINE_S,
        what="a truncated group",
    )
    assert set(states().values()) == {"firing"}, "what was left out has not ended"

    server.post(raised(*players, ended=True))
    wait_until(
        lambda: list(states().values()).count("resolved") >= 3,
        deadline_s=DEADLINE_S,
        what="the end of what is told",
    )

    changes = list(AlertChange.objects.values_list("alert", "state"))
    assert len(changes) == len(set(changes)), "each state once"
    source.refresh_from_db()
    assert source.refused_at is None
