"""Putting SMS into the outbox and taking them back."""

from datetime import timedelta

import pytest

from platforms.errors import QuotaExceeded
from platforms.models import AuditEvent, QuotaReservation, Usage
from sms.errors import DedupeConflict, SmsInvalid
from sms.models import SmsMessage
from sms.services import cancel
from sms.states import SmsState
from tests.factories import NOW
from tests.sms.fakes import make_notice

pytestmark = pytest.mark.databases


def usage(platform):
    row = Usage.objects.filter(platform=platform, kind="sms").first()
    return (row.reserved, row.used) if row else (0, 0)


def test_message_waits_with_its_parts_reserved(north):
    message = make_notice(north, body="я" * 71)

    assert (message.state, message.segments) == (SmsState.QUEUED, 2)
    assert usage(north) == (2, 0)
    assert message.events.get().to_state == SmsState.QUEUED


def test_same_key_is_one_message(north):
    first, second = (make_notice(north, dedupe_key="k") for _ in range(2))

    assert first.pk == second.pk
    assert SmsMessage.objects.count() == 1
    assert usage(north) == (1, 0)


@pytest.mark.parametrize("other", [{"body": "другое"}, {"to": "+79161234568"}])
def test_same_key_for_something_else_is_refused(north, other):
    make_notice(north, dedupe_key="k")

    with pytest.raises(DedupeConflict):
        make_notice(north, dedupe_key="k", **other)


def test_same_key_of_another_platform_is_another_message(north, south):
    assert make_notice(north, dedupe_key="k").pk != make_notice(south, dedupe_key="k").pk


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[("to", text) for text in ("", "112", "+7916", "alert(1)")],
        *[("body", text) for text in ("", " \n", "x" * 1601, "a\x00b", "\ud800")],
    ],
)
def test_what_cannot_be_sent_is_refused_with_its_field(north, field, value):
    with pytest.raises(SmsInvalid) as caught:
        make_notice(north, **{field: value})

    assert list(caught.value.fields) == [field]
    assert not SmsMessage.objects.exists()


def test_number_is_stored_in_one_spelling(north):
    assert make_notice(north, to="8 (916) 123-45-67").to == "+79161234567"


def test_full_quota_leaves_no_row(north):
    north.sms_limit = 1
    north.sms_people_share_ratio = 0.0
    north.save()
    make_notice(north)

    with pytest.raises(QuotaExceeded):
        make_notice(north)

    assert SmsMessage.objects.count() == 1
    assert usage(north) == (1, 0)


def test_share_kept_for_people_is_for_people(north):
    north.sms_limit = 1
    north.sms_people_share_ratio = 1.0
    north.save()

    with pytest.raises(QuotaExceeded):
        make_notice(north)
    assert make_notice(north, for_people=True).state == SmsState.QUEUED


def test_cancelled_message_gives_its_parts_back(north):
    message = make_notice(north)

    assert cancel(message, now=NOW)
    assert (message.state, usage(north)) == (SmsState.CANCELLED, (0, 0))
    assert QuotaReservation.objects.get().state == "released"
    assert AuditEvent.objects.filter(verb="sms.cancelled", platform=north).count() == 1


@pytest.mark.parametrize("state", [SmsState.SENDING, SmsState.SENT, SmsState.UNKNOWN, SmsState.DELIVERED])
def test_what_may_have_left_cannot_be_cancelled(north, state):
    message = make_notice(north)
    SmsMessage.objects.filter(pk=message.pk).update(state=state)

    assert not cancel(message, now=NOW)
    assert usage(north) == (1, 0)


def test_expiry_defaults_to_the_validity(north, settings):
    settings.SMS_VALIDITY_S = 120

    assert make_notice(north, expires_at=None).expires_at == NOW + timedelta(seconds=120)


def test_waking_waits_for_the_commit(north, monkeypatch, django_capture_on_commit_callbacks):
    woken = []
    monkeypatch.setattr("remosa.lib.tasks.async_task", lambda *task: woken.append(task))

    with django_capture_on_commit_callbacks(execute=True):
        make_notice(north)
        assert woken == []

    assert woken == [("sms.tasks.pump",)]
