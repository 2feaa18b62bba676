"""A manager builds a job on a phone, sees it in shadow, lets it act, and reads why another player waits."""

import os
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from pytest_django.live_server_helper import LiveServer

from automation.models import Case, Heartbeat, Job
from automation.services import health
from platforms.models import Platform, User
from remosa.lib.clock import utcnow
from tests.automation.world import World
from tests.console.test_browser import PASSWORD, Watch, sign_in
from tests.factories import make_platform, make_user
from tests.servers.chromium import PHONE, Page, is_too_wide

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]


@pytest.fixture
def north(transactional_db: None) -> Platform:
    return make_platform("Кинотеатры «Север»", sms_people_share_ratio=0)


@pytest.fixture
def alice(north: Platform) -> User:
    return make_user("alice", platform=north, role="manager", password=PASSWORD, language="ru")


@pytest.fixture
def world(north: Platform) -> World:
    """Eight players of which two will hang: one on a socket, one on nothing. An hour ago all was well."""
    world = World(platform=north, with_job=False, players=8)
    world.now = utcnow() - timedelta(minutes=50)
    names = ["Касса 3", "Фойе, левый", "Фойе, правый", "Зал 1", "Зал 2", "Зал 3", "Бар", "Вход"]
    for player, name in zip(world.players, names, strict=True):
        type(player).objects.filter(pk=player.pk).update(name=name)
    world.players[1].power_links.update(valid_to=world.now)
    world.turns(2)
    return world


def keep(page: Page, name: str) -> None:
    """A picture, where PICTURES names a folder for it."""
    if folder := os.environ.get("PICTURES"):
        page.screenshot(path=str(Path(folder) / f"jobs-{name}.png"), full_page=False)


def test_a_manager_builds_a_job_and_lets_it_act(
    page: Page, live_server: LiveServer, north: Platform, alice: User, world: World
) -> None:
    watch = Watch(urlsplit(live_server.url).netloc)
    watch.attach(page)
    page.set_default_timeout(60_000)
    page.set_viewport_size(PHONE)
    sign_in(page, live_server)
    hung, lone = world.players[:2]

    page.goto(f"{live_server.url}/admin/automation/job/add/")
    page.click("text=Перезагружать плееры, у которых 10 минут нет связи")
    assert page.input_value("#id_name") == "Перезагружать плееры, у которых 10 минут нет связи"
    assert not is_too_wide(page)
    keep(page, "new-phone")
    page.click("[name=_save]")
    job = Job.objects.get()
    assert (job.mode, job.hold_s) == ("shadow", 600)
    world.job = job

    world.hang(hung, lone)
    world.turns(14)
    assert Case.objects.filter(mode="shadow", state="open").count() == 2
    world.now = max(world.now, utcnow() - timedelta(seconds=20))
    health.beat(now=world.now)
    Heartbeat.objects.update(doubt_until=None)  # the half hour that the test leaves out
    world.poll()
    page.goto(f"{live_server.url}/admin/automation/job/{job.pk}/dry-run/")
    page.wait_for_selector("text=записало бы: оно только наблюдает")
    assert "Касса 3" in page.inner_text("table")
    assert not is_too_wide(page)
    keep(page, "shadow-phone")

    page.goto(f"{live_server.url}/admin/automation/job/{job.pk}/change/")
    page.select_option("#id_mode", "auto")
    page.click("[name=_try]")
    page.wait_for_selector("text=Ничего не сохранено и ничего не отправлено.")
    keep(page, "try-phone")
    assert Job.objects.get().mode == "shadow"
    page.click("[name=_save]")
    assert Job.objects.get().mode == "auto"

    world.turn()
    assert world.sent() == [world.socket_of(hung).msisdn]
    world.after(0.2)
    world.reply(hung)
    world.recover(hung)
    world.turns(2)
    case = Case.objects.get(device=hung)
    page.goto(f"{live_server.url}/admin/automation/case/{case.pk}/change/")
    page.wait_for_selector("text=Устройство вернулось")
    keep(page, "verifying-phone")
    world.turns(7)
    page.wait_for_selector("text=восстановлено", timeout=15_000)
    keep(page, "verified-phone")

    page.goto(f"{live_server.url}/admin/devices/device/{lone.pk}/change/")
    assert "питани" in page.inner_text("body")
    assert not is_too_wide(page)
    page.goto(f"{live_server.url}/admin/automation/case/{Case.objects.get(device=lone).pk}/change/")
    page.wait_for_selector(".rm-title:has-text('Почему не сработало')")
    keep(page, "why-not-phone")

    page.set_viewport_size({"width": 1280, "height": 900})
    page.goto(f"{live_server.url}/admin/automation/job/{job.pk}/change/")
    keep(page, "page-desk")
    page.goto(f"{live_server.url}/admin/automation/job/{job.pk}/restore/")
    assert "наблюдение → автомат" in page.inner_text("table")
    keep(page, "versions-desk")
    assert watch.violations(page) == []
