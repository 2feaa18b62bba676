"""The time as of which a state is known: shared by the rows of a round, and never younger than the answer."""

import random
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.db.models.signals import pre_save

from devices.models import Device, Observer
from devices.services import remove_device
from exporters.models import Exporter, ExporterTarget
from exporters.ports import Observation, RoundResult, Status
from exporters.services import remove_exporter, remove_targets, store_round
from tests.factories import make_device, make_exporter, make_target

START = datetime(2100, 3, 3, 12, 0, tzinfo=UTC)

pytestmark = pytest.mark.django_db


def after(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def store(exporter, said, *, at):
    """A round in which the CMS said ``{external id: status}``; nobody could be asked for the others."""
    seen = tuple(Observation(key, status) for key, status in said.items())
    up = bool(said) or not exporter.targets.exists()
    result = RoundResult(seen, (), Counter(), up, "" if up else "timeout", True, 0.1)
    return store_round(exporter_id=exporter.pk, result=result, started_at=at, finished_at=at)


def fleet(platform, count):
    exporter = make_exporter(platform)
    for number in range(count):
        make_target(exporter, make_device(platform), external_id=str(number))
    ExporterTarget.objects.filter(exporter=exporter).update(created_at=START - timedelta(days=1))
    return exporter


def everyone(exporter, status=Status.ONLINE):
    return dict.fromkeys(exporter.targets.values_list("external_id", flat=True), status)


# --- what a round writes -------------------------------------------------------------------------


def rows_written(work) -> int:
    connection.ensure_connection()
    before = connection.connection.total_changes
    work()
    return connection.connection.total_changes - before


def test_a_round_without_news_writes_the_same_few_rows_for_any_number_of_devices(north, figure):
    type(north).objects.update(device_limit=1000)
    north.refresh_from_db()
    written = {}
    for count in (10, 200):
        exporter = fleet(north, count)
        said = everyone(exporter)
        store(exporter, said, at=START)
        written[count] = rows_written(lambda e=exporter, s=said: store(e, s, at=after(30)))
        assert set(
            Device.objects.filter(targets__exporter=exporter).values_list(Device.OBSERVED_AT, flat=True)
        ) == {after(30)}

    assert written[10] == written[200] <= 6
    figure("rows of a round without news", f"{written[200]} written for 10 and for 200 devices")


def test_news_of_one_device_writes_its_own_rows_only(north):
    exporter = fleet(north, 100)
    said = everyone(exporter)
    store(exporter, said, at=START)
    quiet = rows_written(lambda: store(exporter, said, at=after(30)))

    loud = rows_written(lambda: store(exporter, said | {"7": Status.OFFLINE}, at=after(60)))

    assert loud - quiet <= 2  # the target and the device


# --- nothing is younger than its answer ------------------------------------------------------------


def test_an_object_that_was_read_before_a_round_does_not_take_its_time(north):
    exporter = fleet(north, 1)
    store(exporter, {"0": Status.OFFLINE}, at=START)
    device, target = Device.objects.get(), exporter.targets.get()

    store(exporter, {"0": Status.ONLINE}, at=after(30))

    assert (device.state, device.observed_at) == ("offline", START)
    assert (target.status, target.observed_at) == ("offline", None)
    device.refresh_from_db()
    target.refresh_from_db()
    assert (device.state, device.observed_at) == ("online", after(30))
    assert (target.status, target.observed_at) == ("online", after(30))


def test_an_object_that_is_still_true_takes_the_time_of_the_last_round(north):
    exporter = fleet(north, 1)
    store(exporter, {"0": Status.OFFLINE}, at=START)
    device, target = Device.objects.get(), exporter.targets.get()

    store(exporter, {"0": Status.OFFLINE}, at=after(30))

    assert device.observed_at == target.observed_at == after(30)


def test_a_person_who_edits_a_device_while_a_round_is_stored_writes_no_state(north, alice, client):
    exporter = fleet(north, 1)
    store(exporter, {"0": Status.OFFLINE}, at=START)
    device = Device.objects.get()
    client.force_login(alice, backend="platforms.authentication.UsernameOrEmailBackend")
    form = {
        "name": "Зал 7", "kind": "player", "mac": device.mac, "shares-TOTAL_FORMS": "0",
        "shares-INITIAL_FORMS": "0", "shares-MIN_NUM_FORMS": "0", "shares-MAX_NUM_FORMS": "1000",
    }  # fmt: skip

    def meanwhile(**_sent):
        pre_save.disconnect(meanwhile, Device)
        store(exporter, {"0": Status.ONLINE}, at=after(30))

    pre_save.connect(meanwhile, Device)
    client.post(f"/admin/devices/device/{device.pk}/change/", form)

    device.refresh_from_db()
    assert (device.name, device.state, device.observed_at) == ("Зал 7", "online", after(30))


def test_a_target_is_not_confirmed_by_a_round_that_does_not_know_it(north):
    exporter = fleet(north, 2)
    store(exporter, everyone(exporter, Status.OFFLINE), at=START)
    ExporterTarget.objects.filter(external_id="1").update(created_at=after(3600))  # by a clock that was wrong

    store(exporter, {"0": Status.OFFLINE}, at=after(30))

    known = ExporterTarget.objects.order_by("pk").values_list("status", ExporterTarget.OBSERVED_AT)
    assert list(known) == [("offline", after(30)), ("unknown", START)]
    assert Device.objects.filter(state="unknown").values_list(Device.OBSERVED_AT, flat=True).get() == START


def test_whoever_is_not_answered_for_keeps_the_time_of_the_last_answer(north):
    exporter = fleet(north, 2)
    store(exporter, everyone(exporter, Status.OFFLINE), at=START)
    store(exporter, everyone(exporter, Status.OFFLINE), at=after(30))

    store(exporter, {"0": Status.OFFLINE, "1": Status.UNKNOWN}, at=after(60))
    store(exporter, {"0": Status.OFFLINE, "1": Status.UNKNOWN}, at=after(90))

    times = list(ExporterTarget.objects.order_by("pk").values_list(ExporterTarget.OBSERVED_AT, flat=True))
    assert times == [after(90), after(30)]
    assert list(Device.objects.order_by("pk").values_list("state", Device.OBSERVED_AT)) == [
        ("offline", after(90)), ("unknown", after(30)),
    ]  # fmt: skip


def test_a_device_out_of_service_and_one_taken_off_are_not_confirmed(north):
    exporter, other = fleet(north, 3), make_exporter(north)
    gone, kept_elsewhere, here = Device.objects.order_by("pk")
    make_target(other, kept_elsewhere, external_id="x", created_at=START)
    ExporterTarget.objects.update(created_at=START - timedelta(days=1))
    store(exporter, everyone(exporter, Status.OFFLINE), at=START)
    remove_device(gone, by=None)
    remove_targets(exporter=exporter, external_ids=["1"])

    store(exporter, {"2": Status.OFFLINE}, at=after(30))

    assert [Device.objects.get(pk=one.pk).observed_at for one in (gone, kept_elsewhere, here)] == [
        START, START, after(30),
    ]  # fmt: skip
    assert exporter.targets.get(device=gone).status == "unknown"


def test_an_exporter_that_is_removed_leaves_the_time_of_its_last_answer(north):
    exporter = fleet(north, 1)
    store(exporter, {"0": Status.ONLINE}, at=START)
    store(exporter, {"0": Status.ONLINE}, at=after(30))

    remove_exporter(Exporter.objects.get(pk=exporter.pk), by=None)

    device = Device.objects.get()
    assert (device.state, device.observed_at, device.observer) == ("unknown", after(30), None)
    assert not Observer.objects.exists()


# --- against the plain rule: one time per row, written each round ----------------------------------------


class Plain:
    """What the rows would say if each round wrote every row."""

    def __init__(self):
        self.targets, self.devices = {}, {}  # {(exporter, id): (status, at)}, {device: (state, at)}

    def round(self, exporter, targets, said, at):
        for key, device in targets.items():
            status = str(said.get(key, Status.UNKNOWN))
            seen = self.targets.get((exporter, key), ("unknown", None))[1]
            self.targets[exporter, key] = (status, seen if status == "unknown" else at)
            _state, known_at = self.devices.get(device, ("unknown", None))
            if status != "unknown" and (known_at is None or at >= known_at):
                self.devices[device] = (status, at)
        for key, device in targets.items():
            if str(said.get(key, Status.UNKNOWN)) == "unknown" and not self.elsewhere(exporter, device, at):
                self.devices[device] = ("unknown", self.devices.get(device, ("", None))[1])

    def elsewhere(self, exporter, device, at):
        return any(
            status != "unknown" and at - seen <= self.max_age
            for (other, key), (status, seen) in self.targets.items()
            if other != exporter and self.of[other].get(key) == device
        )


@pytest.mark.parametrize("seed", range(6))
def test_random_rounds_of_two_exporters_say_what_written_rows_would_say(north, seed):
    chance, plain = random.Random(seed), Plain()
    first, second = make_exporter(north), make_exporter(north)
    devices = [make_device(north) for _ in range(6)]
    for number, device in enumerate(devices):
        for exporter, mine in ((first, number < 5), (second, number > 2)):
            if mine:
                make_target(exporter, device, external_id=str(number))
    ExporterTarget.objects.update(created_at=START - timedelta(days=1))
    plain.max_age = first.max_age
    plain.of = {
        exporter.pk: {
            str(n): d.pk for n, d in enumerate(devices) if exporter.targets.filter(device=d).exists()
        }
        for exporter in (first, second)
    }
    at = 0.0

    for _step in range(25):
        at += chance.choice([1, 20, 45, 200, -15])  # the clock goes back now and then
        exporter = chance.choice([first, second])
        ids = plain.of[exporter.pk]
        said = {} if chance.random() < 0.2 else {
            key: chance.choices([Status.ONLINE, Status.OFFLINE, Status.UNKNOWN], [6, 2, 1])[0] for key in ids
        }  # fmt: skip
        if said and all(status == Status.UNKNOWN for status in said.values()):
            continue
        store(exporter, said, at=after(at))
        plain.round(exporter.pk, ids, said, after(at))

        stored = {
            pk: (state, seen)
            for pk, state, seen in Device.objects.values_list("pk", "state", Device.OBSERVED_AT)
        }
        assert stored == {device.pk: plain.devices.get(device.pk, ("unknown", None)) for device in devices}
        rows = ExporterTarget.objects.values_list(
            "exporter_id", "external_id", "status", ExporterTarget.OBSERVED_AT
        )
        assert {(owner, key): told for owner, key, *told in rows if told[0] != "unknown" or told[1]} == {
            place: list(told) for place, told in plain.targets.items() if told[0] != "unknown" or told[1]
        }
