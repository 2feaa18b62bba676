"""Exporters in a real browser, in Russian, on a phone and on a desk: pasted MACs, found players, a described CMS.

With ``SCREENSHOTS=<folder>`` the pages are kept as pictures.
"""

import asyncio
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from aiohttp import web
from pytest_django.live_server_helper import LiveServer

from automation.models import PrometheusConnection
from devices.models import Device
from exporters.models import Exporter, ExporterTarget
from exporters.polling import Pace, open_loop
from platforms.models import Platform, User
from remosa.simulator.fleet import demo_fleet
from remosa.simulator.servers import ADDREALITY_TOKEN
from remosa.simulator.thread import SimulatorThread
from tests.automation.prometheus import FakePrometheus, vector
from tests.console.test_browser import PASSWORD, Watch, sign_in
from tests.exporters.pollers_at_work import cms_at_work
from tests.factories import make_exporter, make_platform, make_user
from tests.servers.chromium import PHONE, Page, is_too_wide

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]
DESK = {"width": 1280, "height": 900}
ADD = "/admin/exporters/exporter/add/"
SAVE = "button[name=_save], input[name=_save]"


@pytest.fixture
def north(transactional_db: None) -> Platform:
    return make_platform("Медиа Север")


@pytest.fixture
def alice(north: Platform) -> User:
    return make_user("alice", platform=north, role="admin", password=PASSWORD, language="ru")


@pytest.fixture
def browser(page: Page, live_server: LiveServer, alice: User, settings: Any) -> tuple[Page, Watch]:
    settings.EGRESS_ALLOW = ["127.0.0.0/8"]
    page.set_viewport_size(PHONE)
    page.set_default_timeout(60_000)
    watch = Watch(urlsplit(live_server.url).netloc)
    watch.attach(page)
    sign_in(page, live_server)
    return page, watch


def both_sizes(page: Page, name: str) -> list[str]:
    """What does not fit a phone; the pictures, where they are wanted."""
    wide = []
    for size, suffix in ((DESK, "desk"), (PHONE, "phone")):
        page.set_viewport_size(size)
        page.wait_for_timeout(300)  # the charts draw themselves anew
        if size is PHONE and is_too_wide(page):
            wide.append(name)
        if folder := os.environ.get("SCREENSHOTS"):
            page.screenshot(path=f"{folder}/exporters-{name}-{suffix}.png")
    return wide


def poll() -> None:
    """What the poller's process does; a thread of its own, as the browser's driver holds this one's loop."""

    async def once() -> None:
        async with open_loop(Pace()) as loop:
            await loop.run_once()

    thread = threading.Thread(target=asyncio.run, args=(once(),))
    thread.start()
    thread.join(60)


def test_pasted_macs_become_players_and_their_first_poll_is_seen(
    north: Platform, browser: tuple[Page, Watch], live_server: LiveServer, settings: Any
):
    page, watch = browser
    macs = [player.id for player in demo_fleet().players_in("cubic")][:25]
    with SimulatorThread(minute_s=60) as simulator:
        settings.EXPORTER_URLS = {"cubic": f"{simulator.base_url}/cubic"}
        page.goto(live_server.url + ADD)
        page.click("a[href='?kind=cubic']")
        page.fill("#id_lines", "\n".join([*macs, macs[0].upper(), "не MAC"]))
        wide = both_sizes(page, "add")
        page.click(SAVE)
        page.wait_for_selector("text=Добавлено: 25")
        said = page.inner_text("body")
        row = Exporter.objects.get()
        page.goto(f"{live_server.url}/admin/exporters/exporter/{row.pk}/change/")
        assert "ещё не опрашивался" in page.inner_text("#exporter-now")

        poll()

        page.wait_for_selector("#exporter-now:has-text('отвечает')")  # by itself, without a click
        for _number in range(3):
            Exporter.objects.update(next_poll_at=None)
            poll()
        page.reload()
        page.wait_for_selector("canvas.chart")
        wide += both_sizes(page, "page")

    assert "Строка 27" in said
    assert row.platform == north
    assert Device.objects.filter(state="online").count() == 25
    page.click("a[href*='/prometheus/']")
    page.wait_for_selector("text=remosa_exporter_cubic_device_status")
    wide += both_sizes(page, "prometheus")
    assert wide == []
    assert watch.violations(page) == []


@pytest.mark.soak
def test_a_long_round_is_followed_without_a_click(
    north: Platform, browser: tuple[Page, Watch], live_server: LiveServer
):
    page, watch = browser
    count = 3_000
    with slow_cms(delay_s=0.03) as address:
        row = make_exporter(north, base_url=address, interval_s=600, concurrency=8)
        macs = [f"02:00:00:00:{number >> 8:02x}:{number & 255:02x}" for number in range(count)]
        devices = Device.objects.bulk_create([Device(platform=north, name=mac, mac=mac) for mac in macs])
        ExporterTarget.objects.bulk_create(
            [ExporterTarget(exporter=row, device=one, external_id=one.mac) for one in devices]
        )
        page.goto(f"{live_server.url}/admin/exporters/exporter/{row.pk}/change/")
        polling = threading.Thread(target=poll)
        polling.start()
        seen = []
        for _number in range(3):
            page.wait_for_function(
                "least => +(document.querySelector('#exporter-now progress')?.value ?? 0) > least",
                arg=seen[-1] if seen else 0,
            )
            seen.append(page.eval_on_selector("#exporter-now progress", "bar => bar.value"))
        told = page.inner_text("#exporter-now")
        wide = both_sizes(page, "round")
        polling.join()
        page.wait_for_selector("#exporter-now:not(:has(progress)):has-text('отвечает')")

    assert f"из {count}" in told
    assert seen == sorted(set(seen))
    assert Device.objects.filter(state="online").count() == count
    assert wide == []
    assert watch.violations(page) == []


@contextmanager
def slow_cms(*, delay_s: float) -> Iterator[str]:
    """A Cubic that knows every player and thinks before each answer."""

    async def answer(_request: web.Request) -> web.Response:
        await asyncio.sleep(delay_s)
        return web.json_response([{"status": "online", "name": "Плеер", "ip": "10.0.0.1"}])

    with cms_at_work(answer) as cms:
        yield cms.base_url


def test_found_players_are_chosen_and_added(
    north: Platform, browser: tuple[Page, Watch], live_server: LiveServer
):
    page, watch = browser
    with SimulatorThread(minute_s=60) as simulator:
        page.goto(f"{live_server.url}{ADD}?kind=addreality")
        page.fill("#id_base_url", f"{simulator.base_url}/addreality")
        page.fill("#id_secret", ADDREALITY_TOKEN)
        page.click(SAVE)
        page.wait_for_selector("#result_list, .rm-stack")
        poll()
        row = Exporter.objects.get()
        page.goto(f"{live_server.url}/admin/exporters/exporter/{row.pk}/change/")
        found = row.found.count()
        page.wait_for_selector(f"text=Найдено: {found}. Добавить?")
        page.click("#exporter-now a.rm-main")
        page.uncheck("input[name=chosen] >> nth=0")
        wide = both_sizes(page, "found")
        page.click("form.rm-once button[type=submit]")
        page.wait_for_selector(f"text=Добавлено: {found - 1}")
        poll()

    assert row.targets.filter(status="online").count() == found - 1
    assert row.found.count() == 1
    assert wide == []
    assert watch.violations(page) == []


def test_a_cms_is_described_and_tried_before_it_is_stored(
    north: Platform, browser: tuple[Page, Watch], live_server: LiveServer
):
    page, watch = browser

    async def answer(request: web.Request) -> web.Response:
        rows = [
            {
                "serial": f"A-{number}",
                "title": f"Табло {number}",
                "link": word,
                "net": {"ip": f"10.0.0.{number}"},
                "t": 40,
            }
            for number, word in enumerate(["up", "up", "down", "standby"], start=1)
        ]
        return web.json_response({"screens": rows})

    with cms_at_work(answer) as cms:
        page.goto(f"{live_server.url}{ADD}?kind=json")
        for name, text in {
            "name": "Табло", "base_url": cms.base_url, "config_path": "/api/screens", "config_list": "screens",
            "config_id": "serial", "config_name": "title", "config_state": "link", "config_online": "up",
            "config_offline": "down", "config_facts": "ip = net.ip", "config_gauges": "temperature, celsius = t",
        }.items():  # fmt: skip
            page.fill(f"#id_{name}", text)
        page.click("button[hx-post*='/try/']")
        page.wait_for_selector("#trial >> text=A-3")
        tried = page.inner_text("#trial")
        wide = both_sizes(page, "json")
        page.fill("#id_lines", "A-1\nA-2\nA-3")
        page.click(SAVE)
        page.wait_for_selector("text=Добавлено: 3")
        poll()

    assert "standby" in tried
    assert "нет связи" in tried
    states = dict(Device.objects.values_list("external_id", "state"))
    assert states == {"A-1": "online", "A-2": "online", "A-3": "offline"}
    assert wide == []
    assert watch.violations(page) == []


def test_devices_from_prometheus_are_found_by_their_labels(
    north: Platform, browser: tuple[Page, Watch], live_server: LiveServer
):
    page, watch = browser
    test_fleet = ["Касса у входа", "Витрина", "Зал"]
    exporter = Exporter.objects.create(
        platform=north, name="Cubic", kind="cubic", base_url="https://cms.example.org"
    )
    samples = []
    for number, name in enumerate(test_fleet):
        device = Device.objects.create(platform=north, name=name, mac=f"02:00:00:00:00:0{number}")
        exporter.targets.create(device=device, external_id=device.mac)
        own = {"platform_id": str(north.pk), "exporter_id": str(exporter.pk), "mac": device.mac}
        samples.append(({"__name__": "remosa_exporter_cubic_device_status", **own}, 1.7e9, "01"[number % 2]))
        info = {
            "__name__": "remosa_exporter_cubic_device_info",
            **own,
            "ip": f"10.0.0.{number}",
            "outip": "198.51.100.7",
        }
        samples.append((info, 1.7e9, "1"))
    with FakePrometheus() as fake:
        fake.answer = vector(*samples)
        PrometheusConnection.objects.create(url=fake.url, timeout_s=5)

        page.goto(f"{live_server.url}/admin/prometheus-devices/")
        page.wait_for_selector("text=Касса у входа")
        wide = both_sizes(page, "from-prometheus")
        page.fill("input[name=q]", "10.0.0.1")
        page.click(".rm-filters button")
        page.wait_for_selector("text=Найдено: 1")

    assert "Витрина" in page.inner_text(".rm-list")
    assert "Касса" not in page.inner_text(".rm-list")
    assert wide == []
    assert watch.violations(page) == []
