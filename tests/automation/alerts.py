"""Alerts for tests: a source, and rows or bodies as Alertmanager and Grafana make them."""

import base64
import hashlib
import hmac
import json
from datetime import datetime
from typing import Any

from django.test import Client

from automation.models import Alert, AlertSource
from devices.models import Device
from platforms.models import Platform
from tests.factories import NOW

SECRET = "a-secret-of-north"


def make_source(platform: Platform, **fields: Any) -> AlertSource:
    fields.setdefault("name", f"source {AlertSource.objects.count()}")
    fields.setdefault("kind", "alertmanager")
    fields.setdefault("auth", "bearer")
    fields.setdefault("secret", SECRET)
    return AlertSource.objects.create(platform=platform, **fields)


def make_alert(source: AlertSource, device: Device | None, *, at: datetime = NOW, **fields: Any) -> Alert:
    """An alert of ``device`` that fires since ``at`` and was received then."""
    labels = {"alertname": "PlayerOffline", "mac": device.mac if device else ""}
    values = {
        "source": source, "platform": source.platform, "device": device, "name": labels["alertname"],
        "fingerprint": f"{device.pk if device else 0:016x}", "labels": labels, "starts_at": at,
        "first_received_at": at, "received_at": at,
    }  # fmt: skip
    return Alert.objects.create(**values | fields)


def rfc3339(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.%f000Z")


def item(
    labels: dict[str, str], *, at: datetime = NOW, state: str = "firing", ends: datetime | None = None, **more: Any
) -> dict[str, Any]:  # fmt: skip
    """One alert of a webhook's body."""
    fingerprint = hashlib.sha256(json.dumps(labels, sort_keys=True).encode()).hexdigest()[:16]
    return {
        "status": state, "labels": labels, "annotations": {"summary": "it is dark"}, "startsAt": rfc3339(at),
        "endsAt": rfc3339(ends) if ends else "0001-01-01T00:00:00Z", "generatorURL": "http://prom.example/g",
        "fingerprint": fingerprint, **more,
    }  # fmt: skip


def offline(device: Device, **more: Any) -> dict[str, Any]:
    """The alert of a player that is not seen."""
    return item({"alertname": "PlayerOffline", "mac": device.mac}, **more)


def body_of(*alerts: Any, **more: Any) -> bytes:
    """An Alertmanager's body."""
    firing = any(isinstance(alert, dict) and alert.get("status") == "firing" for alert in alerts)
    content = {
        "receiver": "remosa", "status": "firing" if firing else "resolved", "alerts": list(alerts), "version": "4",
        "groupKey": "{}:{}", "truncatedAlerts": 0, "groupLabels": {}, "commonLabels": {}, "commonAnnotations": {},
        "externalURL": "http://am.example", **more,
    }  # fmt: skip
    return json.dumps(content, ensure_ascii=False).encode()


def post(source: AlertSource, body: bytes, *, client: Client | None = None, **headers: str) -> Any:
    """What the hook answers to ``body`` with the source's own token."""
    headers.setdefault("Authorization", f"Bearer {SECRET}")
    return (client or Client()).post(
        f"/hooks/alerts/{source.pk}/", data=body, content_type="application/json", headers=headers
    )


def signed(body: bytes, *, secret: str = SECRET, timestamp: str = "") -> str:
    """Grafana's signature."""
    message = f"{timestamp}:".encode() + body if timestamp else body
    return hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()


def basic(username: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()
