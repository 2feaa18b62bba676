"""People in a real browser, in Russian, on a desk and on a phone: invite a manager, set up the app, dismiss.

With ``SCREENSHOTS=<folder>`` the pages are kept as pictures.
"""

import uuid
from datetime import UTC, datetime
from urllib.parse import urlsplit

import pytest
from django.core import mail
from django.urls import reverse
from pytest_django.live_server_helper import LiveServer

from devices.models import Command, CommandTemplate, Device, DeviceShare
from platforms import invitations, second_factor
from platforms.models import Authenticator, Invitation, Membership, Platform, User
from tests.console.test_browser import PASSWORD, Watch, sign_in
from tests.console.test_browser_audit import both_sizes
from tests.console.world import World, build
from tests.factories import make_device, make_platform, make_socket, make_user
from tests.platforms.test_second_factor import shown_by
from tests.servers.chromium import Page

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]


@pytest.fixture
def north(transactional_db: None) -> Platform:
    return make_platform("Медиа Север")


@pytest.fixture
def alice(north: Platform) -> User:
    return make_user("alice", platform=north, role="admin", password=PASSWORD, language="ru")


@pytest.fixture
def northern(north: Platform, alice: User) -> World:
    return build(north, alice, "север")


@pytest.fixture
def browser(page: Page, live_server: LiveServer, settings) -> tuple[Page, Watch]:
    settings.PUBLIC_URL = live_server.url
    page.set_default_timeout(60_000)
    watch = Watch(urlsplit(live_server.url).netloc)
    watch.attach(page)
    return page, watch


def test_an_admin_invites_a_manager_who_opens_the_account(
    northern: World, browser: tuple[Page, Watch], live_server: LiveServer
):
    page, watch = browser
    sign_in(page, live_server)

    page.goto(live_server.url + reverse("admin:platforms_invitation_add"))
    page.fill("#id_email", "maria@example.org")
    page.select_option("#id_role", "manager")
    page.click("[name=_save]")
    link = page.inner_text("#once")
    wide = both_sizes(page, "people-invited")
    invitations.mail(Invitation.objects.get(email="maria@example.org"), now=datetime.now(UTC))
    page.context.clear_cookies()
    page.goto(link)
    page.fill("#id_username", "maria")
    page.fill("#id_full_name", "Мария Иванова")
    wide += both_sizes(page, "people-invitation")
    page.fill("#id_password", "красный трамвай 7")
    page.fill("#id_repeated", "красный трамвай 7")
    page.click("#account button[type=submit]")
    page.wait_for_selector(".rm-tiles")

    assert link in mail.outbox[0].body
    assert Membership.objects.get(user__username="maria").role == "manager"
    assert wide == []
    assert watch.violations(page) == []


def test_a_person_sets_up_the_app_and_signs_in_with_a_code(
    northern: World, browser: tuple[Page, Watch], live_server: LiveServer
):
    page, watch = browser
    sign_in(page, live_server)

    page.goto(live_server.url + reverse("admin:my_settings"))
    wide = both_sizes(page, "people-me")
    page.click("#sign-in a.rm-main")
    page.wait_for_selector(".rm-qr svg")
    wide += both_sizes(page, "people-app")
    page.fill("#id_code", shown_by(Authenticator.objects.get(), datetime.now(UTC)))
    page.click("#enrol button[type=submit]")
    codes = page.inner_text("#once").split()
    wide += both_sizes(page, "people-codes")
    page.context.clear_cookies()
    page.goto(f"{live_server.url}/admin/")
    page.fill("#id_username", "alice")
    page.fill("#id_password", PASSWORD)
    page.click("#login-form button[type=submit]")
    page.wait_for_selector("#code-form")
    wide += both_sizes(page, "people-code")
    page.fill("#id_code", codes[0])
    page.click("#code-form button[type=submit]")
    page.wait_for_selector(".rm-tiles")

    assert second_factor.codes_left(northern.admin) == second_factor.RECOVERY_CODES - 1
    assert wide == []
    assert watch.violations(page) == []


def test_an_admin_dismisses_somebody_after_saying_who_they_are(
    northern: World, browser: tuple[Page, Watch], live_server: LiveServer, settings
):
    page, watch = browser
    platform = northern.platform
    ivan = make_user(
        "ivan", platform=platform, role="manager", first_name="Иван", last_name="Петров", phone="+79001112233"
    )
    player = make_device(platform, name="Плеер у кассы", owner=ivan)
    DeviceShare.objects.create(device=northern.player, user=ivan)
    socket = make_socket(platform, name="Розетка в холле")
    template = CommandTemplate.objects.get(model=socket.model, key="add_user")
    now = datetime.now(UTC)
    Command.objects.create(
        platform=platform, device=socket, template=template, params={"phone": ivan.phone}, body="x", source="person",
        effect=template.effect, state="replied", state_changed_at=now, cause_id=uuid.uuid4(), idem_key="k",
        expires_at=now, created_at=now,
    )  # fmt: skip
    sign_in(page, live_server)
    row = Membership.objects.get(user=ivan)

    page.goto(live_server.url + reverse("admin:platforms_membership_change", args=[row.pk]))
    page.click("a.rm-button:has-text('Отключить сотрудника')")
    page.wait_for_selector("text=Розетка в холле")
    page.select_option("#id_successor", str(northern.admin.pk))
    page.fill("#id_reason", "уволен")
    wide = both_sizes(page, "people-dismiss")
    settings.CONFIRM_AGAIN_S = 0.0
    page.click("form.rm-once button[type=submit]")
    page.wait_for_selector("[name=_confirm_password]")
    wide += both_sizes(page, "people-confirm")
    page.fill("[name=_confirm_password]", PASSWORD)
    page.click("form.rm-once button[type=submit]")
    page.wait_for_selector("text=доступа к этой платформе больше нет")

    ivan.refresh_from_db()
    assert not ivan.is_active
    assert Device.objects.get(pk=player.pk).owner == northern.admin
    assert not Membership.objects.filter(pk=row.pk).exists()
    assert wide == []
    assert watch.violations(page) == []
