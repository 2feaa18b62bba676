"""Exporters and their targets: adding, adopting, removing, and what the journal says of it."""

import pytest
from django.core.exceptions import ValidationError

from devices.models import Device
from devices.services import remove_device
from exporters.errors import KindIsFixed
from exporters.models import Exporter, ExporterTarget, FoundDevice
from exporters.services import (
    add_targets,
    adopt_found,
    create_exporter,
    poll_now,
    remove_exporter,
    remove_targets,
    update_exporter,
)
from platforms import quotas
from platforms.models import AuditEvent
from tests.factories import NOW, make_device, make_exporter, make_platform, make_target

pytestmark = [pytest.mark.django_db, pytest.mark.databases]

MAC, OTHER_MAC, THIRD_MAC = "02:00:00:00:00:01", "02:00:00:00:00:02", "02:00:00:00:00:03"


def make_addreality(platform, **fields):
    return make_exporter(platform, kind="addreality", secret="t0ken", **fields)


# --- adding ------------------------------------------------------------------------------------------


def test_each_line_is_added_known_double_bad_or_refused(north, alice):
    exporter = make_exporter(north)
    make_target(exporter, make_device(north, mac=THIRD_MAC))
    text = f"02-00-00-00-00-01 Касса 1\n020000000002\n{THIRD_MAC}\n{MAC.upper()}\nnonsense\n\n"

    report = add_targets(exporter=exporter, lines=text, by=alice)

    assert report.added == (MAC, OTHER_MAC)
    assert report.known == (THIRD_MAC,)
    assert [(double.line_no, double.mac) for double in report.duplicates] == [(4, MAC)]
    assert [bad.line_no for bad in report.bad] == [5]
    assert (report.refused, report.created) == ((), 2)
    assert set(Device.objects.of(north).values_list("mac", "name")) >= {
        (MAC, "Касса 1"),
        (OTHER_MAC, OTHER_MAC),
    }


def test_a_device_that_the_platform_has_is_not_made_again(north):
    exporter, device = make_exporter(north), make_device(north, mac=MAC, name="Витрина")

    report = add_targets(exporter=exporter, lines=f"{MAC} other name")

    assert report.created == 0
    assert ExporterTarget.objects.get(exporter=exporter).device == device
    assert Device.objects.get(pk=device.pk).name == "Витрина"


def test_the_same_mac_on_another_platform_is_another_device(north, south):
    foreign = make_device(south, mac=MAC)
    exporter = make_exporter(north)

    report = add_targets(exporter=exporter, lines=MAC)

    assert report.created == 1
    assert exporter.targets.get().device != foreign
    assert exporter.targets.get().device.platform == north


def test_what_does_not_fit_the_limit_is_refused_and_the_rest_stays():
    platform = make_platform(device_limit=3)
    exporter = make_exporter(platform)
    make_device(platform, mac=THIRD_MAC)
    macs = [f"02:00:00:00:01:{number:02x}" for number in range(4)]

    report = add_targets(exporter=exporter, lines="\n".join([*macs, THIRD_MAC]))

    assert report.added == (*macs[:2], THIRD_MAC)
    assert [refused.external_id for refused in report.refused] == macs[2:]
    assert "(3)" in report.refused[0].reason
    assert exporter.targets.count() == 3
    assert Device.objects.of(platform).count() == 3


def test_the_mac_of_a_device_out_of_service_is_another_players(north, alice):
    exporter = make_exporter(north)
    retired = make_device(north, mac=MAC)
    remove_device(retired, by=alice)

    report = add_targets(exporter=exporter, lines=MAC, by=alice)

    assert (report.added, report.refused) == ((MAC,), ())
    assert exporter.targets.get().device != retired
    assert exporter.targets.get().device.is_active


def test_numbers_of_another_account_are_other_players(north):
    first = make_addreality(north, base_url="http://one.example")
    again = make_addreality(north, base_url="http://one.example")
    second = make_addreality(north, base_url="http://two.example")
    for exporter in (first, again, second):
        add_targets(exporter=exporter, lines="4711")

    devices = [exporter.targets.get().device for exporter in (first, again, second)]

    assert devices[0] == devices[1] != devices[2]
    assert {device.external_id for device in devices} == {"4711"}


def test_a_number_of_twelve_digits_is_not_taken_for_a_mac(north):
    exporter = make_addreality(north)

    add_targets(exporter=exporter, lines="471100000000;Табло")

    device = exporter.targets.get().device
    assert (device.mac, device.external_id, device.name) == ("", "471100000000", "Табло")


def test_new_targets_are_polled_at_once(north):
    exporter = make_exporter(north, next_poll_at=NOW.replace(year=2100))

    add_targets(exporter=exporter, lines=MAC)

    assert Exporter.objects.due(NOW.replace(year=2090)).filter(pk=exporter.pk).exists()


# --- found -------------------------------------------------------------------------------------------


def test_found_devices_are_adopted_with_their_names(north, alice):
    exporter = make_addreality(north)
    for number, name in (("1", "Вход"), ("2", ""), ("3", "Склад")):
        FoundDevice.objects.create(exporter=exporter, external_id=number, name=name, first_seen_at=NOW)

    some = adopt_found(exporter=exporter, external_ids=["1", "2"], by=alice)

    assert some.added == ("1", "2")
    assert [found.external_id for found in exporter.found.all()] == ["3"]
    assert sorted(Device.objects.of(north).values_list("external_id", "name")) == [("1", "Вход"), ("2", "2")]
    assert adopt_found(exporter=exporter, by=alice).added == ("3",)


# --- removing ----------------------------------------------------------------------------------------


def test_a_device_that_nobody_asks_about_is_unknown(north, alice):
    exporter = make_exporter(north)
    device = make_device(north, mac=MAC)
    make_target(exporter, device)
    Device.objects.filter(pk=device.pk).update(state="online")

    assert remove_targets(exporter=exporter, external_ids=[MAC, "nobody"], by=alice) == 1

    device.refresh_from_db()
    assert (device.state, device.is_active) == ("unknown", True)


def test_a_device_removed_with_its_target_frees_its_place(north, alice):
    exporter = make_exporter(north)
    add_targets(exporter=exporter, lines=f"{MAC}\n{OTHER_MAC}", by=alice)
    before = quotas.remaining(north, quotas.DEVICES, at=NOW)

    remove_targets(exporter=exporter, external_ids=[MAC], by=alice, with_devices=True)

    assert quotas.remaining(north, quotas.DEVICES, at=NOW) == before + 1
    assert not Device.objects.get(platform=north, mac=MAC).is_active


def test_a_device_that_another_cms_knows_stays(north, alice):
    one, two = make_exporter(north), make_exporter(north)
    device = make_device(north, mac=MAC)
    make_target(one, device)
    make_target(two, device)
    Device.objects.filter(pk=device.pk).update(state="online")

    remove_targets(exporter=one, external_ids=[MAC], by=alice, with_devices=True)

    device.refresh_from_db()
    assert (device.state, device.is_active) == ("online", True)


def test_a_removed_exporter_leaves_devices_that_are_unknown(north, alice):
    exporter = make_exporter(north)
    device = make_device(north, mac=MAC)
    make_target(exporter, device)
    Device.objects.filter(pk=device.pk).update(state="offline")

    remove_exporter(exporter, by=alice)

    device.refresh_from_db()
    assert device.state == "unknown"
    assert not ExporterTarget.objects.exists()


# --- exporters ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "hint"),
    [
        ({"kind": "nonsense"}, "Known: addreality, cubic"),
        ({"kind": "cubic", "base_url": "cms.example"}, "http://"),
        ({"kind": "cubic", "base_url": "http://u:p@cms.example"}, "password"),
        ({"kind": "addreality"}, "API token"),
        ({"kind": "addreality", "secret": "a b"}, "API token"),
        ({"kind": "cubic", "interval_s": 0}, "0.5"),
        ({"kind": "cubic", "concurrency": 0}, "1"),
        ({"kind": "cubic", "timeout_s": float("nan")}, "number of seconds"),
        ({"kind": "cubic", "interval_s": None}, "cannot be null"),
        ({"kind": "cubic", "concurrency": "many"}, "many"),
    ],
)
def test_an_exporter_that_cannot_work_is_refused_with_a_sentence(north, alice, fields, hint):
    fields = {"name": "CMS", "base_url": "http://cms.example", **fields}

    with pytest.raises(ValidationError) as refused:
        create_exporter(platform=north, by=alice, **fields)

    assert hint in " ".join(refused.value.messages)
    assert not Exporter.objects.exists()


def test_the_journal_has_the_deed_and_not_the_secret(north, alice):
    exporter = create_exporter(
        platform=north,
        by=alice,
        name="CMS",
        kind="addreality",
        base_url="http://cms.example",
        secret="canary1",
    )
    update_exporter(exporter, by=alice, secret="canary2", name="CMS 2")
    add_targets(exporter=exporter, lines="7", by=alice)
    remove_exporter(exporter, by=alice)

    lines = AuditEvent.objects.filter(verb__startswith="exporter.").order_by("at")

    assert [line.verb for line in lines] == [
        "exporter.created", "exporter.changed", "exporter.targets_added", "exporter.removed",
    ]  # fmt: skip
    assert {line.actor_id for line in lines} == {str(alice.pk)}
    assert lines[1].before["name"] == "CMS"
    assert lines[1].after["name"] == "CMS 2"
    assert lines[1].after["secret"]
    assert not [line for line in lines if "canary" in f"{line.before}{line.after}{line.target_label}"]


def test_a_secret_left_alone_is_kept(north, alice):
    exporter = make_addreality(north)

    update_exporter(Exporter.objects.get(pk=exporter.pk), by=alice, interval_s=60)

    assert Exporter.objects.get(pk=exporter.pk).secret == "t0ken"
    assert "secret" not in AuditEvent.objects.get(verb="exporter.changed").after


def test_nothing_changed_is_no_deed(north, alice):
    exporter = make_exporter(north)

    update_exporter(exporter, by=alice, name=exporter.name)

    assert not AuditEvent.objects.filter(verb="exporter.changed").exists()


def test_an_exporter_with_devices_keeps_its_kind(north, alice):
    exporter = make_exporter(north)
    add_targets(exporter=exporter, lines=MAC)

    with pytest.raises(KindIsFixed):
        update_exporter(exporter, by=alice, kind="addreality", secret="t")

    assert Exporter.objects.get(pk=exporter.pk).kind == "cubic"


def test_an_exporter_does_not_move_to_another_platform(north, south, alice):
    exporter = make_exporter(north)
    exporter.platform = south

    update_exporter(exporter, by=alice, name="moved")

    assert Exporter.objects.get(pk=exporter.pk).platform == north


def test_a_disabled_exporter_makes_no_claims(north, alice):
    exporter = make_exporter(north)
    device = make_device(north, mac=MAC)
    make_target(exporter, device)
    Device.objects.filter(pk=device.pk).update(state="offline")

    update_exporter(exporter, by=alice, is_enabled=False)

    assert Device.objects.get(pk=device.pk).state == "unknown"
    assert not Exporter.objects.due(NOW.replace(year=2100)).exists()


def test_poll_now_makes_it_due(north):
    exporter = make_exporter(north, next_poll_at=NOW.replace(year=2100))

    poll_now(exporter)

    assert Exporter.objects.due(NOW.replace(year=2090)).get() == exporter
