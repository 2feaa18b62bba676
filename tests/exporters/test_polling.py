"""The poller at work on real sockets: many at once, nobody twice, and whatever happens it goes on."""

import asyncio
import json
import signal
import threading
from datetime import timedelta

import pytest
from aiohttp import web
from django.core.management import call_command
from django.db import OperationalError

from devices.models import Device
from exporters.models import Exporter, PollRound
from exporters.polling import Pace, open_loop
from exporters.services import claim_due, poll_now, release_leases, store_round
from remosa.lib.clock import utcnow
from remosa.simulator.fleet import demo_fleet
from remosa.simulator.servers import ADDREALITY_TOKEN
from remosa.simulator.thread import SimulatorThread
from tests.exporters.pollers_at_work import cms_at_work, start_poller, wait_for
from tests.factories import make_device, make_exporter, make_target

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.databases]


@pytest.fixture(autouse=True)
def loopback_is_allowed(settings):
    settings.EGRESS_ALLOW = ["127.0.0.0/8"]


async def online(request):
    return web.json_response([{"status": "online", "name": "Плеер №1"}])


class Hanging:
    """A CMS that keeps its callers waiting until it is let go; then it answers "online"."""

    def __init__(self):
        self.asked_at = []
        self.let_go = threading.Event()

    async def __call__(self, request):
        self.asked_at.append(utcnow())
        while not self.let_go.is_set():
            await asyncio.sleep(0.01)
        return await online(request)


def make_polled(platform, cms, count=1, **fields):
    exporter = make_exporter(platform, base_url=cms.base_url, **fields)
    for _number in range(count):
        make_target(exporter, make_device(platform))
    return exporter


def run_once(pace=None, **over):
    """One pass of a poller in this process; its rounds."""

    async def whole():
        async with open_loop(pace or Pace()) as loop:
            for name, value in over.items():
                setattr(loop, name, value)
            return await loop.run_once()

    return asyncio.run(whole())


# --- one pass ----------------------------------------------------------------------------------------


def test_poll_once_reads_both_kinds_of_cms(north, capsys):
    fleet = demo_fleet()
    with SimulatorThread(minute_s=60) as simulator:
        cubic = make_exporter(north, base_url=simulator.base_url + "/cubic")
        addreality = make_exporter(
            north, kind="addreality", base_url=simulator.base_url + "/addreality", secret=ADDREALITY_TOKEN
        )
        for exporter, column in ((cubic, "mac"), (addreality, "external_id")):
            for spec in fleet.players_in(exporter.kind)[:5]:
                device = make_device(north, name=spec.name, **{"mac": "", column: spec.id})
                make_target(exporter, device, external_id=spec.id)

        call_command("poll", once=True)

    printed = capsys.readouterr().out
    assert set(Device.objects.values_list("state", flat=True)) == {"online"}
    assert set(Device.objects.values_list("name", flat=True)) == set(
        device.facts["name"] for device in Device.objects.all()
    )
    assert PollRound.objects.filter(is_up=True, online=5).count() == 2
    assert addreality.found.count() == len(fleet.players_in("addreality")) - 5
    assert printed.count("online 5, offline 0, no data 0") == 2


def test_a_pass_takes_what_is_due_and_each_exporter_once(north):
    with cms_at_work(online) as cms:
        due = make_polled(north, cms, interval_s=0.5)
        make_polled(north, cms, next_poll_at=utcnow() + timedelta(hours=1))

        rounds = run_once()

    assert [done.work.exporter_id for done in rounds] == [due.pk]
    assert len(cms.asked) == 1


def test_one_exporter_by_hand_is_polled_though_it_is_not_due(north):
    with cms_at_work(online) as cms:
        later = utcnow() + timedelta(hours=1)
        wanted = make_polled(north, cms, next_poll_at=later)
        make_polled(north, cms, next_poll_at=later)
        make_polled(north, cms)

        call_command("poll", exporter=[wanted.pk])

    assert [row.exporter for row in PollRound.objects.all()] == [wanted]


def test_settings_that_cannot_work_are_told_and_do_not_stop_the_others(north, caplog):
    with cms_at_work(online) as cms:
        well = make_polled(north, cms)
        without_token = make_polled(north, cms, kind="addreality")
        of_no_kind = make_polled(north, cms, kind="gone")

        run_once()

    for exporter in (well, without_token, of_no_kind):
        exporter.refresh_from_db()
    assert (well.is_up, without_token.is_up, of_no_kind.is_up) == (True, False, False)
    assert "API token" in without_token.last_error
    assert "gone" in of_no_kind.last_error
    assert of_no_kind.targets.get().reason == "bad_settings"


class DefectivePoller:
    """A kind with a defect."""

    fields: tuple[str, ...] = ()
    secret_fields: tuple[str, ...] = ()
    discovers = False

    def normalise_id(self, text):
        return text

    async def poll(self, door, settings, targets):
        raise ZeroDivisionError


def test_a_defect_in_one_kind_does_not_stop_the_others(north, settings, caplog):
    settings.EXPORTERS = {**settings.EXPORTERS, "defect": f"{__name__}.DefectivePoller"}
    with cms_at_work(online) as cms:
        well, defective = make_polled(north, cms), make_polled(north, cms, kind="defect")

        run_once()

    well.refresh_from_db()
    defective.refresh_from_db()
    assert (well.is_up, defective.is_up, defective.last_error) == (True, False, "internal")
    assert defective.targets.get().device.state == "unknown"
    assert "ZeroDivisionError" in caplog.text


# --- many at once --------------------------------------------------------------------------------------


def test_a_cms_that_hangs_keeps_nobody_waiting(north, start_child):
    hanging = Hanging()
    with cms_at_work(hanging) as slow_cms, cms_at_work(online) as cms:
        slow = make_polled(north, slow_cms, 3, interval_s=60, timeout_s=60)
        quick = make_polled(north, cms, interval_s=0.5)
        poller = start_poller(start_child)

        wait_for(lambda: quick.rounds.count() >= 4, poller, what="rounds of the quick CMS")

        assert len(hanging.asked_at) == 3
        assert slow.rounds.count() == 0
        hanging.let_go.set()
        wait_for(slow.rounds.exists, poller, what="the round of the slow CMS")
        assert poller.stop() == 0


def test_connections_are_kept_between_rounds(north):
    ports = set()

    async def note_port(request):
        ports.add(request.transport.get_extra_info("peername")[1])
        return await online(request)

    with cms_at_work(note_port) as cms:
        make_polled(north, cms, 8, concurrency=2)

        async def three_passes():
            async with open_loop(Pace()) as loop:
                for _number in range(3):
                    await loop.run_once()
                    await loop.leases(_everything_is_due)

        asyncio.run(three_passes())

    assert len(cms.asked) == 24
    assert len(ports) == 2


def _everything_is_due():
    Exporter.objects.update(next_poll_at=None)


@pytest.mark.parametrize("rounds", [2, pytest.param(10, marks=pytest.mark.soak)])
def test_two_pollers_never_ask_one_exporter_at_once(rounds, north, start_child, figure):
    """Each answer takes a while; two at once for one exporter would be seen by the CMS."""
    busy, doubles, asked = set(), [], []

    async def watch(request):
        mac = request.query["mac"]
        asked.append(mac)
        if mac in busy:
            doubles.append(mac)
        busy.add(mac)
        await asyncio.sleep(0.05)
        busy.discard(mac)
        return await online(request)

    with cms_at_work(watch) as cms:
        exporters = [make_polled(north, cms, interval_s=0.3) for _number in range(4)]
        pollers = [start_poller(start_child) for _number in range(2)]
        wait_for(
            lambda: all("poll: started" in poller.output() for poller in pollers),
            *pollers,
            what="both at work",
        )
        # the one that was quicker may have been at work alone before
        enough = {exporter: exporter.rounds.count() + rounds for exporter in exporters}
        wait_for(
            lambda: all(exporter.rounds.count() >= count for exporter, count in enough.items()),
            *pollers,
            what=f"{rounds} rounds of each",
        )
        codes = [poller.stop() for poller in pollers]

    assert doubles == []
    assert codes == [0, 0]
    assert PollRound.objects.count() <= len(asked)
    figure("pollers racing", f"{len(asked)} questions to {len(exporters)} exporters, {len(doubles)} at once")


# --- trouble -------------------------------------------------------------------------------------------


def test_a_killed_poller_is_replaced_when_its_lease_ends_and_not_before(north, start_child):
    hanging = Hanging()
    with cms_at_work(hanging) as cms:
        exporter = make_polled(north, cms, interval_s=3600, timeout_s=60)
        killed = start_poller(start_child, lease_s=2)
        wait_for(lambda: hanging.asked_at, killed, what="the first question")
        killed.kill_9()
        exporter.refresh_from_db()
        lease_until = exporter.lease_until
        successor = start_poller(start_child, lease_s=2)

        wait_for(lambda: len(hanging.asked_at) == 2, successor, what="the successor's question")
        hanging.let_go.set()
        wait_for(exporter.rounds.exists, successor, what="the round")
        code = successor.stop()

    assert hanging.asked_at[1] > lease_until > hanging.asked_at[0]
    assert exporter.rounds.count() == 1
    assert exporter.targets.get().device.state == "online"
    assert code == 0


def test_sigterm_ends_the_process_and_gives_the_lease_back(north, start_child):
    hanging = Hanging()
    with cms_at_work(hanging) as cms:
        exporter = make_polled(north, cms, interval_s=3600, timeout_s=60)
        poller = start_poller(start_child)
        wait_for(lambda: hanging.asked_at, poller, what="the question")

        code = poller.stop(signum=signal.SIGTERM, grace_s=9)

    exporter.refresh_from_db()
    assert code == 0
    assert "Traceback" not in poller.output()
    assert exporter.lease_owner == ""
    assert not exporter.rounds.exists()
    assert Exporter.objects.due(utcnow()).get() == exporter


def test_a_round_that_outlives_its_lease_keeps_it(north):
    hanging = Hanging()
    with cms_at_work(hanging) as cms:
        exporter = make_polled(north, cms, timeout_s=60, interval_s=60)

        async def whole():
            async with open_loop(Pace(lease_s=0.3)) as loop:
                running = asyncio.create_task(loop.run_once())
                while not hanging.asked_at:
                    await asyncio.sleep(0.01)
                while utcnow() < hanging.asked_at[0] + timedelta(seconds=1):
                    await asyncio.sleep(0.05)
                hanging.let_go.set()
                return await running

        (done,) = asyncio.run(whole())

    assert done.stored is not None
    assert exporter.rounds.get().online == 1


def test_a_round_whose_lease_was_taken_over_is_dropped(north):
    hanging = Hanging()
    with cms_at_work(hanging) as cms:
        exporter = make_polled(north, cms, timeout_s=60, interval_s=60)

        async def whole():
            async with open_loop(Pace(lease_s=0.3)) as loop:
                running = asyncio.create_task(loop.run_once())
                while not hanging.asked_at:
                    await asyncio.sleep(0.01)
                await loop.results(_take_over)
                return await running

        rounds = asyncio.run(whole())

    exporter.refresh_from_db()
    assert rounds == []
    assert not exporter.rounds.exists()
    assert exporter.lease_owner == "somebody else"


def _take_over():
    Exporter.objects.update(lease_owner="somebody else", lease_until=utcnow() + timedelta(minutes=1))


class Shaky:
    """A database thread whose first calls of some services fail, as they do when the server restarts."""

    def __init__(self, thread, failures):
        self.thread, self.failures = thread, dict(failures)

    async def __call__(self, work, **arguments):
        if self.failures.get(work, 0) > 0:
            self.failures[work] -= 1
            raise OperationalError("the connection was closed")
        return await self.thread(work, **arguments)


def test_a_round_is_stored_when_the_database_is_back(north, monkeypatch):
    monkeypatch.setattr("exporters.polling._chance", lambda: 0.01)
    with cms_at_work(online) as cms:
        exporter = make_polled(north, cms)

        async def whole():
            async with open_loop(Pace()) as loop:
                loop.results = Shaky(loop.results, {store_round: 3})
                return await loop.run_once()

        (done,) = asyncio.run(whole())

    assert done.stored == exporter.rounds.get()
    assert len(cms.asked) == 1


def test_the_poller_survives_a_database_that_is_away(north, monkeypatch, caplog):
    monkeypatch.setattr("exporters.polling._chance", lambda: 0.01)
    with cms_at_work(online) as cms:
        exporter = make_polled(north, cms)

        async def whole():
            stop = asyncio.Event()
            async with open_loop(Pace(tick_s=0.01)) as loop:
                real = loop.leases
                loop.leases = Shaky(real, {claim_due: 4, release_leases: 1})
                running = asyncio.create_task(loop.run(stop))
                while not await real(exporter.rounds.exists):
                    await asyncio.sleep(0.02)
                stop.set()
                await running

        asyncio.run(asyncio.wait_for(whole(), 30))

    assert exporter.rounds.filter(online=1).exists()
    assert caplog.text.count("poller waits for the database") == 4
    assert "leases not given back" in caplog.text


def test_poll_now_during_a_round_is_followed_by_another(north):
    hanging = Hanging()
    with cms_at_work(hanging) as cms:
        exporter = make_polled(north, cms, timeout_s=60, interval_s=3600)

        async def whole():
            stop = asyncio.Event()
            async with open_loop(Pace(tick_s=0.02)) as loop:
                running = asyncio.create_task(loop.run(stop))
                while not hanging.asked_at:
                    await asyncio.sleep(0.01)
                await loop.results(poll_now, exporter=exporter)
                hanging.let_go.set()
                while len(hanging.asked_at) < 2:
                    await asyncio.sleep(0.01)
                while await loop.results(exporter.rounds.count) < 2:
                    await asyncio.sleep(0.01)
                stop.set()
                await running

        asyncio.run(asyncio.wait_for(whole(), 30))

    assert exporter.rounds.count() == 2


# --- outages -------------------------------------------------------------------------------------------


def test_no_outage_of_a_cms_is_served_as_offline(north):
    """All faults of the simulator through the real poller into the tables: 0 devices offline."""
    fleet = demo_fleet()
    modes = ["500", "401", "timeout", "reset", "html", "broken", "blank", "empty", "half"]
    with SimulatorThread(minute_s=60) as simulator:
        simulator.world.change_faults({"timeout_s": 1.0})
        cubic = make_exporter(north, base_url=simulator.base_url + "/cubic", timeout_s=0.3)
        addreality = make_exporter(
            north,
            kind="addreality",
            base_url=simulator.base_url + "/addreality",
            secret=ADDREALITY_TOKEN,
            timeout_s=0.3,
        )
        for exporter, column in ((cubic, "mac"), (addreality, "external_id")):
            for spec in fleet.players_in(exporter.kind)[:6]:
                device = make_device(north, **{"mac": "", column: spec.id})
                make_target(exporter, device, external_id=spec.id)
        run_once()
        doubted = {}
        for mode in modes:
            simulator.world.change_faults({"cms": mode})
            _everything_is_due()
            run_once()
            doubted[mode] = [
                not exporter.is_up or bool(exporter.suspect_reason) for exporter in Exporter.objects.all()
            ]
            assert not Device.objects.filter(state="offline").exists(), mode

    assert doubted == {mode: [True, True] for mode in modes}


def test_addreality_answers_are_read_by_pages_of_ids(north):
    pages = []

    async def listing(request):
        wanted = (await request.json())["id"]
        pages.append(len(wanted))
        rows = [{"id": number, "connection_state": "online", "name": f"Табло {number}"} for number in wanted]
        return web.Response(
            text=json.dumps({"data": rows}, ensure_ascii=False), content_type="application/json"
        )

    type(north).objects.update(device_limit=1000)
    with cms_at_work(listing) as cms:
        exporter = make_exporter(north, kind="addreality", base_url=cms.base_url, secret="t")
        devices = Device.objects.bulk_create(
            Device(platform=north, name=str(number), external_id=str(number)) for number in range(1, 322)
        )
        exporter.targets.model.objects.bulk_create(
            exporter.targets.model(exporter=exporter, device=device, external_id=device.external_id)
            for device in devices
        )

        run_once()

    assert sorted(pages) == [0, 21, 300]
    assert exporter.rounds.get().online == 321
