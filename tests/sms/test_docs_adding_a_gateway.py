"""docs/adding-a-gateway.md: its example is imported and passes the contract; it leaves nothing out."""

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
from django.conf import settings as project

from sms import ports
from sms.errors import CallbackInvalid
from sms.ports import DeliveryReport, InboundText
from tests.factories import make_gateway
from tests.sms.gateway_contract import account

PAGE = (Path(__file__).parent.parent.parent / "docs" / "adding-a-gateway.md").read_text(encoding="utf-8")
BACKEND, SETTING, CONTRACT = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)

example = ModuleType("acme_gateway")
exec(compile(BACKEND, "docs/adding-a-gateway.md", "exec"), example.__dict__)  # noqa: S102  our own page
sys.modules["acme_gateway"] = example
written: dict = {"__name__": __name__}
exec(compile(CONTRACT, "docs/adding-a-gateway.md", "exec"), written)  # noqa: S102  our own page
TestAcmeGateway = written["TestAcmeGateway"]


@pytest.fixture
def acme():
    return example.AcmeGateway(account({"base_url": "http://acme"}))


@pytest.mark.parametrize(("status", "delivered"), [("delivered", True), ("failed", False), ("sent", None)])
def test_report_of_the_example_is_read(acme, status, delivered):
    assert acme.parse_report({"id": "a-1", "status": status}) == DeliveryReport("a-1", "", delivered)


def test_incoming_sms_of_the_example_is_read(acme):
    assert acme.parse_inbound({"from": "+79161234567", "text": "OK", "id": "1"}) == InboundText(
        "1", "+79161234567", "OK"
    )


@pytest.mark.parametrize("data", [{}, {"from": 5, "text": "x"}])
def test_incomplete_callback_of_the_example_is_refused(acme, data):
    for parse in (acme.parse_report, acme.parse_inbound):
        with pytest.raises(CallbackInvalid):
            parse(data)


def test_setting_of_the_example_makes_it_a_kind(settings, north):
    settings.SMS_GATEWAYS = dict(settings.SMS_GATEWAYS)
    exec(SETTING, {"SMS_GATEWAYS": settings.SMS_GATEWAYS})  # noqa: S102  our own page

    make_gateway(north, kind="acme", config={"base_url": "https://acme.example"}).full_clean()


@pytest.mark.parametrize("name", sorted(name for name in vars(ports.Gateway) if not name.startswith("_")))
def test_every_verb_of_the_port_is_explained(name):
    assert f"`{name}" in PAGE


@pytest.mark.parametrize("kind", sorted(project.SMS_GATEWAYS))
def test_every_kind_is_named(kind):
    assert f"`{kind}`" in PAGE
