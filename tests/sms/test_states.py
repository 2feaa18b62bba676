"""Every square of the two lifecycles: a move happens exactly where the table has it."""

import pytest

from sms.models import InboundSms, SmsMessage
from sms.states import INBOUND, SMS, InboundState, SmsState
from tests.factories import NOW
from tests.sms.fakes import make_notice


def test_tables_know_every_state():
    SMS.check(SmsState.values)
    INBOUND.check(InboundState.values)


@pytest.mark.parametrize("source", SmsState.values)
@pytest.mark.parametrize("target", SmsState.values)
def test_sms_moves_only_along_the_table(north, source, target):
    row = make_notice(north)
    SmsMessage.objects.filter(pk=row.pk).update(state=source)

    moved = SMS.move(row, target, now=NOW, why="test")

    assert moved is (target in SMS.moves[source])
    row.refresh_from_db()
    assert row.state == (target if moved else source)
    assert row.events.filter(from_state=source, to_state=target).count() == moved


@pytest.mark.parametrize("source", InboundState.values)
@pytest.mark.parametrize("target", InboundState.values)
def test_inbound_moves_only_along_the_table(db, source, target):
    row = InboundSms.objects.create(
        sender="+79161234567", body="OK", received_at=NOW, dedupe_key="x", state=source, state_changed_at=NOW
    )

    moved = INBOUND.move(row, target, now=NOW)

    assert moved is (target in INBOUND.moves[source])
    assert InboundSms.objects.get().state == (target if moved else source)


def test_nothing_comes_back_from_the_barrier_but_by_proof():
    assert SMS.sources(SmsState.QUEUED) == [SmsState.CLAIMED, SmsState.SENDING]
    assert SmsState.QUEUED not in SMS.moves[SmsState.UNKNOWN]
