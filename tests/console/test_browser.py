"""The console in a real browser, on a phone, in Russian: it works, breaks no policy and calls nobody else."""

from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest
from django.urls import reverse
from pytest_django.live_server_helper import LiveServer

from automation.models import Case
from devices.models import Device
from platforms.models import Platform, User
from remosa.lib.clock import utcnow
from tests.console.world import World, build
from tests.factories import make_platform, make_user
from tests.servers.chromium import PHONE, Page, is_too_wide

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

PASSWORD = "correct horse battery"
WATCH_POLICY = """
window.zqViolations = [];
document.addEventListener("securitypolicyviolation", (event) =>
  window.zqViolations.push(event.violatedDirective + " " + event.blockedURI));
"""


@dataclass
class Watch:
    """What a page did that it should not have done."""

    host: str
    complaints: list[str] = field(default_factory=list)

    def attach(self, page: Page) -> None:
        page.add_init_script(WATCH_POLICY)
        page.on(
            "console", lambda m: self.complaints.append(f"console: {m.text}") if m.type == "error" else None
        )
        page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        page.on("request", lambda r: self._check_host(r.url))
        page.on(
            "response", lambda r: self.complaints.append(f"{r.status} {r.url}") if r.status >= 400 else None
        )

    def _check_host(self, url: str) -> None:
        if urlsplit(url).scheme in ("http", "https") and urlsplit(url).netloc != self.host:
            self.complaints.append(f"external: {url}")

    def violations(self, page: Page) -> list[str]:
        return [*self.complaints, *page.evaluate("window.zqViolations")]


@pytest.fixture
def north(transactional_db: None) -> Platform:
    return make_platform("north")


@pytest.fixture
def alice(north: Platform) -> User:
    return make_user("alice", platform=north, role="admin", password=PASSWORD, language="ru")


@pytest.fixture
def northern(north: Platform, alice: User) -> World:
    return build(north, alice, "север")


@pytest.fixture
def phone(page: Page, live_server: LiveServer) -> tuple[Page, Watch]:
    page.set_viewport_size(PHONE)
    page.set_default_timeout(60_000)
    watch = Watch(urlsplit(live_server.url).netloc)
    watch.attach(page)
    return page, watch


def sign_in(page: Page, live_server: LiveServer) -> None:
    page.goto(f"{live_server.url}/admin/")
    page.fill("#id_username", "alice@example.org")
    page.fill("#id_password", PASSWORD)
    page.click("#login-form button[type=submit]")
    page.wait_for_selector(".rm-tiles")


def test_home_case_and_a_click_on_a_phone(
    northern: World, phone: tuple[Page, Watch], live_server: LiveServer
):
    page, watch = phone

    sign_in(page, live_server)

    assert page.get_attribute("html", "lang") == "ru"
    assert page.locator(".rm-tile").count() == 4
    assert not is_too_wide(page)

    page.click("a.rm-item:has-text('север-case')")
    page.wait_for_selector("#case")
    assert page.url.endswith(reverse("admin:automation_case_change", args=[northern.case.pk]))
    assert page.locator(".rm-timeline .rm-moment").count() >= 1
    assert not is_too_wide(page)

    page.click("#case form button[type=submit]")
    page.wait_for_selector("#case .rm-dim:has-text('alice')")
    assert Case.objects.get(pk=northern.case.pk).acknowledged_by == northern.admin
    assert watch.violations(page) == []


def test_the_home_page_follows_what_happens(
    northern: World, phone: tuple[Page, Watch], live_server: LiveServer
):
    page, watch = phone
    sign_in(page, live_server)
    offline = page.locator(".rm-tile").nth(2).locator(".rm-tile-number")
    before = offline.inner_text()

    Device.objects.filter(pk=northern.player.pk).update(
        state="offline", state_since=utcnow(), noted_at=utcnow(), observer=None
    )
    page.wait_for_function(
        "document.querySelectorAll('.rm-tile-number')[2].textContent.trim() === '1'", timeout=30_000
    )

    assert (before, offline.inner_text()) == ("0", "1")
    assert watch.violations(page) == []


def test_a_countdown_runs_by_itself(northern: World, phone: tuple[Page, Watch], live_server: LiveServer):
    page, watch = phone
    now = utcnow()
    Case.objects.filter(pk=northern.case.pk).update(
        state="verifying",
        back_since=now,
        deadline_at=now.replace(microsecond=0) + 2 * (now - northern.case.down_since),
    )
    sign_in(page, live_server)
    page.goto(live_server.url + reverse("admin:automation_case_change", args=[northern.case.pk]))
    first = page.locator(".rm-countdown").first.inner_text()

    page.wait_for_function(f"document.querySelector('.rm-countdown').textContent.trim() !== {first!r}")

    assert page.locator(".rm-countdown").first.inner_text() < first
    assert watch.violations(page) == []


def test_lists_and_forms_fit_a_phone_and_keep_the_policy(
    northern: World, phone: tuple[Page, Watch], live_server: LiveServer
):
    page, watch = phone
    sign_in(page, live_server)
    wide = []

    for path in (
        "/admin/devices/device/",
        f"/admin/devices/device/{northern.player.pk}/change/",
        f"/admin/devices/device/{northern.socket.pk}/send/?template=power_cycle",
        f"/admin/automation/job/{northern.job.pk}/change/",
        "/admin/exporters/exporter/add/",
        "/admin/automation/case/",
        "/admin/platforms/killswitch/add/",
    ):
        page.goto(live_server.url + path)
        page.wait_for_load_state("networkidle")
        wide += [path] if is_too_wide(page) else []

    assert wide == []
    assert watch.violations(page) == []
