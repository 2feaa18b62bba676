"""Devices come, go and are wired within the limit of their platform, and never across two."""

from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from devices.models import Device, DeviceModel, PowerLink
from devices.services import (
    create_device,
    find_device,
    link_power,
    remove_device,
    return_to_service,
    unlink_power,
)
from platforms import quotas
from platforms.errors import QuotaExceeded
from platforms.models import AuditEvent, Platform, Usage, User
from tests.factories import NOW, make_device, make_platform, make_site, make_socket
from tests.together import together


def used(platform: Platform) -> int:
    return sum(Usage.objects.filter(platform=platform, kind=quotas.DEVICES).values_list("used", flat=True))


# --- the limit -----------------------------------------------------------------------------------


def test_devices_are_counted_and_the_limit_holds(db: None) -> None:
    platform = make_platform(device_limit=2)
    make_device(platform)
    make_socket(platform)

    with pytest.raises(QuotaExceeded) as refused:
        make_device(platform)

    assert refused.value.kind == "devices"
    assert (used(platform), Device.objects.count()) == (2, 2)


def test_a_removed_device_makes_room_and_keeps_its_history(north: Platform, alice: User) -> None:
    Platform.objects.filter(pk=north.pk).update(device_limit=1)
    device = make_device(north)

    remove_device(device, by=alice)
    make_device(north)

    assert used(north) == 1
    assert Device.objects.get(pk=device.pk).is_active is False
    assert AuditEvent.objects.get(verb="device.removed").actor_label == "alice"


def test_a_mac_is_free_again_and_the_old_device_keeps_it_in_its_history(north: Platform, alice: User) -> None:
    old = make_device(north, mac="02:00:00:00:00:07")
    with pytest.raises(ValidationError):
        make_device(north, mac="02-00-00-00-00-07")

    remove_device(old, by=alice)
    new = make_device(north, mac="02-00-00-00-00-07")

    assert find_device(north, "02:00:00:00:00:07") == new
    assert Device.objects.filter(mac="02:00:00:00:00:07").count() == 2
    with pytest.raises(ValidationError):  # the old one comes back when its MAC is free
        return_to_service(old, by=alice, now=NOW)
    assert not Device.objects.get(pk=old.pk).is_active


def test_a_device_is_removed_once(north: Platform) -> None:
    device = make_device(north)
    for _time in range(3):
        remove_device(device, by=None)

    assert used(north) == 0


def test_a_device_with_wrong_fields_costs_nothing(north: Platform) -> None:
    with pytest.raises(ValidationError):
        make_device(north, kind="toaster")

    assert (used(north), Device.objects.count()) == (0, 0)


@pytest.mark.databases
@pytest.mark.django_db(transaction=True)
def test_threads_at_the_limit_make_exactly_as_many_devices() -> None:
    platform = make_platform(device_limit=5)

    results = together(8, lambda number: [make(platform, number, step) for step in range(3)])

    assert all(isinstance(result, list) for result in results), results
    assert Device.objects.filter(platform=platform).count() == used(platform) == 5


def make(platform: Platform, number: int, step: int) -> bool:
    try:
        create_device(platform=platform, name="x", mac=f"aa:bb:cc:00:{number:02x}:{step:02x}")
    except QuotaExceeded:
        return False
    return True


def test_a_form_cannot_carry_a_device_to_another_platform(north: Platform, south: Platform) -> None:
    draft = Device(platform=south, name="x", mac="aa:bb:cc:dd:ee:ff")

    create_device(platform=north, device=draft)

    assert draft.platform == north
    assert (used(north), used(south)) == (1, 0)


# --- identity ------------------------------------------------------------------------------------


def test_a_mac_is_unique_on_its_platform_only(north: Platform, south: Platform) -> None:
    make_device(north, mac="aa:bb:cc:dd:ee:ff")
    make_device(south, mac="aa:bb:cc:dd:ee:ff")

    with pytest.raises(ValidationError, match="MAC"):
        make_device(north, mac="aa:bb:cc:dd:ee:ff")


@pytest.mark.parametrize("number", ["+79001112233", "8 900 111-22-33", "+7 (900) 111 22 33"])
def test_a_sim_number_belongs_to_one_device_of_all_platforms(
    north: Platform, south: Platform, number: str
) -> None:
    make_socket(north, msisdn="+79001112233")

    with pytest.raises(ValidationError) as refused:
        make_socket(south, msisdn=number)

    assert "north" not in str(refused.value), "whose it is, is not said"


def test_the_number_of_a_removed_device_is_free_again(north: Platform, south: Platform) -> None:
    remove_device(make_socket(north, msisdn="+79001112233"), by=None)

    assert make_socket(south, msisdn="89001112233").msisdn == "+79001112233"


@pytest.mark.databases
def test_the_database_itself_refuses_a_number_twice(north: Platform, south: Platform) -> None:
    make_socket(north, msisdn="+79001112233")
    other = make_socket(south)

    with pytest.raises(IntegrityError), transaction.atomic():
        Device.objects.filter(pk=other.pk).update(msisdn="+79001112233")


@pytest.mark.parametrize("number", ["abc", "112", "+7900", "8800", "+79001112233445566"])
def test_a_number_that_cannot_be_one_is_refused_with_its_field(north: Platform, number: str) -> None:
    with pytest.raises(ValidationError) as refused:
        make_socket(north, msisdn=number)

    assert "msisdn" in refused.value.message_dict


def test_a_socket_needs_its_model(north: Platform) -> None:
    with pytest.raises(ValidationError) as refused:
        create_device(platform=north, name="s", kind=Device.Kind.SOCKET, msisdn="+79001112233")

    assert "model" in refused.value.message_dict


def test_a_site_of_another_platform_is_refused(north: Platform, south: Platform) -> None:
    with pytest.raises(ValidationError) as refused:
        make_device(north, site=make_site(south))

    assert "site" in refused.value.message_dict


@pytest.mark.parametrize("asked", ["aa:bb:cc:dd:ee:ff", "AA:BB:CC:DD:EE:FF"])
def test_a_device_is_found_by_mac_on_its_own_platform(north: Platform, south: Platform, asked: str) -> None:
    device = make_device(north, mac="aa:bb:cc:dd:ee:ff")

    assert find_device(north, asked) == device
    assert find_device(south, asked) is None


def test_a_device_is_found_by_its_number_in_the_cms_and_not_by_nothing(north: Platform) -> None:
    device = make_device(north, mac="", external_id="cms-7")
    make_device(north, mac="", external_id="")

    assert find_device(north, "cms-7") == device
    assert find_device(north, "") is None, "nothing names no device"
    remove_device(device, by=None)
    assert find_device(north, "cms-7") is None


# --- power ---------------------------------------------------------------------------------------


def open_links(device: Device) -> list[tuple[int, int]]:
    return list(PowerLink.objects.filter(device=device, valid_to=None).values_list("socket", "line"))


def test_a_new_link_closes_the_old_one_with_its_date(north: Platform) -> None:
    device, first, second = make_device(north), make_socket(north), make_socket(north)
    link_power(device=device, socket=first, line=1)

    link_power(device=device, socket=second, line=1)

    assert open_links(device) == [(second.pk, 1)]
    assert PowerLink.objects.get(socket=first).valid_to is not None


@pytest.mark.parametrize("wrong", ["foreign socket", "a player", "line 0", "line 2", "itself"])
def test_a_wrong_link_is_refused_and_leaves_the_old_one_open(
    north: Platform, south: Platform, wrong: str
) -> None:
    device, socket = make_device(north), make_socket(north)
    link_power(device=device, socket=socket, line=1)
    bad: dict[str, Any] = {
        "foreign socket": {"socket": make_socket(south)}, "a player": {"socket": make_device(north)},
        "line 0": {"line": 0}, "line 2": {"line": 2}, "itself": {"device": socket},
    }[wrong]  # fmt: skip

    with pytest.raises(ValidationError):
        link_power(**{"device": device, "socket": socket, "line": 1, **bad})

    assert open_links(device) == [(socket.pk, 1)]


def test_a_socket_of_two_outputs_takes_line_two(north: Platform) -> None:
    device, socket = make_device(north), make_socket(north, model="D410")

    link_power(device=device, socket=socket, line=2)

    assert open_links(device) == [(socket.pk, 2)]


def test_a_link_is_closed_once(north: Platform, alice: User) -> None:
    device = make_device(north)
    link_power(device=device, socket=make_socket(north), line=1)

    assert unlink_power(device, by=alice, now=NOW) is True
    assert unlink_power(device, by=alice, now=NOW) is False
    assert open_links(device) == []


def test_removing_a_device_closes_its_link(north: Platform) -> None:
    device = make_device(north)
    link_power(device=device, socket=make_socket(north), line=1)

    remove_device(device, by=None)

    assert open_links(device) == []


# --- the catalogue -------------------------------------------------------------------------------


def test_only_a_self_restoring_harmless_command_is_a_repair(db: None) -> None:
    repairs = {
        (model.code, template.key)
        for model in DeviceModel.objects.all()
        for template in model.templates.all()
        if template.is_repair
    }

    assert repairs == {
        ("D210", "power_cycle"), ("D210", "power_on"), ("D410", "power_on_all"), ("D410", "power_on_line1"),
        ("D410", "power_on_line2"), ("T40-T20", "power_on"), ("T80", "power_on"), ("ISOCKET-706", "power_cycle"),
        ("ISOCKET-706", "power_on"), ("ISOCKET-706", "power_on_all"), ("ISOCKET-706", "relay_on"),
        ("ISOCKET-706", "restart"),
    }  # fmt: skip
