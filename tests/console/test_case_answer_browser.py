"""An operator shares the answer of a case by phone; the client's client reads it without an account, in Russian."""

import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from pytest_django.live_server_helper import LiveServer

from automation.models import Case
from platforms.models import Platform
from tests.console.test_browser import PASSWORD, Watch, sign_in
from tests.factories import NOW, make_device, make_platform, make_user, minutes
from tests.servers.chromium import PHONE, Page, is_too_wide

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]


def keep(page: Page, name: str) -> None:
    """A picture, where PICTURES names a folder for it."""
    if folder := os.environ.get("PICTURES"):
        page.screenshot(path=str(Path(folder) / f"cases-{name}.png"), full_page=False)


def test_an_operator_notes_and_shares_the_answer_by_phone(
    page: Page, transactional_db: None, live_server: LiveServer, settings: Any
) -> None:
    settings.PUBLIC_URL = live_server.url
    north: Platform = make_platform("Кинотеатры «Север»")
    make_user("alice", platform=north, role="manager", password=PASSWORD, language="ru")
    player = make_device(north, name="Вход, экран 1")
    case = Case.objects.create(
        platform=north, subject=f"device:{player.pk}", title=player.name, device=player, mode="auto",
        opened_at=NOW + minutes(10), state_changed_at=NOW + minutes(19), down_since=NOW,
        back_since=NOW + minutes(14), closed_at=NOW + minutes(19), state="verified", outcome="repaired", attempts=1,
        evidence={"source": "snapshot", "hold_s": 600, "samples": 10},
    )  # fmt: skip
    case.events.create(at=NOW + minutes(10), kind="acted", data={"attempt": 1, "socket": "Розетка 12"})
    Watch(urlsplit(live_server.url).netloc).attach(page)
    page.set_default_timeout(60_000)
    page.set_viewport_size(PHONE)
    sign_in(page, live_server)

    page.goto(f"{live_server.url}/admin/automation/case/{case.pk}/note/")
    page.fill("#id_text", "Звонил на площадку: кабель цел.")
    keep(page, "note-phone")
    page.click("form button[type=submit]:has-text('Заметка')")
    page.wait_for_selector("text=Звонил на площадку")
    assert not is_too_wide(page)
    keep(page, "page-phone")
    page.goto(f"{live_server.url}/admin/automation/case/{case.pk}/share/")
    keep(page, "share-phone")
    page.click("form button[type=submit]:has-text('Поделиться ответом')")
    address = page.inner_text("#once").strip()

    stranger = page.context.browser.new_context(locale="ru-RU", viewport=PHONE)  # type: ignore[union-attr]
    try:
        other = stranger.new_page()
        other.goto(address)
        text = other.inner_text("#page")
        keep(other, "shared-phone")
        assert "REMOSA отправила розетке команду" in text
        assert "Розетка 12" not in text
        assert not is_too_wide(other)
        assert stranger.cookies() == []
    finally:
        stranger.close()
