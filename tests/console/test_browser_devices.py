"""A socket is put into service against the simulator, a client comes in by one table, a socket moves: in a
real browser, in Russian, on a desk and on a phone.

With ``SCREENSHOTS=<folder>`` the pages are kept as pictures.
"""

import io
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from django.db import connections
from django.urls import reverse
from PIL import Image
from pytest_django.live_server_helper import LiveServer

from devices.models import Command, Device, DeviceModel, Onboarding, PowerLink
from devices.states import CommandState, DeviceState
from devices.tables import write_xlsx
from platforms.models import Platform, User
from remosa.lib.clock import utcnow
from remosa.simulator.fleet import demo_fleet
from remosa.simulator.thread import SimulatorThread
from tests.console.test_browser import PASSWORD, Watch, sign_in
from tests.console.test_browser_audit import both_sizes
from tests.factories import (
    make_device,
    make_gateway,
    make_link,
    make_platform,
    make_site,
    make_socket,
    make_user,
)
from tests.loop import Loop
from tests.servers.chromium import Page

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]
MINUTE_S = 0.3


def picture() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (320, 200), "steelblue").save(out, "PNG")
    return out.getvalue()


PICTURE = picture()
VICTIM = next(p for p in demo_fleet().players if demo_fleet().sockets_by_msisdn[p.socket].model == "D210")


@pytest.fixture
def browser(page: Page, live_server: LiveServer, loop_settings: None) -> tuple[Page, Watch]:
    page.set_default_timeout(60_000)
    watch = Watch(urlsplit(live_server.url).netloc)
    watch.attach(page)
    return page, watch


@pytest.fixture
def north(transactional_db: None) -> Platform:
    return make_platform("Медиа Север", device_limit=200)


@pytest.fixture
def alice(north: Platform) -> User:
    return make_user("alice", platform=north, role="admin", password=PASSWORD, language="ru")


@pytest.fixture
def loop(transactional_db: None, loop_settings: None) -> Iterator[Loop]:
    with SimulatorThread(minute_s=MINUTE_S) as simulator:
        yield Loop(simulator, minute_s=MINUTE_S)


def aside(work: Callable[[], object]) -> None:
    """Run the loop's turns beside Playwright, which holds this thread's event loop."""

    def run() -> None:
        try:
            work()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        pool.submit(run).result()


def send(page: Page, live_server: LiveServer, socket: Device, key: str, **params: str) -> None:
    """Fill in, look, confirm, send: as a person does."""
    page.goto(f"{live_server.url}/admin/devices/device/{socket.pk}/send/?template={key}")
    for name, value in params.items():
        page.fill(f"#id_p_{name}", value)
    page.click("button.rm-main[type=submit]")
    page.wait_for_selector("button[name=sending]")
    for box in page.locator("main input[type=checkbox], form.rm-once input[type=checkbox]").all():
        box.check()
    page.click("button[name=sending]")
    page.wait_for_url("**/devices/command/**")


def test_a_socket_is_put_into_service_against_the_simulator(
    loop: Loop, browser: tuple[Page, Watch], live_server: LiveServer
) -> None:
    page, watch = browser
    User.objects.create_superuser("alice", email="alice@example.org", password=PASSWORD, language="ru")
    socket = Device.objects.get(msisdn=VICTIM.socket)
    fed = list(PowerLink.objects.filter(socket=socket, valid_to=None).select_related("device"))
    PowerLink.objects.filter(pk=fed[0].pk).update(valid_to=utcnow())  # nobody has told REMOSA
    aside(lambda: loop.turns(2))
    sign_in(page, live_server)
    page.goto(f"{live_server.url}/admin/devices/device/{socket.pk}/change/")
    page.click("a:has-text('Ввести в работу')")
    page.wait_for_selector("#guide")
    wide = both_sizes(page, "devices-commission-start")

    steps = (
        ("register_admin", {}), ("add_user", {"phone": "+79160000002"}), ("mains_sms_on", {}), ("status", {}),
        ("power_cycle", {"minutes": "60"}),
    )  # fmt: skip
    for key, params in steps:
        send(page, live_server, socket, key, **params)
        good = Command.objects.filter(
            device=socket, template__key=key, state__in=[CommandState.REPLIED, CommandState.VERIFIED]
        )
        aside(lambda good=good, key=key: loop.until(good.exists, what=f"an answer to {key}"))
    dropped = Device.objects.filter(pk=fed[0].device_id, state=DeviceState.OFFLINE)
    aside(lambda: loop.until(dropped.exists, what="it drops"))
    make_gateway(socket.platform, name="Резервный", sender_msisdn="+79160000002", priority=200)
    page.goto(f"{live_server.url}/admin/devices/device/{socket.pk}/commission/")
    wide += both_sizes(page, "devices-commission")
    assert page.locator(".rm-pill:text-is('выполнено')").count() == len(steps)
    assert (
        "Резервный шлюз не управляет" in page.inner_text("#guide")
        or page.locator("text=не управляет").count()
    )

    page.click("button:has-text('Он подключён сюда')")
    page.wait_for_selector(".rm-pill:has-text('пропал, как и должен')")
    assert PowerLink.objects.filter(device=fed[0].device, socket=socket, valid_to=None).exists()
    assert wide == []
    assert watch.violations(page) == []


def test_a_client_of_25_players_comes_in_by_one_table(
    north: Platform, alice: User, browser: tuple[Page, Watch], live_server: LiveServer
) -> None:
    page, watch = browser
    rows = [["Площадка", "Плеер", "MAC", "Розетка", "Модель", "Телефон", "Линия"]]
    for n in range(25):
        rows.append([
            f"Кафе на Лесной, {n // 5 + 1}", f"Экран {n + 1}", f"02-00-00-00-01-{n:02X}", f"Щит {n // 5 + 1}", "D410",
            f"8 900 100-00-{n // 5 + 10}", str(n % 2 + 1),
        ])  # fmt: skip
    wrong = [row[:] for row in rows]
    wrong[3][2], wrong[7][4] = "02-00-00-00-01-0G", "D999"
    sign_in(page, live_server)

    wide = []
    for name, table in (("devices-import-errors", wrong), ("devices-import-checked", rows)):
        page.goto(f"{live_server.url}/admin/devices/onboarding/add/")
        page.set_input_files(
            "#id_file",
            {
                "name": "Кафе.xlsx",
                "mimeType": "application/octet-stream",
                "buffer": write_xlsx(table, title="Кафе"),
            },
        )
        page.click("button[name=_save], input[name=_save]")
        page.wait_for_selector("#onboarding .rm-facts")
        wide += both_sizes(page, name)
    assert Onboarding.objects.order_by("created_at").first().report["errors_total"] == 2
    assert not Device.objects.of(north).exists()

    page.click("a.rm-main:has-text('Записать')")
    page.click("button[type=submit]:has-text('Записать')")
    page.wait_for_selector("#onboarding .rm-pill:has-text('записана')")
    assert Device.objects.of(north).filter(kind="player").count() == 25
    assert PowerLink.objects.of(north).filter(valid_to=None).count() == 25
    site = Device.objects.of(north).filter(kind="socket").first().site
    page.goto(live_server.url + reverse("admin:devices_site_change", args=[site.pk]))
    wide += both_sizes(page, "devices-power-map")
    assert wide == []
    assert watch.violations(page) == []


def test_a_socket_moves_and_its_timeline_tells_it(
    north: Platform, alice: User, browser: tuple[Page, Watch], live_server: LiveServer
) -> None:
    page, watch = browser
    old, new = make_site(north, "Кафе на Лесной"), make_site(north, "Аптека на Мира")
    socket = make_socket(north, name="Щит у кассы", site=old)
    make_link(make_device(north, name="Экран у кассы", site=old), socket)
    sign_in(page, live_server)
    page.goto(f"{live_server.url}/admin/devices/device/{socket.pk}/change/")

    page.click("a.rm-button:has-text('Переместить')")
    page.select_option("#id_site", str(new.pk))
    page.fill("#id_reason", "Кафе переехало")
    wide = both_sizes(page, "devices-move")
    page.click("button[type=submit]:has-text('Переместить')")

    page.wait_for_selector(".rm-moment:has-text('Кафе на Лесной → Аптека на Мира')")
    wide += both_sizes(page, "devices-timeline")
    socket.refresh_from_db()
    assert socket.site == new
    assert page.locator(".rm-alert:has-text('Перемещено или заменено')").count() == 1
    assert wide == []
    assert watch.violations(page) == []


def test_a_model_is_checked_on_the_bench_and_a_socket_is_cared_for(
    north: Platform, alice: User, browser: tuple[Page, Watch], live_server: LiveServer
) -> None:
    page, watch = browser
    User.objects.filter(pk=alice.pk).update(is_superuser=True)
    socket = make_socket(
        north, name="Щит у кассы", site=make_site(north, "Кафе на Лесной"), sim_operator="МТС"
    )
    Device.objects.filter(pk=socket.pk).update(heard_at=utcnow() - timedelta(days=8, hours=2))
    DeviceModel.objects.filter(pk=socket.model_id).update(bench_checked_at=None)
    sign_in(page, live_server)

    page.goto(f"{live_server.url}/admin/devices/devicemodel/{socket.model_id}/bench/")
    page.fill("#id_reply_status", "OUT1 ON; T=23C; MAINS OK; GSM 20")
    page.fill("#id_reply_power_cycle", "Реле: выкл на 1 мин, t 23C")
    page.click("button:has-text('Прочитать ответы')")
    page.wait_for_selector("#id_rule_reply_power_cycle")
    wide = both_sizes(page, "sockets-bench")
    page.check("#id_use_reply_power_cycle")
    page.click("button:has-text('Включить отмеченные правила')")
    page.wait_for_selector("#id_rule_reply_power_cycle", state="detached")
    page.fill("#id_reply_power_on", "OUT1 ON")
    page.fill("#id_reply_power_off", "OUT1 OFF")
    for name in ("came_back", "lost_on", "mains_back"):
        page.check(f"#id_{name}")
    page.click("button:has-text('Проверка пройдена')")
    page.wait_for_selector(".rm-pill:text-is('проверена')")
    assert DeviceModel.objects.get(pk=socket.model_id).bench_checked_at is not None

    page.goto(f"{live_server.url}/admin/devices/device/{socket.pk}/keep-photo/")
    page.set_input_files("#id_file", {"name": "p.png", "mimeType": "image/png", "buffer": PICTURE})
    page.click("main button[type=submit], form.rm-once button[type=submit]")
    page.wait_for_selector("img.rm-photo")
    assert page.locator(".rm-pill:has-text('молчит 8 дней')").count() == 1
    wide += both_sizes(page, "sockets-sim")

    page.goto(f"{live_server.url}/admin/devices/device/{socket.pk}/schedule/?template=power_cycle")
    page.select_option("#id_repeat", "weekdays")
    page.fill("#id_at", "07:30")
    page.fill("#id_p_minutes", "3")
    page.click("button.rm-main[type=submit]")
    page.wait_for_selector("button[name=sending]")
    wide += both_sizes(page, "sockets-schedule")
    assert wide == []
    assert watch.violations(page) == []
