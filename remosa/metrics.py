"""REMOSA's own metrics for its operator: ``/metrics`` with a token of scope ``operator``.

Counted from the tables at each scrape, over all platforms: no series names a client. Each request
builds a registry of its own.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from django.db.models import Count, F, Min, Q
from django.http import HttpRequest, HttpResponse
from django_q.models import OrmQ
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.registry import Collector

from automation.models import Case, Heartbeat
from automation.states import CaseState
from devices.models import Command, Device
from devices.states import CommandState, DeviceState
from exporters.exposition import negotiate
from exporters.models import Exporter
from exporters.views import body_of, for_machines
from platforms.models import ApiToken
from remosa.lib.clock import utcnow
from sms.models import SmsMessage
from sms.states import SmsState

WAITING = [SmsState.QUEUED, SmsState.CLAIMED, SmsState.SENDING]


@for_machines("operator")
def operator_metrics(request: HttpRequest, *, token: ApiToken) -> HttpResponse:
    """What the operator's Prometheus reads: queues, cases, commands, exporters, workers."""
    wanted = negotiate(request.headers.get("Accept", ""))
    registry = CollectorRegistry()
    registry.register(Own(utcnow()))
    body = (generate_openmetrics if wanted.openmetrics else generate_latest)(registry)
    return body_of(
        request,
        HttpResponse(body, content_type=wanted.content_type, headers={"Cache-Control": "no-store"}),
    )


class Own(Collector):
    """The families, as of ``now``."""

    def __init__(self, now: datetime) -> None:
        self._now = now

    def collect(self) -> Iterator[Metric]:
        yield by_state("remosa_outbox_messages", "SMS by state", SmsMessage, SmsState.values)
        yield self._oldest_message()
        yield by_state("remosa_cases", "Cases by state", Case, CaseState.values)
        yield by_state("remosa_commands", "Commands by state", Command, CommandState.values)
        yield by_state(
            "remosa_devices", "Active devices by state", Device, DeviceState.values, Q(is_active=True)
        )
        yield from self._exporters()
        yield self._heartbeats()
        yield gauge("remosa_queue_tasks", "Tasks that wait in the database's queue", OrmQ.objects.count())

    def _oldest_message(self) -> Metric:
        waiting = SmsMessage.objects.filter(state__in=WAITING)
        oldest = waiting.aggregate(at=Min("created_at"))["at"]
        age_s = max(0.0, (self._now - oldest).total_seconds()) if oldest else 0.0
        return gauge("remosa_outbox_oldest_seconds", "Age of the oldest SMS that is not sent yet", age_s)

    def _exporters(self) -> Iterator[Metric]:
        enabled = Exporter.objects.filter(is_enabled=True, platform__is_active=True)
        counts = enabled.aggregate(
            up=Count("pk", filter=Q(is_up=True, suspect_reason="")),
            suspect=Count("pk", filter=Q(is_up=True) & ~Q(suspect_reason="")),
            down=Count("pk", filter=Q(is_up=False)),
            never=Count("pk", filter=Q(is_up=None)),
        )
        family = GaugeMetricFamily(
            "remosa_exporters", "Enabled exporters by what their CMS says", labels=["state"]
        )
        for state, count in counts.items():
            family.add_metric([state], count)
        yield family
        yield gauge(
            "remosa_exporter_rounds_running", "Rounds of polling that run now",
            Exporter.objects.filter(lease_until__gte=self._now).exclude(lease_owner="").count(),
        )  # fmt: skip
        waiting_since = Exporter.objects.due(self._now).aggregate(
            at=Min(F("next_poll_at")), created_at=Min("created_at", filter=Q(next_poll_at=None))
        )
        moments = [moment for moment in waiting_since.values() if moment is not None]
        lag_s = max(0.0, (self._now - min(moments)).total_seconds()) if moments else 0.0
        yield gauge(
            "remosa_exporter_rounds_lag_seconds",
            "How long the most overdue exporter waits for a poller",
            lag_s,
        )

    def _heartbeats(self) -> Metric:
        family = GaugeMetricFamily(
            "remosa_heartbeat_timestamp_seconds", "When a process last did its round, Unix time",
            labels=["process"],
        )  # fmt: skip
        for name, at in Heartbeat.objects.order_by("name").values_list("name", "at"):
            family.add_metric([name], at.timestamp())
        return family


def by_state(name: str, text: str, model: Any, states: Iterable[str], only: Q | None = None) -> Metric:
    """How many rows are in each state, zeros included."""
    rows = model.objects.filter(only) if only is not None else model.objects.all()
    counts = dict(rows.order_by().values_list("state").annotate(Count("pk")))
    family = GaugeMetricFamily(name, text, labels=["state"])
    for state in states:
        family.add_metric([state], counts.get(state, 0))
    return family


def gauge(name: str, text: str, value: float) -> Metric:
    """A family with one series without labels."""
    return GaugeMetricFamily(name, text, value=value)
