"""A PromQL job on a real Prometheus, which scrapes this very REMOSA: it fires, and repairs."""

from collections.abc import Callable
from typing import Any

import pytest

from automation.models import Case, Job, JobRun, PrometheusConnection
from devices.models import Command
from platforms import tokens
from platforms.models.tokens import Scope
from remosa.simulator.fleet import demo_fleet
from remosa.simulator.thread import SimulatorThread
from tests.loop import Loop
from tests.servers.prometheus import Prometheus

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]
MINUTE_S = 1.0
FLEET = demo_fleet()
VICTIM = next(
    p for p in FLEET.players if FLEET.sockets_by_msisdn[p.socket].model == "D210" and p.cms == "cubic"
)


def test_a_promql_job_fires_and_repairs(
    loop_settings: None, live_server: Any, run_prometheus: Callable[..., Prometheus], settings: Any
) -> None:
    settings.PUBLIC_URL = live_server.url
    settings.DEVICE_MINUTE_S = MINUTE_S
    with SimulatorThread(minute_s=MINUTE_S) as simulator:
        loop = Loop(simulator, minute_s=MINUTE_S)
        _row, token = tokens.issue(name="prometheus", scopes=[Scope.SCRAPE], by=None, platform=loop.platform)
        server = run_prometheus(_config(live_server.url, loop.platform.pk, token))
        PrometheusConnection.objects.create(url=server.url)
        status = f'remosa_exporter_cubic_device_status{{platform_id="{loop.platform.pk}"}}'
        Job.objects.filter(platform=loop.platform).update(
            source="promql", promql=status, operator="==", threshold=0
        )
        loop.turns(3)
        server.wait_for(status, deadline_s=60)

        loop.simulator.world.hang(VICTIM.id)
        loop.until(
            lambda: Case.objects.filter(state="verified", outcome="repaired").exists(),
            what="the repair",
            deadline_s=120,
        )

        assert [entry.number for entry in simulator.world.ledger()] == [VICTIM.socket]
        assert Case.objects.get().evidence["source"] == "promql"
        assert Command.objects.get().state == "verified"

        server.stop()
        JobRun.objects.all().delete()
        loop.simulator.world.hang(next(p for p in FLEET.players_in("cubic") if p.socket != VICTIM.socket).id)
        loop.turns(8)

        assert Command.objects.count() == 1, "no Prometheus, no evidence, no command"
        assert Job.objects.get().broken_reason


def _config(url: str, platform_id: int, token: str) -> dict[str, Any]:
    authorization = {"type": "Bearer", "credentials": token}
    return {
        "global": {"scrape_interval": "500ms", "scrape_timeout": "450ms"},
        "scrape_configs": [
            {
                "job_name": "remosa",
                "authorization": authorization,
                "http_sd_configs": [
                    {
                        "url": f"{url}/platforms/{platform_id}/sd",
                        "refresh_interval": "1s",
                        "authorization": authorization,
                    }
                ],
            }
        ],
    }
