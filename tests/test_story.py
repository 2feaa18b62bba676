"""The main job of the product, once as it should be, and once with every message doubled and reordered."""

from collections.abc import Iterator

import pytest
from django.core import mail

from automation.models import Case
from devices.models import Command, Device
from notifications.models import Delivery, Notice
from platforms.models import AuditEvent, QuotaReservation, Usage
from remosa.simulator.fleet import demo_fleet
from remosa.simulator.thread import SimulatorThread
from sms.models import InboundSms, SmsMessage
from tests.factories import make_user
from tests.loop import Loop

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.databases, pytest.mark.timeout(300)]
MINUTE_S = 0.3
VICTIM = next(p for p in demo_fleet().players if demo_fleet().sockets_by_msisdn[p.socket].model == "D210")


@pytest.fixture
def loop(loop_settings: None) -> Iterator[Loop]:
    with SimulatorThread(minute_s=MINUTE_S) as simulator:
        yield Loop(simulator, minute_s=MINUTE_S)


def victim_case() -> Case | None:
    return Case.objects.filter(
        kind="device", device__name=VICTIM.name, state__in=["verified", "escalated"]
    ).first()


def sent_to_victims_socket(loop: Loop) -> list[str]:
    return [entry.text for entry in loop.simulator.world.ledger() if entry.number == VICTIM.socket]


def test_a_hung_player_is_repaired_by_exactly_one_sms(loop: Loop) -> None:
    loop.turns(3)
    loop.simulator.world.hang(VICTIM.id)

    case = loop.until(victim_case, what="a closed case")

    assert (case.state, case.outcome, case.attempts) == ("verified", "repaired", 1), loop.report()
    assert sent_to_victims_socket(loop) == ["#12#0#1#1#"]
    assert len(loop.simulator.world.ledger()) == 1, "nobody else got an SMS"
    command = Command.objects.get()
    assert command.state == "verified"
    assert command.reply_verdict == "confirmed"
    assert command.sms.state == "sent"
    assert InboundSms.objects.get().state == "matched"
    assert Device.objects.get(name=VICTIM.name).state == "online"


def test_everything_of_the_repair_is_in_the_audit_under_one_cause(loop: Loop) -> None:
    loop.turns(3)
    loop.simulator.world.hang(VICTIM.id)
    case = loop.until(victim_case, what="a closed case")

    verbs = list(
        AuditEvent.objects.filter(cause_id=case.cause_id).order_by("at").values_list("verb", flat=True)
    )

    assert set(verbs[:2]) == {"case.opened", "command.requested"}  # of one moment
    assert verbs[-1] == "case.verified"
    assert "command.replied" in verbs
    usage = Usage.objects.get(kind="sms")
    assert (usage.used, usage.reserved) == (1, 0)
    assert QuotaReservation.objects.get(kind="sms").state == "committed"


def test_the_same_story_with_every_message_doubled_and_reordered(loop: Loop) -> None:
    loop.simulator.world.change_faults(
        {"sms_duplicate_ratio": 1.0, "reply_duplicate_ratio": 1.0, "reply_reorder_ratio": 1.0}
    )
    loop.turns(3)
    loop.simulator.world.hang(VICTIM.id)

    case = loop.until(victim_case, what="a closed case")
    loop.turns(5)

    assert (case.state, case.outcome, case.attempts) == ("verified", "repaired", 1), loop.report()
    assert sent_to_victims_socket(loop) == ["#12#0#1#1#"], "the gateway was asked once; the radio doubled it"
    assert SmsMessage.objects.count() == Command.objects.count() == 1
    assert Command.objects.get().state == "verified"
    assert Case.objects.filter(kind="device", device__name=VICTIM.name).count() == 1


def test_a_socket_that_stays_silent_and_dead_ends_with_a_person_told_once(loop: Loop) -> None:
    make_user("olga", platform=loop.platform, role="admin")
    loop.simulator.world.change_faults({"sms_loss_ratio": 1.0})
    loop.turns(3)
    loop.simulator.world.hang(VICTIM.id)

    case = loop.until(victim_case, what="a case handed over", deadline_s=120)
    loop.turns(5)

    assert (case.state, case.outcome) == ("escalated", "not_back_in_time"), loop.report()
    assert case.attempts == 2
    assert sent_to_victims_socket(loop) == ["#12#0#1#1#"] * 2
    notice = Notice.objects.get(case=case)
    assert notice.severity == "critical"
    assert sorted(Delivery.objects.values_list("channel", "state")) == [
        ("console", "sent"),
        ("email", "sent"),
    ]
    assert len(mail.outbox) == 1
    assert VICTIM.name in mail.outbox[0].subject


def test_a_person_told_sees_the_case_close_when_the_player_comes_back_after_all(loop: Loop) -> None:
    loop.simulator.world.change_faults({"sms_loss_ratio": 1.0})
    loop.turns(3)
    loop.simulator.world.hang(VICTIM.id)
    case = loop.until(victim_case, what="a case handed over", deadline_s=120)

    loop.simulator.world.recover(VICTIM.id)
    loop.until(lambda: Case.objects.filter(pk=case.pk, state="verified").exists(), what="the case to close")

    case.refresh_from_db()
    assert case.outcome in ("recovered_alone", "repaired")
    assert list(case.steps.values_list("to_state", flat=True))[-2:] == ["verifying", "verified"]
