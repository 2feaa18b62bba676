"""The console gateway: the contract, and what it prints."""

import pytest

from sms.gateways.console import ConsoleGateway
from tests.sms.gateway_contract import REF, TO, GatewayContract, account


class TestConsoleGateway(GatewayContract):
    @pytest.fixture
    def gateway(self):
        return ConsoleGateway(account({}))


def test_line_shows_the_text_and_masks_the_number(capsys):
    ConsoleGateway(account({})).send(TO, "#12#0#1#1#", client_ref=REF, deadline_s=1)

    printed = capsys.readouterr().out
    assert "#12#0#1#1#" in printed
    assert TO not in printed
