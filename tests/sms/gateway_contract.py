"""What every gateway must do, run by each backend's own test module.

``GatewayContract`` is for all; ``HttpGatewayContract`` adds what only a backend on a network can get
wrong. A subclass says how to build its backend.
"""

import contextlib
import logging
import socket

import pytest

from sms.errors import GatewayError
from sms.ports import Accepted, Account, Capabilities, ConfigField
from sms.segments import count
from tests.sms.gateway_server import ANSWERS, GatewayServer

TO = "+79161234567"
SECRET = "canary-key-4711"
REF = "0190b0c0-0000-7000-8000-000000000001"
LONG = "x" * 161
CYRILLIC = "Привет, экран не отвечает"


class GatewayContract:
    """Subclasses give ``backend``: the class, and ``account``: one with which it accepts."""

    @pytest.fixture
    def gateway(self):
        raise NotImplementedError

    def test_declares_its_settings_and_what_it_can_do(self, gateway):
        assert isinstance(gateway.capabilities, Capabilities)
        assert all(isinstance(field, ConfigField) for field in gateway.fields)
        assert len({field.name for field in gateway.fields}) == len(gateway.fields)

    def test_configuration_of_the_test_is_found_good(self, gateway):
        assert type(gateway).check(gateway.account.config) == {}

    def test_unknown_setting_is_named(self, gateway):
        wrong = type(gateway).check({**gateway.account.config, "colour": "red"})

        assert list(wrong) == ["colour"]

    @pytest.mark.parametrize("body", ["#12#0#1#1#", LONG, CYRILLIC, "€^{}[]~|\\", "a\nb"])
    def test_accepts_a_text_and_counts_its_parts(self, gateway, body):
        accepted = gateway.send(TO, body, client_ref=REF, deadline_s=5)

        assert isinstance(accepted, Accepted)
        assert accepted.parts == count(body).parts

    def test_account_never_shows_its_secret(self, gateway):
        assert SECRET not in repr(gateway.account)


class HttpGatewayContract(GatewayContract):
    """Subclasses give ``open_at(url, **config)``, the accepting ``mode``, and ``sent(request)``: (to, text)."""

    accepting = "ok"

    @pytest.fixture(autouse=True)
    def _loopback_may_be_reached(self, settings):
        settings.EGRESS_ALLOW = ["127.0.0.0/8"]

    def open_at(self, url: str, **config):
        raise NotImplementedError

    def sent(self, request) -> tuple[str, str]:
        raise NotImplementedError

    @pytest.fixture
    def server(self):
        with GatewayServer(self.accepting) as server:
            yield server

    @pytest.fixture
    def gateway(self, server):
        return self.open_at(server.url)

    def refusal(self, mode: str, *, deadline_s: float = 3.0) -> tuple[GatewayError, GatewayServer]:
        """The error of one send to a server in trouble."""
        with GatewayServer(mode) as server, pytest.raises(GatewayError) as caught:
            self.open_at(server.url).send(TO, "#12#0#1#1#", client_ref=REF, deadline_s=deadline_s)
        return caught.value, server

    @pytest.mark.parametrize("body", ["#12#0#1#1#", LONG, CYRILLIC, "a&b=c+d%20?", "{to} {secret} %s"])
    def test_text_and_number_arrive_unchanged_and_once(self, gateway, server, body):
        gateway.send(TO, body, client_ref=REF, deadline_s=5)

        assert [self.sent(request) for request in server.seen] == [(TO, body)]

    @pytest.mark.parametrize("mode", ["400", "404"])
    def test_refusal_for_good_is_rejected(self, mode):
        error, server = self.refusal(mode)

        assert (error.outcome, error.breaks, len(server.seen)) == ("rejected", False, 1)
        assert error.reason == f"http_{mode}"

    def test_wrong_key_is_rejected_and_breaks(self):
        error, _server = self.refusal("401")

        assert (error.outcome, error.breaks) == ("rejected", True)

    def test_refusal_for_now_is_not_sent(self):
        error, server = self.refusal("429")

        assert (error.outcome, len(server.seen)) == ("not_sent", 1)

    def test_nobody_there_is_not_sent(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]

        with pytest.raises(GatewayError) as caught:
            self.open_at(f"http://127.0.0.1:{port}").send(TO, "x", client_ref=REF, deadline_s=3)

        assert (caught.value.outcome, caught.value.reason) == ("not_sent", "refused")

    def test_forbidden_address_is_not_sent(self, settings):
        settings.EGRESS_ALLOW = []

        error, server = self.refusal(self.accepting)

        assert (error.outcome, error.reason, server.seen) == ("not_sent", "egress", [])

    @pytest.mark.parametrize(
        "mode", ["reset_after", "500", "500_after", "307", "408", "503", "truncated", "half_head"]
    )
    def test_answer_that_proves_nothing_is_unknown(self, mode):
        error, server = self.refusal(mode)

        assert error.outcome == "unknown"
        assert len(server.seen) <= 1

    def test_no_answer_makes_it_send_again(self, figure):
        """The ledger of the server judges: whatever it answers, one send is one request."""
        ledger = {}
        for mode in (
            self.accepting,
            *sorted(ANSWERS),
            "reset_before",
            "reset_after",
            "half_head",
            "truncated",
            "307",
        ):
            with GatewayServer(mode) as server, contextlib.suppress(GatewayError):
                self.open_at(server.url).send(TO, "#12#0#1#1#", client_ref=REF, deadline_s=0.5)
            ledger[mode] = len(server.seen)

        again = [mode for mode, requests in ledger.items() if requests > 1]
        assert again == []
        kind = type(self.open_at("http://127.0.0.1:1")).__name__
        figure("gateways", f"{kind}: {len(ledger)} answers, {len(again)} second sends")

    def test_reset_before_reading_is_never_rejected(self):
        error, server = self.refusal("reset_before")

        assert error.outcome in ("unknown", "not_sent")  # a reset may be faster than our first byte
        assert server.seen == []

    @pytest.mark.parametrize("mode", ["hang_after", "drip"])
    def test_silence_is_unknown_within_the_deadline(self, mode):
        error, server = self.refusal(mode, deadline_s=0.3)

        assert (error.outcome, error.reason, len(server.seen)) == ("unknown", "deadline", 1)

    @pytest.mark.parametrize("mode", ["400", "401", "429", "500", "hang", "reset_after"])
    def test_errors_and_logs_hold_neither_key_nor_number(self, mode, caplog):
        with caplog.at_level(logging.DEBUG):
            error, _server = self.refusal(mode, deadline_s=0.5)

        said = f"{error!r} {error} {error.detail} {error.__cause__!r} {caplog.text}"
        assert SECRET not in said
        assert TO.lstrip("+") not in said

    def test_echo_of_key_and_number_is_masked(self):
        echo = f"bad request: number={TO} key={SECRET} {TO.lstrip('+')} #12#0#1#1#"

        with GatewayServer("400", answer=echo.encode()) as server, pytest.raises(GatewayError) as caught:
            self.open_at(server.url).send(TO, "#12#0#1#1#", client_ref=REF, deadline_s=3)

        assert "bad request" in caught.value.detail
        assert not any(part in str(caught.value) for part in (SECRET, TO.lstrip("+"), "#12#"))


def account(config: dict, **over) -> Account:
    """An account with the canary as its key."""
    return Account(gateway_id=1, config=config, secret=SECRET, **over)
