"""Delivery reports: late, twice, in any order, for ids that were used before."""

import itertools
from datetime import timedelta

import pytest

from devices.services import record_reply
from devices.states import CommandState
from sms.models import SmsMessage
from sms.services import apply_delivery_report
from sms.states import SmsState
from tests.factories import make_socket
from tests.sms.fakes import make_command, make_fake, make_notice, not_sent, unknown
from tests.sms.test_messages import usage

pytestmark = pytest.mark.databases
S = SmsState
NUMBER = "+79161234567"


def fresh(row):
    row.refresh_from_db()
    return row


@pytest.fixture
def sent(north, gateway, fake, pump):
    message = make_notice(north)
    pump.drain()
    return fresh(message)


@pytest.mark.parametrize(("delivered", "state"), [(True, S.DELIVERED), (False, S.UNDELIVERED)])
def test_report_by_our_id_settles_the_message(sent, gateway, clock, delivered, state):
    said = apply_delivery_report(gateway=gateway, delivered=delivered, at=clock.wall, client_ref=str(sent.pk))

    assert (said, fresh(sent).state) == ("applied", state)
    assert sent.delivered_at == (clock.wall if delivered else None)


def test_report_by_the_gateways_id_settles_the_message(sent, gateway, clock):
    assert (
        apply_delivery_report(gateway=gateway, delivered=True, at=clock.wall, ref=sent.gateway_ref)
        == "applied"
    )


def test_report_for_another_number_is_not_ours(sent, gateway, clock):
    said = apply_delivery_report(
        gateway=gateway, delivered=True, at=clock.wall, ref=sent.gateway_ref, to="+79160000000"
    )

    assert (said, fresh(sent).state) == ("unmatched", S.SENT)


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("then", [True, False])
def test_first_final_report_stays(sent, gateway, clock, first, then):
    report = {"gateway": gateway, "at": clock.wall, "client_ref": str(sent.pk)}
    apply_delivery_report(delivered=first, **report)
    state = fresh(sent).state

    assert apply_delivery_report(delivered=then, **report) == "repeated"
    assert fresh(sent).state == state
    assert sent.events.count() == 4


@pytest.mark.parametrize("ids", [{"ref": "nobody's"}, {"client_ref": "no uuid"}, {}, {"ref": ""}])
def test_report_that_fits_nothing_moves_nothing(sent, gateway, clock, ids):
    assert apply_delivery_report(gateway=gateway, delivered=True, at=clock.wall, **ids) == "unmatched"
    assert fresh(sent).state == S.SENT


@pytest.mark.parametrize(
    ("to", "answer"), [("", "too_early"), (NUMBER, "too_early"), ("+79990000000", "unmatched")]
)
def test_report_that_overtakes_the_answer_with_its_id_is_asked_for_again(
    north, gateway, fake, pump, clock, to, answer
):
    """A report that names the gateway's id alone cannot be matched before the answer has told us that id."""
    message, heard = make_notice(north, to=NUMBER), []

    def report(_ref=None) -> None:
        report = {
            "gateway": gateway,
            "delivered": True,
            "at": clock.wall,
            "ref": f"ref-{message.pk}",
            "to": to,
        }
        heard.append(apply_delivery_report(**report))

    fake.on_send = report
    pump.drain()
    report()

    assert heard == [answer, "applied" if answer == "too_early" else "unmatched"]


def test_report_of_another_gateway_finds_nothing(sent, south, clock):
    stranger = make_fake(south)

    said = apply_delivery_report(gateway=stranger, delivered=True, at=clock.wall, client_ref=str(sent.pk))

    assert (said, fresh(sent).state) == ("unmatched", S.SENT)


def test_id_that_the_gateway_used_again_is_ambiguous_without_a_number(north, gateway, fake, pump, clock):
    first, second = make_notice(north), make_notice(north, to="+79160000002")
    pump.drain()
    SmsMessage.objects.update(gateway_ref="7")
    report = {"gateway": gateway, "delivered": True, "at": clock.wall, "ref": "7"}

    assert apply_delivery_report(**report) == "ambiguous"
    assert apply_delivery_report(**report, to="+79160000002") == "applied"
    assert (fresh(first).state, fresh(second).state) == (S.SENT, S.DELIVERED)


def test_old_message_with_the_same_id_is_not_meant(sent, gateway, clock):
    later = clock.wall + timedelta(hours=73)

    assert (
        apply_delivery_report(gateway=gateway, delivered=True, at=later, ref=sent.gateway_ref) == "unmatched"
    )


@pytest.mark.parametrize(
    ("delivered", "state"), [(True, CommandState.DELIVERED), (False, CommandState.NOT_EXECUTED)]
)
def test_report_settles_an_unknown_command(north, gateway, fake, pump, clock, delivered, state):
    fake.script = [unknown()]
    command = make_command(north)
    pump.drain()

    apply_delivery_report(gateway=gateway, delivered=delivered, at=clock.wall, client_ref=str(command.sms.pk))

    assert fresh(command).state == state
    assert usage(north) == (0, 1)


def test_delivered_message_that_was_called_not_sent_is_never_sent_again(north, gateway, fake, pump, clock):
    fake.script = [not_sent(retry_after_s=30)]
    command = make_command(north)
    pump.drain()

    apply_delivery_report(gateway=gateway, delivered=True, at=clock.wall, client_ref=str(command.sms.pk))
    clock.passes(timedelta(seconds=60))
    pump.drain()

    assert len(fake.sent) == 1
    assert (fresh(command).state, usage(north)) == (CommandState.DELIVERED, (0, 1))


@pytest.mark.parametrize("order", list(itertools.permutations(["answer", "report", "reply", "report again"])))
def test_every_order_of_the_evidence_ends_in_the_same_state(north, gateway, fake, pump, clock, order):
    """The answer of the gateway may come last, while the report and the reply are here already."""
    socket = make_socket(north)
    command = make_command(north, device=socket)
    arrived = {
        "report": lambda: apply_delivery_report(
            gateway=gateway, delivered=True, at=clock.wall, client_ref=str(command.sms.pk)
        ),
        "reply": lambda: record_reply(socket, text="OUT1 OFF 1 MIN", at=clock.wall),
        "answer": lambda: None,
    }
    arrived["report again"] = arrived["report"]
    before = order[: order.index("answer")]
    fake.on_send = lambda _ref: [arrived[name]() for name in before]

    pump.drain()
    for name in order[order.index("answer") :]:
        arrived[name]()

    assert (fresh(command).state, command.reply_verdict) == (CommandState.REPLIED, "confirmed")
    assert fresh(command.sms).state == S.DELIVERED
    assert None not in (command.sent_at, command.reply_until, command.verify_until, command.sms.sent_at)
    assert usage(north) == (0, 1)
