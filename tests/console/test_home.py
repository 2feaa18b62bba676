"""The home page: right numbers, words for everything, and as many queries for fifty devices as for five."""

from collections.abc import Callable
from datetime import timedelta

from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from automation.models import Case, CaseEvent, Heartbeat, Job, JobState
from devices.models import Device
from exporters.models import Exporter
from notifications.models import Delivery
from platforms.models import Platform, Usage, User
from platforms.quotas import sms_period
from remosa.lib.clock import utcnow
from tests.console.world import World, make_case
from tests.factories import (
    make_device,
    make_exporter,
    make_gateway,
    make_job,
    make_link,
    make_platform,
    make_site,
    make_socket,
    make_target,
)

Pages = Callable[[User], Client]


def tiles(client: Client) -> dict[str, int]:
    return {tile.name: tile.count for tile in client.get("/admin/").context["tiles"]}


def put(device: Device, state: str) -> None:
    Device.objects.filter(pk=device.pk).update(
        state=state, state_since=utcnow(), noted_at=utcnow(), observer=None
    )


def test_the_tiles_count_what_they_name(north: Platform, alice: User, browser_of: Pages):
    job = make_job(north)
    for state, number in (("online", 3), ("offline", 4), ("unknown", 2)):
        for _ in range(number):
            put(make_device(north), state)
    down = list(Device.objects.filter(state="offline"))
    make_case(down[0], job, state="escalated")
    make_case(down[1], job, state="escalated", acknowledged_by=alice)
    make_case(down[2], job, state="acting")
    make_case(down[3], job, state="open", mode="shadow")

    assert tiles(browser_of(alice)) == {"Needs you": 1, "Being repaired": 1, "Offline": 4, "No data": 2}


def test_a_proposal_without_an_answer_needs_somebody(north: Platform, alice: User, browser_of: Pages):
    case = make_case(make_device(north), make_job(north, mode="suggest"), state="open", outcome="")
    client = browser_of(alice)

    before = tiles(client)["Needs you"]
    CaseEvent.objects.create(case=case, at=utcnow(), kind="suggested", data={"attempt": 1})
    proposed = tiles(client)["Needs you"]
    CaseEvent.objects.create(case=case, at=utcnow() + timedelta(seconds=1), kind="acted", data={"attempt": 1})
    answered = tiles(client)["Needs you"]

    assert (before, proposed, answered) == (0, 1, 0)


def test_a_proposed_second_step_waits_for_a_person_and_is_not_being_repaired(
    north: Platform, alice: User, browser_of: Pages
):
    ladder = [{"do": "notice", "wait_s": 60}, {"do": "cycle", "wait_s": 900}]
    case = make_case(
        make_device(north),
        make_job(north, mode="suggest", ladder=ladder),
        state="acting",
        mode="suggest",
        attempts=1,
    )
    CaseEvent.objects.create(case=case, at=utcnow(), kind="suggested", data={"attempt": 2, "do": "cycle"})
    client = browser_of(alice)

    page = client.get("/admin/")

    counted = {tile.name: tile.count for tile in page.context["tiles"]}
    assert (counted["Needs you"], counted["Being repaired"]) == (1, 0)
    assert page.context["lines"][0].step.startswith("Waits for a person to approve")
    assert client.get("/admin/automation/case/?board=repairing").context["cl"].result_count == 0


def hold(job: Job, device: Device, *, minutes: float, samples: int = 3) -> None:
    JobState.objects.create(
        job=job, device=device, phase="pending", since=utcnow() - timedelta(minutes=minutes), samples=samples,
        job_version=job.version,
    )  # fmt: skip


def test_what_waits_for_its_hold_time_is_said(north: Platform, alice: User, browser_of: Pages):
    job = make_job(north, hold_s=600, fresh_samples=3)
    asking = make_job(north, mode="suggest", hold_s=600)
    names = ("waits", "unsure", "mute", "asked about", "has a case")
    waits, unsure, mute, asked_about, with_case = [make_device(north, name=name) for name in names]
    for device in (waits, unsure, asked_about, with_case):
        put(device, "offline")
    put(mute, "unknown")
    hold(job, waits, minutes=4)
    hold(asking, waits, minutes=3)  # the job that may do more speaks for the device
    hold(job, unsure, minutes=11, samples=1)
    hold(job, mute, minutes=4)
    hold(asking, asked_about, minutes=5)
    hold(job, with_case, minutes=9)
    make_case(with_case, job, state="acting")

    page = browser_of(alice).get("/admin/")

    held = {line.device.name: line for line in page.context["held"]}
    assert set(held) == {"waits", "unsure", "mute", "asked about"}
    assert held["waits"].step == (
        "Waits 10 min: it may come back by itself. Then it is repaired, if no guard objects."
    )
    assert abs(held["waits"].deadline_at - utcnow() - timedelta(minutes=6)) < timedelta(minutes=1)
    assert held["unsure"].step.startswith("Waits for fresh answers: 1 of 3.")
    assert held["mute"].step.startswith("There is no data now")
    assert held["mute"].deadline_at is None
    assert held["asked about"].step.endswith("Then a repair is proposed to a person.")
    assert page.context["left_alone"] == 0
    assert page.context["idle"] == ""


def test_a_hold_of_a_job_that_is_off_or_changed_is_none(north: Platform, alice: User, browser_of: Pages):
    off, changed = make_job(north, is_enabled=False), make_job(north)
    for job in (off, changed):
        device = make_device(north)
        put(device, "offline")
        hold(job, device, minutes=4)
    Job.objects.filter(pk=changed.pk).update(version=changed.version + 1)

    page = browser_of(alice).get("/admin/")

    assert page.context["held"] == []
    assert page.context["left_alone"] == 2
    assert "2 players are offline, and no job is at work on them" in page.content.decode()


def test_idleness_says_no_more_than_is_known(north: Platform, alice: User, browser_of: Pages):
    client, said = browser_of(alice), []
    for state in (None, "online", "unknown", "offline"):
        if state:
            put(make_device(north), state)
        said.append(client.get("/admin/").context["idle"])

    assert said == [
        "Nothing: there are no players yet.", "Nothing: all players are online.",
        "Nothing: no player is known to be offline. No data of 1: without data nothing is switched.", "Nothing.",
    ]  # fmt: skip


def test_every_tile_leads_to_its_list(north: Platform, alice: User, browser_of: Pages):
    put(make_device(north, name="fell"), "offline")
    put(make_device(north, name="stands"), "online")
    make_case(make_device(north), make_job(north), title="waits for you")
    client = browser_of(alice)

    lists = {tile.name: client.get(tile.url) for tile in client.get("/admin/").context["tiles"]}

    assert {name: answer.status_code for name, answer in lists.items()} == dict.fromkeys(lists, 200)
    assert "waits for you" in lists["Needs you"].content.decode()
    assert "waits for you" not in lists["Being repaired"].content.decode()
    assert "fell" in lists["Offline"].content.decode()
    assert "stands" not in lists["Offline"].content.decode()


def test_somebody_with_one_device_counts_that_one(northern: World, uma: User, browser_of: Pages):
    put(northern.player, "offline")
    put(northern.shared, "offline")

    home = browser_of(uma).get("/admin/")

    assert {tile.name: tile.count for tile in home.context["tiles"]}["Offline"] == 1
    assert home.context["lights"] == []
    assert "zqnorth-case" not in home.content.decode()


def test_clients_are_rows_for_whoever_has_several(
    northern: World, southern: World, root: User, alice: User, browser_of: Pages
):
    of_root = browser_of(root).get("/admin/").content.decode()
    of_alice = browser_of(alice).get("/admin/").content.decode()

    assert "zqnorth-platform" in of_root
    assert "zqsouth-platform" in of_root
    assert "Clients" not in of_alice


def test_the_bar_counts_what_is_promised_too(north: Platform, alice: User, browser_of: Pages):
    period = sms_period(north, utcnow())
    Usage.objects.create(platform=north, kind="sms", period=period, used=700, reserved=150)

    sms = browser_of(alice).get("/admin/").context["clients"][0].sms

    assert (sms["left"], sms["percent"], sms["tone"]) == (150, 85, "amber")


def test_a_silent_poller_and_a_doubtful_cms_are_lights(north: Platform, alice: User, browser_of: Pages):
    now = utcnow()
    for name, fields in {
        "well": {"is_up": True, "last_round_at": now, "last_success_at": now},
        "silent": {"is_up": True, "last_round_at": now - timedelta(hours=1)},
        "dead": {"is_up": False, "last_round_at": now, "last_error": "http_401"},
        "doubtful": {"is_up": True, "last_round_at": now, "suspect_reason": "half_missing"},
        "new": {},
    }.items():
        make_exporter(north, name=name)
        Exporter.objects.filter(name=name).update(**fields)

    lights = {light.name: light for light in browser_of(alice).get("/admin/").context["lights"]}

    tones = {name.removeprefix("CMS "): light.tone for name, light in lights.items()}
    assert tones == {"well": "green", "silent": "red", "dead": "red", "doubtful": "amber", "new": "grey"}
    assert lights["CMS dead"].detail == "it does not accept the API key"


def test_the_name_of_a_shared_gateway_is_the_operators(
    north: Platform, alice: User, root: User, browser_of: Pages
):
    make_gateway(None, name="zq-operators-gateway")

    assert "zq-operators-gateway" not in browser_of(alice).get("/admin/").content.decode()
    assert "shared SMS gateway" in browser_of(alice).get("/admin/").content.decode()
    assert "zq-operators-gateway" in browser_of(root).get("/admin/").content.decode()


def test_remosa_says_that_it_is_late_itself(north: Platform, alice: User, browser_of: Pages):
    client = browser_of(alice)
    Heartbeat.objects.create(name="sweep", at=utcnow())

    well = client.get("/admin/live/").content.decode()
    Heartbeat.objects.update(at=utcnow() - timedelta(minutes=10))
    late = client.get("/admin/live/").content.decode()

    assert "REMOSA itself is late" not in well
    assert "REMOSA itself is late" in late


def test_remosa_says_that_it_does_not_trust_its_clock(north: Platform, alice: User, browser_of: Pages):
    until = utcnow() + timedelta(minutes=30)
    Heartbeat.objects.create(name="sweep", at=utcnow(), doubt_reason="clock_jumped", doubt_until=until)

    page = browser_of(alice).get("/admin/live/").content.decode()

    assert "The clock of REMOSA jumped" in page
    assert "Automation does nothing until then" in page


def test_unread_notices_wait_on_the_home_page_until_they_are_read(
    northern: World, alice: User, browser_of: Pages
):
    client = browser_of(alice)
    notice = Delivery.objects.get(user=alice).notice

    before = client.get("/admin/").content.decode()
    client.get(reverse("admin:notifications_notice_change", args=[notice.pk]))
    opened = Delivery.objects.get(user=alice).read_at
    client.post(reverse("admin:notifications_notice_mark_read", args=[notice.pk]))
    after = client.get("/admin/").content.decode()

    assert "zqnorth-case: needs you" in before
    assert opened is None  # opening it is not reading it: GET changes nothing
    assert "zqnorth-case: needs you" not in after


def _fill(platform: Platform, number: int) -> None:
    """``number`` more players, each with a socket, a target, a case with an event and a refusal."""
    site, job = make_site(platform), make_job(platform)
    exporter = make_exporter(platform)
    for _ in range(number):
        player = make_device(platform, site=site)
        make_link(player, make_socket(platform))
        make_target(exporter, player)
        put(player, "offline")
        make_case(player, job, state="open")


def _queries(client: Client, url: str) -> int:
    client.get(url)
    with CaptureQueriesContext(connection) as caught:
        answer = client.get(url)
    assert answer.status_code == 200
    return len(caught)


BUDGET = {
    "/admin/": 40,
    "/admin/live/": 32,
    "/admin/devices/device/": 32,
    "/admin/devices/device/?kind__exact=socket": 32,
    "/admin/automation/case/": 34,
    "/admin/automation/guardrefusal/": 32,
    "/admin/exporters/exportertarget/": 32,
}


def test_a_page_of_fifty_devices_asks_no_more_than_one_of_five(
    north: Platform, alice: User, browser_of: Pages
):
    Platform.objects.filter(pk=north.pk).update(device_limit=1000)
    client = browser_of(alice)

    _fill(north, 5)
    few = {url: _queries(client, url) for url in BUDGET}
    _fill(north, 45)
    many = {url: _queries(client, url) for url in BUDGET}

    assert {url: (few[url], many[url]) for url in BUDGET if many[url] > few[url]} == {}
    assert {url: number for url, number in few.items() if number > BUDGET[url]} == {}


def test_the_home_page_of_ten_clients_asks_no_more_than_of_two(root: User, browser_of: Pages):
    client = browser_of(root)

    for _ in range(2):
        _fill(make_platform(), 1)
    few = _queries(client, "/admin/live/")
    for _ in range(8):
        _fill(make_platform(), 1)
    many = _queries(client, "/admin/live/")

    assert many <= few


def test_an_empty_installation_says_how_to_begin(root: User, browser_of: Pages):
    assert "Add a platform" in browser_of(root).get("/admin/").content.decode()


def test_the_board_begins_with_what_needs_a_person(north: Platform, alice: User, browser_of: Pages):
    now, job = utcnow(), make_job(north)
    ages = {"verified": 1, "acting": 2, "escalated": 300, "cancelled": 4}
    for state, minutes in ages.items():
        ended = {"closed_at": now} if state in ("verified", "cancelled") else {}
        case = make_case(make_device(north), job, title=state, state=state, **ended)
        Case.objects.filter(pk=case.pk).update(opened_at=now - timedelta(minutes=minutes))
    taken = make_case(make_device(north), job, title="taken", state="escalated", acknowledged_by=alice)
    Case.objects.filter(pk=taken.pk).update(opened_at=now)

    page = browser_of(alice).get("/admin/automation/case/")
    sorted_by_reader = browser_of(alice).get("/admin/automation/case/?o=4")

    titles = [case.title for case in page.context["cl"].result_list]
    assert titles == ["escalated", "taken", "acting", "verified", "cancelled"]
    assert sorted_by_reader.context["cl"].result_list[0].title == "escalated"  # the oldest


def test_a_closed_case_says_what_became_of_it(north: Platform, alice: User, browser_of: Pages):
    now = utcnow()
    case = make_case(
        make_device(north, name="lobby"),
        make_job(north),
        state="verified",
        outcome="repaired",
        closed_at=now,
        attempts=1,
    )
    Case.objects.filter(pk=case.pk).update(down_since=now - timedelta(minutes=14))

    page = browser_of(alice).get(reverse("admin:automation_case_change", args=[case.pk])).content.decode()

    assert "The device came back after the power cycle and stayed." in page
    assert "Lasted 14 min, attempts: 1." in page


def test_what_was_closed_today_stays_on_the_home_page(
    north: Platform, south: Platform, alice: User, browser_of: Pages
):
    now = utcnow()
    for platform, name, age in ((north, "today", 2), (north, "yesterday", 30), (south, "foreign", 2)):
        make_case(
            make_device(platform), make_job(platform), title=name, state="verified", outcome="repaired",
            closed_at=now - timedelta(hours=age),
        )  # fmt: skip

    home = browser_of(alice).get("/admin/live/")

    assert [line.case.title for line in home.context["closed"]] == ["today"]
    assert "The device came back after the power cycle and stayed." in home.content.decode()
