"""Audit, client and all clients in a real browser, in Russian, on a desk and on a phone.

With ``SCREENSHOTS=<folder>`` the pages are kept as pictures.
"""

import csv
import io
import os
import uuid
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from pytest_django.live_server_helper import LiveServer

from platforms import audit, audit_seal, ledger, quotas, tokens
from platforms.ledger import Direction, Tariff
from platforms.models import AuditEvent, Platform, User
from platforms.services import set_role
from remosa.lib.clock import utcnow
from tests.console.test_browser import PASSWORD, Watch, sign_in
from tests.console.world import World, build
from tests.factories import make_exporter, make_gateway, make_platform, make_user
from tests.servers.chromium import PHONE, Page, is_too_wide

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]
DESK = {"width": 1280, "height": 900}


@pytest.fixture
def north(transactional_db: None) -> Platform:
    return make_platform("Медиа Север", sms_limit=120)


@pytest.fixture
def alice(north: Platform) -> User:
    return make_user("alice", platform=north, role="admin", password=PASSWORD, language="ru")


@pytest.fixture
def northern(north: Platform, alice: User) -> World:
    world = build(north, alice, "север")
    now = utcnow()
    for number in range(40):
        at = now - timedelta(hours=17 * number)
        ledger.charge(
            platform=north, direction=Direction.OUT, subject_id=uuid.uuid4(), units=1 + number % 4, at=at,
            tariff=Tariff(1, "Модем на складе", Decimal("2.50"), "RUB"), purpose="command",
        )  # fmt: skip
    sent = sum(units for _day, units in ledger.by_day(north, quotas.sms_period(north, now)))
    quotas.spend(platform=north, kind=quotas.SMS, units=sent, at=now)
    tokens.issue(name="Prometheus", scopes=["scrape"], by=alice, platform=north)
    return world


@pytest.fixture
def browser(page: Page, live_server: LiveServer, settings, tmp_path: Path) -> tuple[Page, Watch]:
    settings.AUDIT_HEADS_FILE = str(tmp_path / "heads.jsonl")
    page.set_default_timeout(60_000)
    watch = Watch(urlsplit(live_server.url).netloc)
    watch.attach(page)
    return page, watch


def both_sizes(page: Page, name: str) -> list[str]:
    """What does not fit a phone; the pictures, where they are wanted."""
    wide = []
    for size, suffix in ((DESK, "desk"), (PHONE, "phone")):
        page.set_viewport_size(size)
        page.wait_for_load_state("networkidle")
        if size is PHONE and is_too_wide(page):
            wide.append(name)
        if folder := os.environ.get("SCREENSHOTS"):
            page.screenshot(path=f"{folder}/{name}-{suffix}.png")
    page.set_viewport_size(DESK)
    return wide


def test_an_admin_reads_and_exports_the_audit(
    northern: World, browser: tuple[Page, Watch], live_server: LiveServer
):
    page, watch = browser
    audit.record(
        actor=audit.person(northern.admin), verb="device.changed", platform=northern.platform,
        target=northern.player, before={"name": "Плеер 1"}, after={"name": "Плеер у входа"}, reason="переехал",
    )  # fmt: skip
    audit_seal.seal_all(now=utcnow())
    sign_in(page, live_server)

    page.goto(f"{live_server.url}/admin/platforms/auditevent/?q=переехал")
    page.wait_for_selector("text=устройство изменено")
    wide = both_sizes(page, "audit-list")
    page.click("#result_list a[href*='/auditevent/']")
    page.wait_for_selector("text=запечатана, номер")
    wide += both_sizes(page, "audit-line")
    assert "Плеер у входа" in page.content()
    page.goto(f"{live_server.url}/admin/platforms/auditevent/?q=переехал")
    with page.expect_download() as download:
        page.click("a.rm-button:has-text('CSV')")

    text = Path(download.value.path()).read_text(encoding="utf-8-sig")
    (line,) = list(csv.reader(io.StringIO(text)))[1:]
    assert "переехал" in line
    assert AuditEvent.objects.filter(verb="audit.exported").count() == 1
    assert wide == []
    assert watch.violations(page) == []


def test_an_admin_reads_the_page_of_the_client(
    northern: World, browser: tuple[Page, Watch], live_server: LiveServer
):
    page, watch = browser
    sign_in(page, live_server)

    page.goto(f"{live_server.url}/admin/platforms/platform/{northern.platform.pk}/change/")
    page.wait_for_selector("canvas.chart")
    page.wait_for_selector("text=К концу месяца")
    wide = both_sizes(page, "platform-page")
    drawn = page.evaluate("Chart.getChart(document.querySelector('canvas.chart')).data.datasets.length")
    with page.expect_download() as download:
        page.click("a:has-text('XLSX') >> nth=0")

    assert drawn == 2
    assert download.value.suggested_filename.endswith(".xlsx")
    assert wide == []
    assert watch.violations(page) == []


def test_somebody_with_many_clients_sees_them_as_rows(
    northern: World, browser: tuple[Page, Watch], live_server: LiveServer
):
    page, watch = browser
    for number, name in enumerate(("Аптеки Волга", "Кинотеатр Заря", "Метро Реклама")):
        other = make_platform(name, sms_limit=100 * (number + 1))
        set_role(user=northern.admin, platform=other, role="manager")
        make_exporter(other, name=f"Cubic {number + 1}")
        make_gateway(other, name="Модем")
        quotas.spend(platform=other, kind=quotas.SMS, units=95, at=utcnow())
    sign_in(page, live_server)

    page.goto(f"{live_server.url}/admin/clients/")
    page.wait_for_selector("text=Аптеки Волга")
    wide = both_sizes(page, "platform-clients")
    page.fill("input[name=q]", "метро")
    page.click("button:has-text('Показать')")
    page.wait_for_selector("text=Метро Реклама")

    assert page.locator("tbody tr").count() == 1
    assert wide == []
    assert watch.violations(page) == []
