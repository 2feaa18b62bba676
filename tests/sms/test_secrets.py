"""Canaries: keys and numbers that pass through SMS never reach a log, an audit line or an error column."""

import json
import logging

import pytest
from django.core.serializers import serialize

from platforms.models import AuditEvent
from remosa.lib.clock import utcnow
from sms.models import Gateway, SmsEvent, SmsMessage
from sms.outbox import Pump
from sms.services import read_inbox
from tests.factories import make_gateway
from tests.sms.fakes import make_notice
from tests.sms.gateway_server import GatewayServer

KEY, NUMBER = "canary-key-0815", "+79161234567"
ECHO = f"refused number={NUMBER} 79161234567 key={KEY} Authorization: {KEY}".encode()


def everything_written() -> str:
    """Audit lines, histories, reasons and errors, as they are stored."""
    reasons = list(SmsMessage.objects.values_list("reason", "gateway_ref"))
    errors = list(Gateway.objects.values_list("last_error", flat=True))
    return json.dumps(
        [
            serialize("json", AuditEvent.objects.all()),
            serialize("json", SmsEvent.objects.all()),
            reasons,
            errors,
        ],
        default=str,
    )


@pytest.mark.parametrize("mode", ["bare", "400", "401", "429", "500", "hang", "reset_after", "307"])
def test_keys_and_numbers_stay_out_of_logs_and_tables(north, settings, tmp_path, caplog, mode):
    settings.EGRESS_ALLOW = ["127.0.0.0/8"]
    settings.SMS_SPOOL_DIR = str(tmp_path)
    settings.OUTBOX_SEND_DEADLINE_S = 0.5
    with caplog.at_level(logging.DEBUG), GatewayServer(mode, answer=ECHO) as server:
        gateway = make_gateway(north, kind="remosa", config={"base_url": server.url}, secret=KEY)
        make_notice(north, to=NUMBER, now=utcnow(), expires_at=None)
        Pump("canary", jitter=lambda: 0.0).drain()
        read_inbox(gateway)

    assert server.seen or mode == "reset_before"
    for place in (caplog.text, everything_written()):
        assert KEY not in place
        assert NUMBER.lstrip("+") not in place


def test_key_is_encrypted_in_the_table(north):
    make_gateway(north, secret=KEY, hook_secret=KEY)

    stored = Gateway.objects.extra(select={"raw": "secret || hook_secret"}).values_list("raw", flat=True)[0]

    assert KEY not in stored


def test_number_is_not_in_what_a_message_is_called(north):
    message = make_notice(north, to=NUMBER)

    assert NUMBER not in f"{message} {message!r}"
