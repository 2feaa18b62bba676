"""A manager connects a Grafana in a real browser, on a phone and on a screen, in Russian."""

import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from pytest_django.live_server_helper import LiveServer

from automation.models import Alert, AlertSource
from platforms.models import Platform, User
from tests.automation.alerts import post
from tests.automation.test_intake import captured
from tests.console.test_browser import PASSWORD, Watch, sign_in
from tests.factories import make_device, make_platform, make_user
from tests.servers.chromium import PHONE, Page, is_too_wide

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]
SCREEN = {"width": 1280, "height": 800}


@pytest.fixture
def north(transactional_db: None) -> Platform:
    return make_platform("Кинотеатры «Север»")


@pytest.fixture
def alice(north: Platform) -> User:
    return make_user("alice", platform=north, role="manager", password=PASSWORD, language="ru")


def keep(page: Page, name: str) -> None:
    """A picture, where PICTURES names a folder for it."""
    if folder := os.environ.get("PICTURES"):
        page.screenshot(path=str(Path(folder) / f"alerts-{name}.png"), full_page=False)


def test_a_manager_connects_grafana_and_maps_what_came(
    page: Page, live_server: LiveServer, north: Platform, alice: User, settings: Any
) -> None:
    settings.PUBLIC_URL = live_server.url
    player = make_device(north, name="Касса 3", external_id="till-3")
    watch = Watch(urlsplit(live_server.url).netloc)
    watch.attach(page)
    page.set_default_timeout(60_000)
    page.set_viewport_size(SCREEN)
    sign_in(page, live_server)

    page.goto(f"{live_server.url}/admin/automation/alertsource/add/")
    page.fill("#id_name", "Grafana клиента")
    page.click("[name=_save]")
    shown = page.inner_text("#once")
    keep(page, "paste")
    source = AlertSource.objects.get()
    assert str(source.secret) in shown
    assert source.url in shown

    raw = captured("grafana/g12_firing_one")[1]
    assert post(source, raw, Authorization=f"Bearer {source.secret}").status_code == 200
    assert Alert.objects.get().device is None, "player_id 4711 is nobody's number here"

    page.goto(f"{live_server.url}/admin/automation/alertsource/{source.pk}/change/")
    assert "Неразобранн" in page.content() or "неразобранн" in page.content()
    assert str(source.secret) not in page.content()
    keep(page, "source")

    page.set_viewport_size(PHONE)
    page.goto(f"{live_server.url}/admin/automation/alert/?quarantine=1")
    keep(page, "quarantine-phone")
    page.goto(f"{live_server.url}/admin/automation/alert/{Alert.objects.get().pk}/change/")
    assert not is_too_wide(page)
    keep(page, "alert-phone")
    page.click("a:has-text('Создать сопоставление')")
    page.select_option("#id_label", "player_id")
    page.select_option("#id_by", "device")
    page.select_option("#id_device", str(player.pk))
    keep(page, "mapping-phone")
    page.click("form button[type=submit]:has-text('Создать сопоставление')")
    page.wait_for_selector("text=Алертов, нашедших своё устройство: 1")

    assert Alert.objects.get().device == player
    page.set_viewport_size(SCREEN)
    page.goto(f"{live_server.url}/admin/automation/alert/")
    assert "Касса 3" in page.inner_text("#result_list, table")
    keep(page, "list")
    assert watch.violations(page) == []
