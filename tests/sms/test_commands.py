"""``manage.py sms`` and ``manage.py outbox --once`` as a person uses them."""

import json
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from remosa.lib.clock import utcnow
from sms.models import Gateway, InboundSms, ModemStatus, SmsMessage
from sms.ports import InboundText
from sms.states import SmsState
from tests.factories import make_gateway
from tests.sms.fakes import make_fake, make_notice, not_sent, rejected, unknown

NUMBER = "+79161234567"
DELIVER = "07919761989901F0040B919761214365F70000527070214365210423D86D04"  # "#07#" from +79161234567
REPORT = "07919761989901F006050B919761214365F7527070214365215270702143852100"


@pytest.fixture(autouse=True)
def _number_may_be_tried(settings):
    settings.SMS_SHELL_NUMBERS = ["8 916 123-45-67"]


def told(*words, code: int = 0):
    """The JSON that a deed says, and that it ended with ``code``."""
    out, ended = StringIO(), 0
    try:
        call_command("sms", *words, "--json", stdout=out)
    except SystemExit as left:
        ended = left.code
    assert ended == code
    return json.loads(out.getvalue())


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
    with pytest.raises(CommandError, match="--yes") as caught:
        run("send", NUMBER, "x")

    assert (caught.value.returncode, fake.sent) == (2, [])


def test_send_reaches_only_permitted_numbers_outside_development(north, gateway, fake, settings):
    with pytest.raises(CommandError, match="SMS_SHELL_NUMBERS") as caught:
        run("send", "+79161234568", "x", "--yes")
    assert caught.value.returncode == 2
    settings.SMS_SHELL_NUMBERS = []
    with pytest.raises(CommandError, match="SMS_SHELL_NUMBERS"):
        run("send", NUMBER, "x", "--yes")

    assert (fake.sent, SmsMessage.objects.count()) == ([], 0)


def test_send_needs_no_yes_and_no_list_in_development(north, gateway, fake, settings):
    settings.DEBUG, settings.SMS_SHELL_NUMBERS = True, []

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

    assert caught.value.returncode == 2
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

    with pytest.raises(CommandError, match="inbox") as caught:
        run("inbox")

    assert caught.value.returncode == 1


def test_inbox_of_a_gateway_that_is_not_there_is_wrong_usage(gateway, fake):
    with pytest.raises(CommandError, match="No gateway 0") as caught:
        run("inbox", "--gateway", "0")

    assert caught.value.returncode == 2


def test_nothing_but_the_document_is_said_to_machines(north, capsys):
    make_gateway(north, kind="console")

    assert told("send", NUMBER, "x", "--yes")["state"] == "sent"
    said = capsys.readouterr()
    assert (said.out, said.err.startswith("SMS to ")) == ("", True)


def test_send_beyond_the_limit_is_not_sent(north, gateway, fake):
    type(north).objects.update(sms_limit=0)

    with pytest.raises(CommandError) as caught:
        run("send", NUMBER, "x", "--yes")

    assert (caught.value.returncode, fake.sent) == (1, [])


def test_gateways_are_listed_with_their_state(north, fake):
    make_fake(north, name="modem")
    make_fake(None, name="spare", is_enabled=False)

    said = run("gateways")

    assert "modem\tnorth\tworking\tnever used yet" in said
    assert "spare\tshared\tdisabled" in said


def test_send_tells_machines_what_became_of_it(north, gateway, fake):
    fake.script = [None, unknown(), rejected()]

    sent = told("send", NUMBER, "x", "--yes")
    lost = told("send", NUMBER, "x", "--yes", code=3)
    refused = told("send", NUMBER, "x", "--yes", code=1)

    message = SmsMessage.objects.get(pk=sent["id"])
    assert (sent["state"], sent["gateway"], sent["its_id"]) == ("sent", gateway.pk, message.gateway_ref)
    assert NUMBER not in str(sent)
    assert (lost["state"], refused["state"], refused["reason"]) == ("unknown", "failed", "http_400")


def test_inbox_tells_machines_what_came_and_what_was_not_read(gateway, fake):
    fake.texts = [InboundText("", NUMBER, "OUT1 ON", utcnow())]
    came = told("inbox")
    fake.script = [not_sent()]
    failed = told("inbox", code=1)

    assert came["read"] == [{"gateway": gateway.pk, "name": gateway.name, "new": 1, "error": ""}]
    assert [(sms["text"], sms["state"]) for sms in came["came"]] == [("OUT1 ON", "unmatched")]
    assert failed["read"][0]["error"] == "refused"


def test_gateways_that_are_suspended_are_told_by_the_code(north, gateway):
    well = told("gateways")
    Gateway.objects.update(breaker=Gateway.Breaker.OPEN, last_error="http_401")
    ill = told("gateways", code=1)

    assert [row["state"] for row in well + ill] == ["closed", "open"]
    assert (ill[0]["last_error"], ill[0]["platform"]) == ("http_401", north.pk)


def test_modems_that_are_not_ready_are_told_by_the_code(north):
    modem = make_gateway(north, kind="modem", name="attic", config={"port": "/dev/ttyUSB0"})
    ModemStatus.objects.create(gateway=modem, state="ready", seen_at=utcnow(), signal_dbm=-71)
    well = told("modem")
    ModemStatus.objects.update(state="no_sim")
    ill = told("modem", code=1)

    assert [(row["name"], row["state"], row["signal_dbm"]) for row in well + ill] == [
        ("attic", "ready", -71), ("attic", "no_sim", -71),
    ]  # fmt: skip
    assert timedelta(0) <= utcnow() - ModemStatus.objects.get().seen_at < timedelta(minutes=1)


def test_modem_whose_process_is_silent_is_told_by_the_code(north):
    modem = make_gateway(north, kind="modem", name="attic", config={"port": "/dev/ttyUSB0"})
    never = told("modem", code=1)
    ModemStatus.objects.create(gateway=modem, state="ready", seen_at=utcnow() - timedelta(minutes=3))
    fallen = told("modem", code=1)
    Gateway.objects.update(is_enabled=False)
    not_wanted = told("modem")

    assert [row["state"] for row in never + fallen + not_wanted] == ["silent"] * 3


def test_decode_says_what_a_pdu_means(db):
    text, report = told("decode", DELIVER), told("decode", REPORT)

    assert (text["type"], text["sender"], text["text"]) == ("Deliver", NUMBER, "#07#")
    assert (report["type"], report["to"], report["class"]) == ("StatusReport", NUMBER, "delivered")
    with pytest.raises(CommandError, match="no PDU"):
        run("decode", "zz")


def test_outbox_once_drains_and_ends(north, gateway, fake):
    message = make_notice(north, now=utcnow(), expires_at=None)
    out = StringIO()

    call_command("outbox", "--once", "--threads", "1", stdout=out)

    message.refresh_from_db()
    assert (message.state, out.getvalue().strip()) == (SmsState.SENT, "1")
