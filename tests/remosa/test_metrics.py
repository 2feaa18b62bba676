"""REMOSA's own metrics: for the operator alone, counted from the tables, naming no client."""

from datetime import timedelta

import pytest
from django.test import Client
from prometheus_client import parser
from prometheus_client.openmetrics import parser as openmetrics_parser

from automation.models import Heartbeat
from devices.models import Device
from exporters.models import Exporter
from platforms import tokens
from platforms.models import Platform
from remosa.lib.clock import utcnow
from sms.models import SmsMessage
from tests.factories import make_device, make_exporter, make_gateway

pytestmark = [pytest.mark.django_db, pytest.mark.databases]


def make_token(platform: Platform | None = None, scope: str = "operator") -> str:
    _row, text = tokens.issue(name="t", scopes=[scope], by=None, platform=platform)
    return text


def scrape(**headers: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """{(name, labels): value} of the text form."""
    response = Client().get("/metrics", headers={"Authorization": f"Bearer {make_token()}", **headers})
    assert response.status_code == 200
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in parser.text_string_to_metric_families(response.content.decode())
        for sample in family.samples
    }


def test_an_empty_installation_has_every_family(db):
    names = {name for name, _labels in scrape()}

    assert names >= {
        "remosa_outbox_messages", "remosa_outbox_oldest_seconds", "remosa_cases", "remosa_commands",
        "remosa_devices", "remosa_exporters", "remosa_exporter_rounds_running",
        "remosa_exporter_rounds_lag_seconds", "remosa_queue_tasks",
    }  # fmt: skip
    assert set(scrape().values()) == {0}


def test_rows_are_counted_over_all_platforms(north, south):
    for platform in (north, south):
        Device.objects.filter(pk=make_device(platform).pk).update(state="offline")
    make_exporter(north, is_up=True, next_poll_at=utcnow() + timedelta(hours=1))
    make_exporter(
        north, is_up=True, suspect_reason="half_missing", next_poll_at=utcnow() - timedelta(seconds=90)
    )
    make_exporter(south, is_up=False, lease_owner="x", lease_until=utcnow() + timedelta(minutes=1))
    Exporter.objects.filter(pk=make_exporter(south).pk).update(created_at=utcnow() - timedelta(seconds=50))
    Heartbeat.objects.create(name="sweep", at=utcnow())

    found = scrape()

    exporters = {labels[0][1]: value for (name, labels), value in found.items() if name == "remosa_exporters"}
    assert exporters == {"up": 1, "suspect": 1, "down": 1, "never": 1}
    assert found["remosa_devices", (("state", "offline"),)] == 2
    assert found["remosa_exporter_rounds_running", ()] == 1
    assert 90 <= found["remosa_exporter_rounds_lag_seconds", ()] < 120
    assert found["remosa_heartbeat_timestamp_seconds", (("process", "sweep"),)] == pytest.approx(
        utcnow().timestamp(), abs=60
    )


def test_the_oldest_waiting_message_tells_how_late_the_outbox_is(north):
    gateway, now = make_gateway(north), utcnow()
    for state, age_s in (("queued", 40), ("queued", 300), ("sent", 9000)):
        SmsMessage.objects.create(
            platform=north, gateway=gateway, purpose="person", to="+79001234567", body="x", segments=1,
            state=state, state_changed_at=now, dedupe_key=f"{state} {age_s}", next_attempt_at=now,
            created_at=now - timedelta(seconds=age_s), expires_at=now + timedelta(hours=1),
        )  # fmt: skip

    found = scrape()

    assert found["remosa_outbox_messages", (("state", "queued"),)] == 2
    assert found["remosa_outbox_messages", (("state", "sent"),)] == 1
    assert 300 <= found["remosa_outbox_oldest_seconds", ()] < 330


def test_no_client_is_named(north):
    make_exporter(north, name="Секретная сеть")

    text = Client().get("/metrics", headers={"Authorization": make_token()}).content.decode()

    assert "north" not in text
    assert "Секретная" not in text
    assert "platform_id" not in text


@pytest.mark.parametrize("scope", ["scrape", "read", "intake"])
def test_a_clients_token_is_not_enough(north, scope):
    assert Client().get("/metrics", headers={"Authorization": make_token(north, scope)}).status_code == 401


def test_without_a_token_or_with_another_method_there_is_nothing():
    assert Client().get("/metrics").status_code == 401
    assert Client(enforce_csrf_checks=True).post("/metrics").status_code == 405


def test_openmetrics_is_spoken_and_head_has_no_body(db):
    headers = {"Authorization": make_token(), "Accept": "application/openmetrics-text;version=1.0.0"}

    response, head = Client().get("/metrics", headers=headers), Client().head("/metrics", headers=headers)

    assert response["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    assert list(openmetrics_parser.text_string_to_metric_families(response.content.decode()))
    assert (head.status_code, head.content) == (200, b"")


def test_promtool_has_no_complaint(run_promtool, north):
    make_exporter(north)
    text = Client().get("/metrics", headers={"Authorization": make_token()}).content.decode()

    run_promtool("check", "metrics", stdin=text)  # raises what promtool says
