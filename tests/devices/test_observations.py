"""What was seen of devices: the newest counts, nobody could ask is no observation, and facts add up."""

import itertools
import random
from typing import Any

import pytest

from devices.models import Device
from devices.services import Observed, mark_unknown, record_observations
from devices.states import DeviceState
from platforms.models import Platform
from tests.devices.commands import after
from tests.factories import NOW, make_device, make_platform


@pytest.fixture
def device(north: Platform) -> Device:
    return make_device(north)


def see(device: Device, state: str, minute: float, **facts: Any) -> int:
    return record_observations(
        [Observed(device.pk, state, after(minutes=minute), facts)], source="exporter:1"
    )


def known(device: Device) -> tuple[str, Any, Any]:
    device.refresh_from_db()
    return device.state, device.state_since, device.observed_at


def test_a_new_device_is_unknown_and_was_never_seen(device: Device) -> None:
    assert known(device) == ("unknown", None, None)
    assert device.age(NOW) is None


def test_a_first_observation_counts(device: Device) -> None:
    changed = see(device, "offline", 0)

    assert changed == 1
    assert known(device) == ("offline", NOW, NOW)
    assert device.state_source == "exporter:1"


def test_the_same_again_only_moves_the_time_of_observation(device: Device) -> None:
    see(device, "offline", 0)

    changed = see(device, "offline", 5)

    assert changed == 0
    assert known(device) == ("offline", NOW, after(minutes=5))


def test_a_change_starts_a_new_since(device: Device) -> None:
    see(device, "offline", 0)
    see(device, "online", 5)

    assert known(device) == ("online", after(minutes=5), after(minutes=5))


@pytest.mark.databases
@pytest.mark.parametrize("old", ["online", "offline", "unknown"])
def test_an_older_observation_never_overwrites_a_newer_one(device: Device, old: str) -> None:
    see(device, "online", 5, ip="new")

    changed = see(device, old, 4, ip="old", extra="old")

    assert changed == 0
    assert known(device) == ("online", after(minutes=5), after(minutes=5))
    assert device.facts == {"ip": "new"}


@pytest.mark.parametrize("order", list(itertools.permutations([1, 2, 3])))
def test_observations_in_any_order_end_with_the_newest(device: Device, order: tuple[int, ...]) -> None:
    states = {1: "offline", 2: "online", 3: "offline"}

    for minute in order:
        see(device, states[minute], minute)

    assert known(device)[::2] == ("offline", after(minutes=3))


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_of_two_in_one_batch_the_newer_counts(device: Device, order: tuple[int, int]) -> None:
    pair = [Observed(device.pk, "online", after(minutes=2)), Observed(device.pk, "offline", after(minutes=1))]

    record_observations([pair[index] for index in order], source="x")

    assert known(device) == ("online", after(minutes=2), after(minutes=2))


@pytest.mark.parametrize("seen", ["online", "offline"])
def test_unknown_keeps_the_time_of_the_last_real_observation(device: Device, seen: str) -> None:
    see(device, seen, 0)

    see(device, "unknown", 5)

    assert known(device) == ("unknown", after(minutes=5), NOW)


def test_unknown_again_keeps_its_since(device: Device) -> None:
    see(device, "online", 0)
    see(device, "unknown", 5)

    changed = see(device, "unknown", 6)

    assert changed == 0
    assert known(device) == ("unknown", after(minutes=5), NOW)


def test_after_unknown_what_is_seen_counts_from_then(device: Device) -> None:
    see(device, "offline", 0)
    see(device, "unknown", 5)

    see(device, "offline", 6)

    assert known(device) == ("offline", after(minutes=6), after(minutes=6))


def test_unknown_never_becomes_offline_by_waiting(device: Device) -> None:
    see(device, "unknown", 0)
    for minute in range(1, 100):
        see(device, "unknown", minute)

    assert known(device)[0] == "unknown"


def test_facts_add_up_and_the_newer_value_stays(device: Device) -> None:
    see(device, "online", 0, ip="10.0.0.1", name="a")
    see(device, "online", 1, ip="10.0.0.2")

    device.refresh_from_db()
    assert device.facts == {"ip": "10.0.0.2", "name": "a"}


def test_facts_may_come_with_an_unknown_state(device: Device) -> None:
    see(device, "unknown", 0, ip="10.0.0.1")

    device.refresh_from_db()
    assert (device.state, device.facts) == ("unknown", {"ip": "10.0.0.1"})


def test_a_device_that_there_is_not_is_passed_over(device: Device) -> None:
    changed = record_observations(
        [Observed(device.pk + 1000, "offline", NOW), Observed(device.pk, "offline", NOW)], source="x"
    )

    assert changed == 1


def test_nothing_seen_changes_nothing(db: None) -> None:
    assert record_observations([], source="x") == 0
    assert mark_unknown([], at=NOW, source="x") == 0


def many(platform: Platform, count: int) -> list[int]:
    rows = [
        Device(platform=platform, name=f"d{n}", mac=f"aa:00:00:00:{n >> 8:02x}:{n & 255:02x}")
        for n in range(count)
    ]
    return [row.pk for row in Device.objects.bulk_create(rows)]


@pytest.mark.databases
def test_a_batch_larger_than_any_statement_is_written_whole(db: None) -> None:
    ids = many(make_platform(), 1203)
    states = {pk: ("online", "offline", "unknown")[index % 3] for index, pk in enumerate(ids)}
    seen = [
        Observed(pk, state, after(minutes=index % 7), {"n": index})
        for index, (pk, state) in enumerate(states.items())
    ]
    random.Random(1).shuffle(seen)

    changed = record_observations(seen, source="x")
    again = record_observations(seen, source="x")

    rows = {row.pk: row for row in Device.objects.all()}
    assert changed == sum(state != "unknown" for state in states.values())
    assert again == 0
    assert {pk: rows[pk].state for pk in ids} == states
    assert all(rows[item.device_id].facts == dict(item.facts) for item in seen)
    assert all(
        rows[item.device_id].observed_at == (None if item.state == "unknown" else item.observed_at)
        for item in seen
    )


def test_a_quiet_round_of_many_devices_takes_few_statements(
    db: None, django_assert_max_num_queries: Any
) -> None:
    ids = many(make_platform(), 1000)
    record_observations([Observed(pk, "online", NOW) for pk in ids], source="x")

    with django_assert_max_num_queries(12):
        record_observations([Observed(pk, "online", after(minutes=1)) for pk in ids], source="x")


@pytest.mark.databases
def test_marking_unknown_keeps_what_was_unknown_already(db: None) -> None:
    ids = many(make_platform(), 1100)
    record_observations([Observed(pk, "online", NOW) for pk in ids[:600]], source="x")
    mark_unknown(ids[:100], at=after(minutes=1), source="first")

    changed = mark_unknown(ids, at=after(minutes=2), source="second")

    assert changed == 500
    assert Device.objects.filter(state=DeviceState.UNKNOWN, state_since=after(minutes=1)).count() == 100
    assert Device.objects.filter(state=DeviceState.UNKNOWN, noted_at=NOW).count() == 600
    assert not Device.objects.exclude(state=DeviceState.UNKNOWN).exists()


def test_a_device_is_unseen_since_it_was_last_online(device: Device) -> None:
    told = []
    for minute, state in enumerate(
        ["online", "unknown", "offline", "unknown", "offline", "online", "offline"]
    ):
        see(device, state, minute)
        device.refresh_from_db()
        told.append(device.unseen_since)
    mark_unknown([device.pk], at=after(minutes=7), source="exporter:1")
    device.refresh_from_db()

    assert told == [None, *[after(minutes=1)] * 4, None, after(minutes=6)]
    assert device.unseen_since == after(minutes=6)
