"""Incoming SMS: written down, once, then matched; evidence, never an order."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from devices.services import remove_device
from devices.states import CommandState
from platforms.models import AuditEvent
from sms import spool
from sms.errors import GatewayError
from sms.models import Gateway, InboundSms
from sms.ports import InboundText
from sms.services import due_inboxes, ignore, poll_inbox, read_inbox, receive, sweep_inbound
from sms.services.inbound import match_inbound
from sms.signals import inbound_matched
from sms.states import InboundState
from tests.factories import NOW, make_gateway, make_socket
from tests.sms.fakes import make_command, make_fake

pytestmark = pytest.mark.databases
I = InboundState  # noqa: E741
SENT_AT = datetime(2026, 3, 3, 12, 0, 5, tzinfo=UTC)


def text_of(sender, body="OUT1 OFF 1 MIN", **over):
    return InboundText(**{"ref": "", "sender": sender, "body": body, "sent_at": SENT_AT, **over})


def fresh(row):
    row.refresh_from_db()
    return row


@pytest.fixture
def socket(north):
    return make_socket(north)


@pytest.fixture
def command(north, socket, gateway, fake, pump):
    """One command on its way to the socket."""
    row = make_command(north, device=socket)
    pump.drain()
    return fresh(row)


def test_reply_moves_the_command_it_answers(command, socket, gateway, north):
    row, created = receive(gateway=gateway, text=text_of(socket.msisdn), now=NOW)

    assert (created, row.state, row.command, row.device, row.platform) == (
        True,
        I.MATCHED,
        command,
        socket,
        north,
    )
    assert (fresh(command).state, command.reply_verdict) == (CommandState.REPLIED, "confirmed")
    line = AuditEvent.objects.get(verb="sms.received")
    assert (line.cause_id, line.platform, line.actor_kind) == (command.cause_id, north, "device")


def test_same_sms_twice_is_one_row_and_one_move(command, socket, gateway):
    first, _created = receive(gateway=gateway, text=text_of(socket.msisdn), now=NOW)
    second, created = receive(gateway=gateway, text=text_of(socket.msisdn), now=NOW + timedelta(seconds=9))

    assert (created, second.pk) == (False, first.pk)
    assert command.events.filter(to_state=CommandState.REPLIED).count() == 1


@pytest.mark.parametrize(
    "other",
    [{"sent_at": SENT_AT + timedelta(seconds=1)}, {"body": "OUT1 ON"}, {"sent_at": None, "ref": "17"}],
)
def test_another_time_or_text_is_another_sms(north, gateway, other):
    receive(gateway=gateway, text=text_of("+79160000000"), now=NOW)

    assert receive(gateway=gateway, text=text_of("+79160000000", **other), now=NOW)[1]


def test_gateway_that_repeats_with_new_ids_moves_nothing_twice(command, socket, gateway):
    first, _created = receive(gateway=gateway, text=text_of(socket.msisdn, ref="1"), now=NOW)

    for ref in ("2", "3", "3", ""):
        again, created = receive(gateway=gateway, text=text_of(socket.msisdn, ref=ref), now=NOW)
        assert (created, again.pk) == (False, first.pk)
    assert command.events.filter(to_state=CommandState.REPLIED).count() == 1
    kept = InboundSms.objects.exclude(pk=first.pk)  # acknowledged to the gateway: so none is dropped
    assert {(row.state, row.reason, row.command) for row in kept} == {(I.IGNORED, "repeated", None)}
    assert kept.count() == 3


def test_repeat_under_a_new_id_says_nothing_about_the_next_command(command, socket, gateway, pump, north):
    receive(gateway=gateway, text=text_of(socket.msisdn, ref="1"), now=NOW)
    following = make_command(north, device=socket, now=NOW + timedelta(hours=1))
    pump.now = lambda: NOW + timedelta(hours=1)
    pump.drain()

    receive(gateway=gateway, text=text_of(socket.msisdn, ref="9"), now=NOW + timedelta(hours=1, seconds=5))

    assert fresh(following).state == CommandState.SENT


def test_ids_that_are_counted_anew_lose_no_sms(gateway):
    plain = text_of("+79160000000", ref="1")
    assert receive(gateway=gateway, text=plain, now=NOW)[1]

    assert not receive(gateway=gateway, text=plain, now=NOW)[1]
    assert receive(gateway=gateway, text=replace(plain, body="OUT2 ON"), now=NOW)[1]
    later = replace(plain, sent_at=SENT_AT + timedelta(days=4))
    assert receive(gateway=gateway, text=later, now=NOW + timedelta(days=4))[1]
    assert not receive(gateway=gateway, text=later, now=NOW + timedelta(days=4))[1]
    retried = replace(plain, sent_at=SENT_AT + timedelta(seconds=10))  # its clock tells when it pushed
    assert not receive(gateway=gateway, text=retried, now=NOW + timedelta(seconds=10))[1]


def test_same_text_at_two_gateways_is_two_sms(north, gateway):
    other = make_fake(north)

    receive(gateway=gateway, text=text_of("+79160000000"), now=NOW)

    assert receive(gateway=other, text=text_of("+79160000000"), now=NOW)[1]


def test_sms_without_time_and_ref_is_never_taken_for_another(gateway):
    plain = text_of("+79160000000", sent_at=None)

    for batch, is_new in [("a:0", True), ("a:0", False), ("a:1", True), ("b:0", True)]:
        assert receive(gateway=gateway, text=plain, now=NOW, batch=batch)[1] is is_new


@pytest.mark.parametrize("sender", ["+79160000000", "MegaFon", "900", "", "<script>", "\x00\ud800"])
def test_stranger_goes_to_the_visible_inbox(gateway, north, sender):
    row, _created = receive(gateway=gateway, text=text_of(sender), now=NOW)

    assert (row.state, row.reason, row.device, row.platform) == (I.UNMATCHED, "stranger", None, north)


def test_stranger_at_a_shared_gateway_belongs_to_nobody(fake, db):
    row, _created = receive(gateway=make_fake(None), text=text_of("+79160000000"), now=NOW)

    assert row.platform is None


def test_reply_through_a_shared_gateway_belongs_to_the_devices_platform(command, socket, north):
    row, _created = receive(gateway=make_fake(None), text=text_of(socket.msisdn), now=NOW)

    assert (row.state, row.platform) == (I.MATCHED, north)


def test_gateway_of_one_platform_cannot_speak_for_the_device_of_another(command, socket, south):
    row, _created = receive(gateway=make_fake(south), text=text_of(socket.msisdn), now=NOW)

    assert (row.state, row.device, row.platform) == (I.UNMATCHED, None, south)
    assert fresh(command).state == CommandState.SENT


def test_device_that_was_removed_is_a_stranger(socket, gateway, alice):
    remove_device(socket, by=alice)

    row, _created = receive(gateway=gateway, text=text_of(socket.msisdn), now=NOW)

    assert row.reason == "stranger"


def test_number_is_found_in_any_spelling(command, socket, gateway):
    spelled = "8 " + socket.msisdn[2:]

    assert receive(gateway=gateway, text=text_of(spelled), now=NOW)[0].device == socket


def test_sms_of_a_device_that_was_asked_nothing_is_unmatched(socket, gateway):
    row, _created = receive(gateway=gateway, text=text_of(socket.msisdn), now=NOW)

    assert (row.state, row.device) == (I.UNMATCHED, socket)


def test_reply_that_comes_before_the_command_answers_nothing(command, socket, gateway):
    row, _created = receive(gateway=gateway, text=text_of(socket.msisdn), now=NOW - timedelta(seconds=1))

    assert (row.state, fresh(command).state) == (I.UNMATCHED, CommandState.SENT)


def test_long_and_unstorable_text_is_kept_as_far_as_possible(gateway):
    row, _created = receive(
        gateway=gateway, text=text_of("+79160000000", body="a\x00\ud800" + "я" * 5000), now=NOW
    )

    assert len(fresh(row).body) == 1600
    assert row.body.startswith("a\ufffd")


def test_sweep_matches_what_was_left_lying(command, socket, gateway):
    row = InboundSms.objects.create(
        gateway=gateway, sender=socket.msisdn, body="OUT1 OFF 1 MIN", received_at=NOW, dedupe_key="k",
        state=I.RECEIVED, state_changed_at=NOW,
    )  # fmt: skip

    assert sweep_inbound(now=NOW) == 1
    assert (fresh(row).state, fresh(command).state) == (I.MATCHED, CommandState.REPLIED)
    assert sweep_inbound(now=NOW) == 0


def test_poisonous_sms_goes_to_the_inbox_and_the_next_is_matched(command, socket, gateway, monkeypatch):
    from sms.services import inbound

    record_reply = inbound.record_reply

    def poisonous(device, *, text, at):
        if text == "poison":
            raise KeyError("a bug in a rule")
        return record_reply(device, text=text, at=at)

    monkeypatch.setattr(inbound, "record_reply", poisonous)

    bad, _created = receive(gateway=gateway, text=text_of(socket.msisdn, body="poison"), now=NOW)
    good, _created = receive(gateway=gateway, text=text_of(socket.msisdn), now=NOW)

    assert (fresh(bad).state, bad.reason, good.state) == (I.UNMATCHED, "error", I.MATCHED)


def test_match_happens_once(command, socket, gateway):
    row, _created = receive(gateway=gateway, text=text_of(socket.msisdn), now=NOW)

    again = match_inbound(row, now=NOW)

    assert again.state == I.MATCHED
    assert AuditEvent.objects.filter(verb="sms.received").count() == 1


def test_bell_rings_after_the_match(gateway, django_capture_on_commit_callbacks):
    heard = []

    def hear(sender, inbound_id, **_):
        heard.append(inbound_id)

    inbound_matched.connect(hear)
    try:
        with django_capture_on_commit_callbacks(execute=True):
            row, _created = receive(gateway=gateway, text=text_of("+79160000000"), now=NOW)
    finally:
        inbound_matched.disconnect(hear)

    assert heard == [row.pk]


def test_person_sets_an_sms_aside(gateway, alice):
    row, _created = receive(gateway=gateway, text=text_of("+79160000000"), now=NOW)

    assert ignore(row, by=alice, now=NOW)
    assert not ignore(row, by=alice, now=NOW)
    assert AuditEvent.objects.get(verb="sms.ignored").actor_label == "alice"


# --- inboxes ----------------------------------------------------------------------------------------


def test_inbox_is_read_when_due_and_by_one_process_only(gateway, fake):
    fake.texts = [text_of("+79160000000")]

    assert due_inboxes(now=NOW) == [gateway]
    assert poll_inbox(gateway, now=NOW) == 1
    assert poll_inbox(gateway, now=NOW) is None
    assert due_inboxes(now=NOW + timedelta(seconds=4)) == []
    assert due_inboxes(now=NOW + timedelta(seconds=5)) == [fresh(gateway)]


def test_only_gateways_with_an_inbox_are_read(north, fake):
    make_gateway(north, kind="console")
    make_fake(north, is_enabled=False)
    make_fake(north, poll_interval_s=0)

    assert due_inboxes(now=NOW) == []


def test_read_that_was_not_finished_is_taken_up_again(gateway, fake, monkeypatch):
    from sms.services import inboxes

    fake.texts = [text_of("+79160000001"), text_of("+79160000002", sent_at=None), text_of("+79160000003")]
    taken, received = inboxes.receive, []

    def dies_at_the_second(**arguments):
        if received:
            raise SystemExit  # killed
        received.append(arguments)
        return taken(**arguments)

    monkeypatch.setattr(inboxes, "receive", dies_at_the_second)
    with pytest.raises(SystemExit):
        read_inbox(gateway)
    monkeypatch.setattr(inboxes, "receive", taken)
    assert len(spool.unfinished(gateway.pk)) == 1

    fake.script = [GatewayError("refused", outcome="not_sent")]  # nothing more can be read
    assert read_inbox(gateway) == 2
    assert InboundSms.objects.count() == 3
    assert spool.unfinished(gateway.pk) == []


def test_unreadable_inbox_is_put_aside_and_said(gateway, fake):
    fake.script = [b"<html>"]

    assert read_inbox(gateway) == 0
    assert [path.suffix for path in spool.folder().iterdir()] == [".bad"]
    assert Gateway.objects.get().last_error == "inbox: no_inbox"


def test_empty_inbox_leaves_nothing_on_the_disk(gateway, fake):
    read_inbox(gateway)

    assert not spool.folder().exists()


def test_failed_read_is_said_and_does_not_suspend_sending(gateway, fake):
    fake.script = [GatewayError("http_500", outcome="not_sent")]

    assert read_inbox(gateway) == 0
    row = Gateway.objects.get()
    assert (row.last_error, row.breaker) == ("inbox: http_500", Gateway.Breaker.CLOSED)


def test_spool_of_one_gateway_is_not_anothers(gateway, fake):
    spool.keep(gateway.pk, b"batch")

    assert spool.unfinished(gateway.pk + 1) == []
    assert [path.read_bytes() for path in spool.unfinished(gateway.pk)] == [b"batch"]
