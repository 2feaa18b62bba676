"""A manager builds a ladder, approves what is proposed with one click, and reads where the case stands."""

import os
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from pytest_django.live_server_helper import LiveServer

from automation.models import ActionCall, Heartbeat, Job, Webhook
from automation.services import actions, health
from automation.services.cases import advance_case
from remosa.lib.clock import utcnow
from tests.automation.receiver import Receiver
from tests.automation.world import World
from tests.console.test_browser import PASSWORD, Watch, sign_in
from tests.factories import make_platform, make_user
from tests.servers.chromium import PHONE, Page, is_too_wide
from tests.together import together

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]


def keep(page: Page, name: str) -> None:
    """A picture, where PICTURES names a folder for it."""
    if folder := os.environ.get("PICTURES"):
        page.screenshot(path=str(Path(folder) / f"ladder-{name}.png"), full_page=False)


def test_a_manager_builds_a_ladder_and_approves_its_steps(
    page: Page, transactional_db: None, live_server: LiveServer, receiver: Receiver
) -> None:
    north = make_platform("Кинотеатры «Север»", sms_people_share_ratio=0)
    make_user("alice", platform=north, role="manager", password=PASSWORD, language="ru")
    hook = Webhook.objects.create(platform=north, name="Перезапуск плеера", url=receiver.url, secret="s" * 32)
    world = World(platform=north, with_job=False, players=6)
    world.now = utcnow() - timedelta(minutes=17)
    player = world.players[0]
    type(player).objects.filter(pk=player.pk).update(name="Касса 3")
    world.turns(2)
    watch = Watch(urlsplit(live_server.url).netloc)
    watch.attach(page)
    page.set_default_timeout(60_000)
    page.set_viewport_size(PHONE)
    sign_in(page, live_server)

    page.goto(f"{live_server.url}/admin/automation/job/add/?template=ladder")
    rows = [(f"webhook:{hook.pk}", "", "3"), ("cycle", "1", "15"), ("cycle", "5", "15,5")]
    for number, row in enumerate(rows):
        page.select_option(f"[name=ladder_{3 * number}]", row[0])
        page.fill(f"[name=ladder_{3 * number + 1}]", row[1])
        page.fill(f"[name=ladder_{3 * number + 2}]", row[2])
    page.select_option("#id_mode", "suggest")
    page.locator("[name=ladder_0]").scroll_into_view_if_needed()
    assert not is_too_wide(page)
    keep(page, "form-phone")
    page.click("[name=_save]")
    job = Job.objects.get()
    page.goto(f"{live_server.url}/admin/automation/job/{job.pk}/change/")
    page.wait_for_selector("text=просит человека одобрить каждый шаг")
    keep(page, "job-phone")
    assert job.ladder == [
        {"do": "webhook", "webhook": hook.pk, "wait_s": 180.0}, {"do": "cycle", "minutes": 1, "wait_s": 900.0},
        {"do": "cycle", "minutes": 5, "wait_s": 930.0},
    ]  # fmt: skip

    world.job = job
    world.hang(player)
    while world.now < utcnow() - timedelta(minutes=1):
        world.turn()
    health.beat(now=world.now)
    Heartbeat.objects.update(doubt_until=None)  # the half hour that the test leaves out
    case = world.case_of(player)
    assert case is not None
    world.poll()
    page.goto(f"{live_server.url}/admin/automation/case/{case.pk}/change/")
    page.wait_for_selector("#proposal:has-text('вызвать вебхук «Перезапуск плеера»')")
    assert not is_too_wide(page)
    keep(page, "proposal-phone")
    page.click("#proposal button")
    page.wait_for_selector("text=Одобрено")
    world.now = utcnow()
    world.poll()
    call = ActionCall.objects.get()
    together(1, lambda _n: actions.run_call(call.pk, now=world.now))  # the browser's loop runs in this thread
    call.refresh_from_db()
    assert (call.state, call.reason) == ("done", "200")
    advance_case(case.pk, now=world.now)
    assert len(receiver.got) == 1
    page.wait_for_selector("text=выполнено, ждём устройство", timeout=15_000)
    page.set_viewport_size({"width": 1280, "height": 900})
    keep(page, "case-desk")
    assert watch.violations(page) == []
