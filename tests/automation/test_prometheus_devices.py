"""Devices from Prometheus: labels and values of what one may see, and of nothing else."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from automation.models import PrometheusConnection
from platforms.models import Platform, User
from tests.automation.prometheus import FakePrometheus, vector
from tests.factories import make_device, make_exporter, make_target

pytestmark = pytest.mark.django_db
NOW = 1_700_000_000.0


@pytest.fixture
def fake(settings: Any) -> Iterator[FakePrometheus]:
    settings.EGRESS_ALLOW = ["127.0.0.0/8"]
    with FakePrometheus() as server:
        PrometheusConnection.objects.create(url=server.url, timeout_s=3)
        yield server


def fleet(platform: Platform, *names: str) -> list[dict[str, str]]:
    """An exporter with devices of these names; the identity labels of each."""
    exporter = make_exporter(platform)
    found = []
    for name in names:
        target = make_target(exporter, make_device(platform, name=name))
        found.append(
            {"platform_id": str(platform.pk), "exporter_id": str(exporter.pk), "mac": target.external_id}
        )
    return found


def status(labels: dict[str, str], value: str) -> tuple[dict[str, str], float, str]:
    return {"__name__": "remosa_exporter_cubic_device_status", **labels}, NOW, value


def info(labels: dict[str, str], **facts: str) -> tuple[dict[str, str], float, str]:
    return {"__name__": "remosa_exporter_cubic_device_info", **labels, **facts}, NOW, "1"


def ask(person: User, **query: Any) -> Any:
    client = APIClient()
    client.force_authenticate(person)
    return client.get("/api/v1/prometheus/devices/", query)


def test_labels_and_values_come_with_words_for_people(fake: FakePrometheus, north: Platform, alice: User):
    hall, cash = fleet(north, "Зал", "Касса")
    heat = {"__name__": "remosa_exporter_json_temperature_celsius", **hall}
    fake.answer = vector(
        status(hall, "1"), info(hall, ip="10.0.0.1", job="x"), (heat, NOW, "41.5"), status(cash, "0")
    )

    rows = ask(alice).json()["results"]

    assert [(row["name"], row["state"]) for row in rows] == [("Зал", "online"), ("Касса", "offline")]
    assert rows[0]["labels"] == {"ip": "10.0.0.1"}
    assert {"metric": heat["__name__"], "title": "Температура", "unit": "°C", "value": 41.5} in rows[0][
        "values"
    ]


def test_a_device_without_a_series_is_absent_and_not_offline(
    fake: FakePrometheus, north: Platform, alice: User
):
    fleet(north, "Зал")

    assert [row["state"] for row in ask(alice).json()["results"]] == ["absent"]


def test_search_filter_and_sort(fake: FakePrometheus, north: Platform, alice: User):
    one, two, three = fleet(north, "Зал А", "Зал Б", "Вход")
    fake.answer = vector(status(one, "1"), status(two, "0"), status(three, "1"), info(three, ip="10.9.9.9"))

    def names(**query: Any) -> list[str]:
        return [row["name"] for row in ask(alice, **query).json()["results"]]

    assert names(search="зал") == ["Зал А", "Зал Б"]
    assert names(search="10.9.9") == ["Вход"]
    assert names(state="online") == ["Вход", "Зал А"]
    assert names(sort="-name") == ["Зал Б", "Зал А", "Вход"]
    assert names(sort="-remosa_exporter_cubic_device_status")[-1] == "Зал Б"
    assert ask(alice, state="dark").status_code == 400


def test_series_of_others_are_not_looked_at(
    fake: FakePrometheus, north: Platform, south: Platform, alice: User, charlie: User
):
    (ours,), (theirs,) = fleet(north, "Зал"), fleet(south, "Чужой")
    forged = {**ours, "platform_id": theirs["platform_id"]}
    fake.answer = vector(status(ours, "1"), status(theirs, "1"), info(theirs, name="zq"), status(forged, "0"))

    assert [row["name"] for row in ask(alice).json()["results"]] == ["Зал"]
    assert f'platform_id=~"{north.pk}"' in fake.asked[0]["query"]
    assert [row["name"] for row in ask(charlie).json()["results"]] == ["Чужой"]
    assert ask(alice, platform=south.pk).status_code == 400


def test_no_answer_is_no_empty_list(fake: FakePrometheus, north: Platform, alice: User):
    fleet(north, "Зал")
    fake.status, fake.answer = 503, {"status": "error", "error": "query timed out"}

    answer = ask(alice)

    assert answer.status_code == 409
    assert "query timed out" in answer.json()["error"]["message"]
    assert PrometheusConnection.objects.get().last_error


def test_the_page_shows_the_same_and_says_when_it_cannot(
    fake: FakePrometheus, north: Platform, south: Platform, alice: User
):
    (ours,), (theirs,) = fleet(north, "Зал"), fleet(south, "Чужой")
    fake.answer = vector(status(ours, "0"), status(theirs, "1"))
    client = Client()
    client.force_login(alice, backend="platforms.authentication.UsernameOrEmailBackend")

    page = client.get("/admin/prometheus-devices/", {"q": "зал"}).content.decode()
    fake.status, fake.answer = 500, b"oops"
    broken = client.get("/admin/prometheus-devices/").content.decode()

    assert "Зал" in page
    assert "Чужой" not in page
    assert "HTTP 500" in broken
    assert PrometheusConnection.objects.get().last_ok_at is not None


def test_the_page_says_that_none_is_connected_and_claims_nothing_of_devices(
    north: Platform, alice: User, root: User
):
    fleet(north, "Зал")
    pages = {}
    for person in (alice, root):
        client = Client()
        client.force_login(person, backend="platforms.authentication.UsernameOrEmailBackend")
        pages[person] = client.get("/admin/prometheus-devices/").content.decode()

    address = reverse("admin:automation_prometheusconnection_changelist")
    assert not any("rm-filters" in page or "rm-alert" in page for page in pages.values())
    assert [f'<a class="rm-link" href="{address}"' in pages[person] for person in (alice, root)] == [
        False,
        True,
    ]
