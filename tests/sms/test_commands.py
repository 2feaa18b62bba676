"""``manage.py sms`` and ``manage.py outbox --once`` as a person uses them."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from remosa.lib.clock import utcnow
from sms.models import InboundSms, SmsMessage
from sms.ports import InboundText
from sms.states import SmsState
from tests.factories import make_gateway
from tests.sms.fakes import make_fake, make_notice, not_sent, rejected, unknown

NUMBER = "+79161234567"


def run(*words) -> str:
    out = StringIO()
    call_command("sms", *words, stdout=out, stderr=out)
    return out.getvalue()


def test_send_says_what_became_of_it(north, gateway, fake):
    said = run("send", NUMBER, "проверка", "--yes")

    assert "sent" in said
    assert NUMBER not in said
    assert fake.sent == [(gateway.pk, NUMBER, "проверка")]
    assert SmsMessage.objects.get().purpose == SmsMessage.Purpose.TEST


def test_send_needs_yes_outside_development(north, gateway, fake):
    with pytest.raises(CommandError, match="--yes"):
        run("send", NUMBER, "x")

    assert fake.sent == []


def test_send_needs_no_yes_in_development(north, gateway, fake, settings):
    settings.DEBUG = True

    assert "sent" in run("send", NUMBER, "x")


@pytest.mark.parametrize(
    ("error", "code", "state"),
    [(rejected(), 1, "failed"), (unknown(), 3, "unknown"), (not_sent(), 1, "cancelled")],
)
def test_send_ends_with_a_telling_code(north, gateway, fake, capsys, error, code, state):
    fake.script = [error]

    with pytest.raises(SystemExit) as ended:
        call_command("sms", "send", NUMBER, "x", "--yes")

    assert ended.value.code == code
    assert state in capsys.readouterr().out
    assert SmsMessage.objects.get().state == SmsState(state)


def test_send_tries_the_gateway_it_was_told(north, fake):
    make_fake(north, priority=1)
    tried = make_fake(north, priority=2)

    run("send", NUMBER, "x", "--yes", "--gateway", str(tried.pk))

    assert [gateway for gateway, _to, _body in fake.sent] == [tried.pk]


@pytest.mark.parametrize(
    "words",
    [("112", "x"), (NUMBER, ""), (NUMBER, "x", "--gateway", "0"), (NUMBER, "x", "--platform", "nobody")],
)
def test_send_of_nonsense_says_what_to_change(north, gateway, fake, words):
    with pytest.raises(CommandError) as caught:
        run("send", "--yes", *words)

    assert len(str(caught.value)) > 10
    assert fake.sent == []


def test_send_asks_for_the_platform_when_there_are_two(north, south, gateway, fake):
    with pytest.raises(CommandError, match="--platform"):
        run("send", NUMBER, "x", "--yes")

    assert "sent" in run("send", NUMBER, "x", "--yes", "--platform", "north")
    assert "sent" in run("send", NUMBER, "y", "--yes", "--platform", str(north.pk))


def test_inbox_shows_what_came(gateway, fake):
    fake.texts = [InboundText("", NUMBER, "OUT1 ON", utcnow())]

    said = run("inbox")

    assert "1 new" in said
    assert "OUT1 ON" in said
    assert NUMBER not in said
    assert InboundSms.objects.count() == 1


def test_inbox_without_a_gateway_that_has_one_says_so(north):
    make_gateway(north, kind="console")

    with pytest.raises(CommandError, match="inbox"):
        run("inbox")


def test_gateways_are_listed_with_their_state(north, fake):
    make_fake(north, name="modem")
    make_fake(None, name="spare", is_enabled=False)

    said = run("gateways")

    assert "modem\tnorth\tclosed" in said
    assert "spare\tshared\tdisabled" in said


def test_outbox_once_drains_and_ends(north, gateway, fake):
    message = make_notice(north, now=utcnow(), expires_at=None)
    out = StringIO()

    call_command("outbox", "--once", "--threads", "1", stdout=out)

    message.refresh_from_db()
    assert (message.state, out.getvalue().strip()) == (SmsState.SENT, "1")
