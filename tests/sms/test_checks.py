"""System checks of the gateways."""

import pytest
from django.conf import settings as project

from remosa.lib.registry import backend
from sms.checks import gateways_can_be_used


def test_shipped_gateways_pass():
    assert gateways_can_be_used(None) == []


@pytest.mark.parametrize(
    ("path", "code"), [("sms.gateways.gone.Gateway", "sms.E001"), ("sms.engine.Tries", "sms.E002")]
)
def test_gateway_that_cannot_be_used_is_named(settings, path, code):
    settings.SMS_GATEWAYS = {"broken": path}

    assert [error.id for error in gateways_can_be_used(None)] == [code]


@pytest.mark.parametrize("kind", list(project.SMS_GATEWAYS))
def test_every_kind_declares_what_a_form_needs(kind):
    gateway = backend("SMS_GATEWAYS", kind)

    for field in gateway.fields:
        assert str(field.label)
        assert field.kind in ("text", "url", "mapping", "list", "json")
        assert not field.required or field.default is None
