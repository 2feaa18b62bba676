"""Exporters in the console: made from what is known, tried on the real CMS, shown with what matters."""

from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web
from django.test import Client
from django.urls import reverse

from devices.models import Device
from exporters.models import Exporter, FoundDevice
from platforms.models import Platform, User
from remosa.lib.clock import utcnow
from tests.exporters.pollers_at_work import cms_at_work
from tests.factories import make_device, make_exporter, make_target

Pages = Callable[[User], Client]
pytestmark = pytest.mark.django_db
ADD = "admin:exporters_exporter_add"
JSON = {
    "name": "cms", "config_method": "GET", "config_path": "/list", "config_page_size": "100", "config_list": "items",
    "config_id": "serial", "config_name": "title", "config_state": "up", "config_online": "true",
    "config_offline": "false", "config_facts": "ip = net.ip", "config_gauges": "temperature, celsius = t",
    "config_headers": '{"X-Key": "{secret}"}', "secret": "k3y", "lines": "",
}  # fmt: skip


@pytest.fixture(autouse=True)
def loopback_is_allowed(settings: Any) -> None:
    settings.EGRESS_ALLOW = ["127.0.0.0/8"]


async def listed(request: web.Request) -> web.Response:
    if request.headers.get("X-Key") != "k3y":
        return web.Response(status=401)
    rows = [
        {"serial": "A-1", "title": "Табло", "up": True, "net": {"ip": "10.0.0.7"}, "t": 41.5},
        {"serial": "A-2", "title": "Касса", "up": "standby"},
    ]
    return web.json_response({"items": rows})


def test_the_kind_is_chosen_first_then_everything_known_is_filled_in(
    north: Platform, alice: User, browser_of: Pages, settings: Any
):
    settings.EXPORTER_URLS = {"cubic": "https://cubic.example.org"}
    client = browser_of(alice)

    choice = client.get(reverse(ADD)).content.decode()
    page = client.get(reverse(ADD), {"kind": "cubic"}).context["adminform"]

    assert all(f"?kind={kind}" in choice for kind in ("cubic", "addreality", "json"))
    assert page.form.initial["platform"] == north.pk
    assert page.form.initial["base_url"] == "https://cubic.example.org"
    main, advanced = page.fieldsets
    assert "base_url" not in main[1]["fields"]
    assert "base_url" in advanced[1]["fields"]


def test_an_address_that_nobody_knows_is_asked_for_openly(north: Platform, alice: User, browser_of: Pages):
    page = browser_of(alice).get(reverse(ADD), {"kind": "cubic"}).context["adminform"]

    assert "base_url" in page.fieldsets[0][1]["fields"]


def test_a_described_cms_is_stored_and_shown_again(north: Platform, alice: User, browser_of: Pages):
    client = browser_of(alice)
    form = {**JSON, "platform": north.pk, "base_url": "https://cms.example.org"}

    client.post(reverse(ADD) + "?kind=json", form)

    row = Exporter.objects.get()
    assert row.config == {
        "method": "GET", "path": "/list", "headers": {"X-Key": "{secret}"}, "page_size": 100, "list": "items",
        "id": "serial", "name": "title", "state": "up", "online": ["true"], "offline": ["false"],
        "facts": {"ip": "net.ip"}, "gauges": [{"name": "temperature", "unit": "celsius", "path": "t"}],
    }  # fmt: skip
    page = client.get(reverse("admin:exporters_exporter_change", args=[row.pk])).content.decode()
    assert "temperature, celsius = t" in page
    assert "k3y" not in page


def test_a_mistake_is_said_at_its_field(north: Platform, alice: User, browser_of: Pages):
    form = {**JSON, "platform": north.pk, "base_url": "https://cms.example.org", "config_state": "a..b"}

    page = browser_of(alice).post(reverse(ADD) + "?kind=json", form).context["adminform"].form

    assert set(page.errors) == {"config_state"}
    assert not Exporter.objects.exists()


def test_the_live_test_shows_what_the_real_cms_would_give(north: Platform, alice: User, browser_of: Pages):
    with cms_at_work(listed) as cms:
        form = {**JSON, "platform": north.pk, "base_url": cms.base_url}
        page = (
            browser_of(alice)
            .post(reverse("admin:exporters_exporter_try") + "?kind=json", form)
            .content.decode()
        )

    assert "A-1" in page
    assert "temperature_celsius: 41.5" in page
    assert "standby" in page  # a word that nobody explained
    assert "k3y" not in page
    assert not Exporter.objects.exists()


def test_a_stored_key_is_not_sent_to_another_server(north: Platform, alice: User, browser_of: Pages):
    config = {
        "path": "/list",
        "list": "items",
        "id": "serial",
        "state": "up",
        "online": ["true"],
        "offline": ["false"],
    }
    row = make_exporter(north, kind="json", secret="k3y", base_url="https://cms.example.org", config=config)
    with cms_at_work(listed) as cms:
        form = {**JSON, "secret": "", "base_url": cms.base_url, "is_enabled": "on", "interval_s": "30 s",
                "timeout_s": "5 s", "concurrency": 1, "rate_per_s": 0, "jitter_s": "1 s"}  # fmt: skip
        url = reverse("admin:exporters_exporter_try") + f"?object={row.pk}"
        page = browser_of(alice).post(url, form).content.decode()
        change = browser_of(alice).post(reverse("admin:exporters_exporter_change", args=[row.pk]), form)

    assert cms.asked == []
    assert "another server" in page
    assert "another server" in change.content.decode()
    row.refresh_from_db()
    assert row.base_url == "https://cms.example.org"


def test_who_may_not_change_may_not_try(
    north: Platform, alice: User, bob: User, charlie: User, browser_of: Pages
):
    row = make_exporter(north)
    url = reverse("admin:exporters_exporter_try") + f"?object={row.pk}"

    assert browser_of(bob).post(url, {}).status_code == 403
    assert browser_of(charlie).post(url, {}).status_code == 404
    assert (
        browser_of(bob).post(reverse("admin:exporters_exporter_try") + "?kind=cubic", {}).status_code == 403
    )


def test_found_devices_are_chosen_before_they_are_added(north: Platform, alice: User, browser_of: Pages):
    row = make_exporter(north, kind="addreality", secret="t")
    for number in ("1", "2", "3"):
        FoundDevice.objects.create(
            exporter=row, external_id=number, name=f"Вход {number}", first_seen_at=utcnow()
        )
    client = browser_of(alice)
    page = client.get(reverse("admin:exporters_exporter_change", args=[row.pk])).content.decode()

    client.post(reverse("admin:exporters_exporter_adopt", args=[row.pk]), {"chosen": ["1", "3"]})

    assert "Found: 3. Add them?" in page
    assert sorted(Device.objects.values_list("name", flat=True)) == ["Вход 1", "Вход 3"]
    assert row.found.get().external_id == "2"


def test_the_page_for_prometheus_has_what_is_to_be_copied(
    north: Platform, alice: User, charlie: User, browser_of: Pages
):
    row = make_exporter(north)
    url = reverse("admin:exporters_exporter_prometheus", args=[row.pk])

    page = browser_of(alice).get(url).content.decode()

    assert f"/platforms/{north.pk}/sd" in page
    assert "<dt>CMS answers</dt><dd><code>remosa_exporter_up</code>" in page
    assert "<dt>Devices by state</dt>" in page
    assert f"/platforms/{north.pk}/rules.yml" in page
    assert browser_of(charlie).get(url).status_code == 404


def test_a_running_poll_shows_how_far_it_is(north: Platform, alice: User, browser_of: Pages):
    row = make_exporter(north, round_done=40, round_total=100, failures=4)

    page = browser_of(alice).get(reverse("admin:exporters_exporter_change", args=[row.pk])).content.decode()

    assert "40 of 100" in page
    assert "asked less often" in page


def test_an_id_is_corrected_on_the_targets_page(north: Platform, alice: User, browser_of: Pages):
    target = make_target(make_exporter(north), make_device(north))
    url = reverse("admin:exporters_exportertarget_correct", args=[target.pk])
    client = browser_of(alice)

    refused = client.post(url, {"external_id": "nonsense"})
    client.post(url, {"external_id": "AA-BB-CC-00-00-09"})

    assert refused.status_code == 400
    target.refresh_from_db()
    assert target.external_id == "aa:bb:cc:00:00:09"
