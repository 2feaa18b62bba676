"""What the queue runs: safe to run never, once, or often."""

from datetime import timedelta

from remosa.lib.clock import utcnow
from sms import tasks
from sms.models import InboundSms, SmsMessage
from sms.ports import InboundText
from sms.states import SmsState
from tests.sms.fakes import make_notice


def test_pump_sends_what_is_due_once(north, gateway, fake):
    make_notice(north, now=utcnow(), expires_at=None)

    assert [tasks.pump(), tasks.pump()] == [1, 0]
    assert len(fake.sent) == 1


def test_sweep_does_all_that_the_process_would(north, gateway, fake):
    late = make_notice(north, now=utcnow() - timedelta(hours=1), expires_at=utcnow() - timedelta(minutes=1))
    due = make_notice(north, now=utcnow(), expires_at=None)
    fake.texts = [InboundText("", "+79160000000", "OK", utcnow())]

    tasks.sweep()

    states = dict(SmsMessage.objects.values_list("pk", "state"))
    assert (states[late.pk], states[due.pk]) == (SmsState.EXPIRED, SmsState.SENT)
    assert InboundSms.objects.count() == 1
    assert tasks.sweep() == 0
