"""The console and the API of alerts: make a source, paste, map what was quarantined; secrets are never read."""

import json
from typing import Any

import pytest
import yaml
from django.test import Client
from django.urls import reverse

from automation.alert_configs import PLACE
from automation.models import Alert, AlertMapping, AlertSource, Webhook
from automation.services.sources import configs_of, create_source
from platforms.models import AuditEvent, Platform, User
from remosa.lib.clock import utcnow
from tests.api.conftest import Call, api  # noqa: F401  a fixture
from tests.automation.alerts import SECRET, body_of, item, make_source, post
from tests.automation.test_intake import captured
from tests.factories import make_device

pytestmark = pytest.mark.django_db


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user, backend="platforms.authentication.UsernameOrEmailBackend")
    return client


def url_of(name: str, *args: Any) -> str:
    return reverse(f"admin:automation_{name}", args=args)


def test_a_source_is_made_and_its_secret_shown_once(north: Platform, alice: User) -> None:
    client = signed_in(alice)

    page = client.post(
        url_of("alertsource_add"),
        {
            "platform": north.pk, "name": "Grafana of the client", "kind": "grafana", "auth": "hmac_time",
            "username": "remosa", "secret": "", "signature_header": "X-Grafana-Alerting-Signature",
            "timestamp_header": "X-Grafana-Alerting-Timestamp",
        },
    )  # fmt: skip

    source = AlertSource.objects.get()
    assert page.status_code == 200
    assert str(source.secret) in page.content.decode()
    assert len(source.secret) > 32
    assert source.mappings.count() == 6
    again = client.get(url_of("alertsource_change", source.pk)).content.decode()
    assert str(source.secret) not in again
    assert source.url in again
    assert str(source.secret) not in str(list(AuditEvent.objects.values()))


@pytest.mark.parametrize(
    ("kind", "auth"),
    [
        ("grafana", "hmac_time"), ("grafana", "hmac"), ("grafana", "bearer"), ("grafana", "basic"),
        ("alertmanager", "bearer"), ("alertmanager", "basic"), ("prometheus", "bearer"), ("prometheus", "basic"),
    ],
)  # fmt: skip
def test_the_file_to_paste_is_yaml_and_names_the_door(north: Platform, kind: str, auth: str) -> None:
    source = make_source(north, kind=kind, auth=auth, name='so: "called"')

    (file,) = configs_of(source, secret='a"b: #c')
    hidden = configs_of(source)[0].text

    text = json.dumps(yaml.safe_load(file.text))
    assert str(source.pk) in text
    assert json.dumps('a"b: #c') in text
    assert PLACE in hidden
    assert SECRET not in hidden


def test_a_new_secret_replaces_the_old_one(north: Platform, alice: User) -> None:
    source = make_source(north)

    page = signed_in(alice).post(url_of("alertsource_new_secret", source.pk))

    source.refresh_from_db()
    assert str(source.secret) in page.content.decode()
    assert post(source, body_of()).status_code == 401
    assert post(source, body_of(), Authorization=f"Bearer {source.secret}").status_code == 200


def test_a_quarantined_alert_gets_its_mapping(north: Platform, alice: User) -> None:
    source, player = (
        create_source(AlertSource(platform=north, name="s", secret=SECRET), by=alice),
        make_device(north),
    )
    wall = make_device(north, name="wall")
    post(source, body_of(item({"alertname": "Dark", "screen": player.mac}, at=utcnow())))
    post(source, body_of(item({"alertname": "Dark", "instance": "wall:9100"}, at=utcnow())))
    first, second = Alert.objects.order_by("pk")
    client = signed_in(alice)

    listed = client.get(url_of("alert_changelist") + "?quarantine=1").content.decode()
    assert listed.count("Dark") >= 2
    asked = client.get(url_of("alert_create_mapping", first.pk)).context["form"]
    assert [name for name, _shown in asked.fields["label"].choices] == [
        "screen",
        "alertname",
    ]  # likeliest first
    done = client.post(url_of("alert_create_mapping", first.pk), {"label": "screen", "by": "mac"})
    fixed = client.post(
        url_of("alert_create_mapping", second.pk), {"label": "instance", "by": "device", "device": wall.pk}
    )

    assert (done.status_code, fixed.status_code) == (302, 302)
    assert [alert.device for alert in Alert.objects.order_by("pk")] == [player, wall]
    assert AuditEvent.objects.filter(verb="alert_source.mapping_added").count() == 2


def test_a_foreign_device_cannot_be_meant(north: Platform, south: Platform, alice: User) -> None:
    source, theirs = make_source(north), make_device(south)
    post(source, body_of(item({"alertname": "Dark", "instance": "x"}, at=utcnow())))

    page = signed_in(alice).post(
        url_of("alert_create_mapping", Alert.objects.get().pk),
        {"label": "instance", "by": "device", "device": theirs.pk},
    )

    assert page.status_code == 400
    assert AlertMapping.objects.count() == 0


def test_a_mapping_is_tried_before_it_is_kept(north: Platform, alice: User) -> None:
    source, player = make_source(north), make_device(north, name="tried and found")
    post(source, body_of(item({"alertname": "Dark", "screen": player.mac}, at=utcnow())))
    form = {"by": "mac", "template": "{screen}", "only": ""}
    client = signed_in(alice)

    tried = client.post(url_of("alertsource_try_mapping", source.pk), form | {"try": "1"})
    assert "tried and found" in tried.content.decode()
    assert AlertMapping.objects.count() == 0

    client.post(url_of("alertsource_try_mapping", source.pk), form | {"keep": "1"})
    assert Alert.objects.get().device == player


def test_a_viewer_reads_alerts_and_no_sources(north: Platform, bob: User) -> None:
    source = make_source(north)
    post(source, captured("grafana/g12_firing_one")[1])
    client = signed_in(bob)

    assert client.get(url_of("alert_changelist")).status_code == 200
    assert client.get(url_of("alert_change", Alert.objects.get().pk)).status_code == 200
    assert client.get(url_of("alertsource_change", source.pk)).status_code in (302, 403, 404)


def test_a_webhook_is_made_and_its_secret_never_shown(north: Platform, alice: User) -> None:
    client = signed_in(alice)

    client.post(
        url_of("webhook_add"),
        {
            "platform": north.pk, "name": "restart", "url": "https://app.example/restart", "secret": "s3cr3tkey",
            "is_enabled": "on",
        },
    )  # fmt: skip

    webhook = Webhook.objects.get()
    assert str(webhook.secret) == "s3cr3tkey"
    assert "s3cr3tkey" not in client.get(url_of("webhook_change", webhook.pk)).content.decode()


# --- API -------------------------------------------------------------------------------------------


def test_the_api_makes_a_source_with_mappings(api: Call, north: Platform, alice: User) -> None:  # noqa: F811
    client = api(alice)
    player = make_device(north)

    made = client.post(
        "/api/v1/alert-sources/",
        {
            "platform": north.pk, "name": "am", "kind": "alertmanager", "auth": "bearer", "secret": "0123456789abcdef",
            "mappings": [{"by": "mac", "template": "{screen}"}],
        },
    )  # fmt: skip

    assert made.status_code == 201, made.data
    assert "secret" not in made.data
    assert made.data["mappings"] == [{"by": "mac", "template": "{screen}", "only": {}, "device": None}]
    source = AlertSource.objects.get()
    post(
        source, body_of(item({"alertname": "Dark", "screen": player.mac}, at=utcnow())),
        Authorization="Bearer 0123456789abcdef",
    )  # fmt: skip
    alerts = client.get("/api/v1/alerts/?state=firing").data["results"]
    assert [(alert["device"], alert["name"], alert["changes"][0]["state"]) for alert in alerts] == [
        (player.pk, "Dark", "firing")
    ]
    config = client.get(f"/api/v1/alert-sources/{source.pk}/config/")
    assert (config.status_code, PLACE in config.data[0]["text"]) == (200, True)


def test_the_api_replaces_the_secret_of_a_source(api: Call, north: Platform, alice: User) -> None:  # noqa: F811
    source = make_source(north)

    changed = api(alice).patch(f"/api/v1/alert-sources/{source.pk}/", {"secret": "another-secret-of-16"})

    assert changed.status_code == 200
    assert post(source, body_of()).status_code == 401
    assert post(source, body_of(), Authorization="Bearer another-secret-of-16").status_code == 200
    line = AuditEvent.objects.get(verb="alertsource.changed")
    assert "secret" in line.after
    assert "another-secret-of-16" not in str(line.after)


def test_the_api_replaces_mappings_and_maps_again(api: Call, north: Platform, alice: User) -> None:  # noqa: F811
    source, player = make_source(north), make_device(north)
    post(source, body_of(item({"alertname": "Dark", "screen": player.mac}, at=utcnow())))

    changed = api(alice).patch(
        f"/api/v1/alert-sources/{source.pk}/", {"mappings": [{"by": "mac", "template": "{screen}"}]}
    )

    assert changed.status_code == 200, changed.data
    assert Alert.objects.get().device == player
    refused = api(alice).patch(
        f"/api/v1/alert-sources/{source.pk}/", {"mappings": [{"by": "mac", "template": "no label"}]}
    )
    assert refused.status_code == 400
