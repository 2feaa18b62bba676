"""Move and replace keep every history, and automation waits until somebody has seen it work."""

import uuid

import pytest
from django.core.exceptions import ValidationError

from devices.models import Command, Device, DeviceModel, PowerLink
from devices.services import (
    move_device,
    proof_since,
    replace_player,
    replace_sim,
    replace_socket,
    return_to_service,
)
from devices.services.inventory import remove_device
from platforms import switches
from platforms.models import AuditEvent, Platform, Usage, User
from remosa.lib.clock import utcnow
from tests.console.conftest import *  # noqa: F403
from tests.devices.commands import ask
from tests.factories import make_device, make_link, make_site, make_socket


def stops(device: Device) -> bool:
    """Whether automation leaves this device alone."""
    found = switches.stopping(platform_id=device.platform_id, now=utcnow(), device_ids=(device.pk,))
    return found is not None


@pytest.mark.django_db
def test_a_moved_player_hangs_on_the_new_output_and_the_old_link_keeps_its_dates(
    north: Platform, alice: User
) -> None:
    old, new = make_socket(north), make_socket(north, model="D410")
    player = make_device(north, site=make_site(north, "old"))
    before = make_link(player, old)
    site = make_site(north, "new")

    move_device(player, site=site, socket=new, line=2, by=alice, reason="the hall is rebuilt", now=utcnow())

    before.refresh_from_db()
    player.refresh_from_db()
    assert before.valid_to is not None
    link = PowerLink.objects.get(device=player, valid_to=None)
    assert (player.site, link.socket, link.line) == (site, new, 2)
    line = AuditEvent.objects.get(verb="device.moved")
    assert (line.before["site"], line.after["site"], line.reason) == ("old", "new", "the hall is rebuilt")
    assert stops(player)


@pytest.mark.django_db
def test_a_moved_socket_feeds_nobody_any_more(north: Platform, alice: User) -> None:
    socket, player = make_socket(north), make_device(north)
    make_link(player, socket)

    move_device(socket, site=None, socket=None, line=1, by=alice, reason="x", now=utcnow())

    assert not PowerLink.objects.filter(valid_to=None).exists()
    assert PowerLink.objects.filter(device=player, socket=socket).exists()


@pytest.mark.django_db
def test_a_new_socket_takes_the_place_and_the_outputs_of_the_old_one(north: Platform, alice: User) -> None:
    old = make_socket(north, model="D410", name="Щит", site=make_site(north, "here"))
    players = [make_device(north), make_device(north)]
    for number, player in enumerate(players, start=1):
        make_link(player, old, line=number)

    new = replace_socket(
        old, msisdn="8 900 555-44-33", model=old.model, by=alice, reason="burnt", now=utcnow()
    )

    old.refresh_from_db()
    assert not old.is_active
    assert (new.name, new.site, new.msisdn) == ("Щит", old.site, "+79005554433")
    assert set(PowerLink.objects.filter(socket=new, valid_to=None).values_list("device", "line")) == {
        (players[0].pk, 1), (players[1].pk, 2),
    }  # fmt: skip
    assert PowerLink.objects.filter(socket=old).exclude(valid_to=None).count() == 2
    assert Usage.objects.get(platform=north, kind="devices").used == 3
    assert stops(new)


@pytest.mark.django_db
def test_a_model_with_too_few_outputs_is_refused_and_nothing_changes(north: Platform, alice: User) -> None:
    old, player = make_socket(north, model="D410"), make_device(north)
    make_link(player, old, line=2)
    single = DeviceModel.objects.get(code="D210")

    with pytest.raises(ValidationError):
        replace_socket(old, msisdn="+79005554433", model=single, by=alice, reason="x", now=utcnow())

    old.refresh_from_db()
    assert old.is_active


@pytest.mark.django_db
def test_a_new_player_takes_name_site_power_and_shares(north: Platform, alice: User, bob: User) -> None:
    socket = make_socket(north)
    old = make_device(north, name="Касса", site=make_site(north, "here"))
    make_link(old, socket)
    old.shares.create(user=bob, level="admin")

    new = replace_player(old, mac="02-00-00-00-00-99", by=alice, reason="broken", now=utcnow())

    assert (new.name, new.site, new.mac) == ("Касса", old.site, "02:00:00:00:00:99")
    assert PowerLink.objects.get(device=new, valid_to=None).socket == socket
    assert new.shares.get().user == bob
    assert stops(new)


@pytest.mark.django_db
def test_a_new_sim_must_be_a_free_number(north: Platform, south: Platform, alice: User) -> None:
    socket = make_socket(north)
    make_socket(south, name="secret", msisdn="+79005554433")

    with pytest.raises(ValidationError) as caught:
        replace_sim(socket, msisdn="+79005554433", by=alice, reason="lost", now=utcnow())
    assert "secret" not in str(caught.value)

    replace_sim(
        Device.objects.get(pk=socket.pk), msisdn="+79005554434", by=alice, reason="lost", now=utcnow()
    )
    socket.refresh_from_db()
    assert socket.msisdn == "+79005554434"
    assert stops(socket)


@pytest.mark.django_db
def test_what_was_taken_out_can_return(north: Platform, alice: User) -> None:
    device = make_device(north)
    remove_device(device, by=alice)

    return_to_service(device, by=alice, now=utcnow())
    return_to_service(device, by=alice, now=utcnow())  # a second hand

    device.refresh_from_db()
    assert device.is_active
    assert Usage.objects.get(platform=north, kind="devices").used == 1


@pytest.mark.django_db
def test_only_an_answer_after_the_change_is_proof(north: Platform, alice: User) -> None:
    socket, player = make_socket(north), make_device(north)
    make_link(player, socket)
    since = utcnow()
    old = ask(socket, idem_key=uuid.uuid4().hex)
    Command.objects.filter(pk=old.pk).update(state="replied", created_at=since.replace(year=2020))

    assert proof_since(player, since) is None

    Command.objects.filter(pk=old.pk).update(created_at=utcnow())
    assert proof_since(player, since) is not None


@pytest.mark.django_db
def test_automation_comes_back_only_with_proof_or_a_persons_word(
    north: Platform, alice: User, browser_of
) -> None:
    player, page = make_device(north), browser_of(alice)
    at = f"/admin/devices/device/{player.pk}/"
    page.post(f"{at}move/", {"reason": "rebuilt", "site": "", "socket": "", "line": ""})
    assert stops(player)

    refused = page.post(f"{at}resume-automation/", {})
    assert refused.status_code == 400
    assert stops(player)

    page.post(f"{at}resume-automation/", {"seen": "on"})
    assert not stops(player)
    player.refresh_from_db()
    assert player.recheck_since is None
