"""Backends are found by their kind, and a wrong setting says what is wrong."""

from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from remosa.lib.clock import JumpDetector
from remosa.lib.registry import backend


def test_a_kind_is_resolved_to_what_its_path_names(settings: Any) -> None:
    settings.SMS_GATEWAYS = {"jump": "remosa.lib.clock.JumpDetector"}

    assert backend("SMS_GATEWAYS", "jump") is JumpDetector


def test_a_changed_setting_is_seen(settings: Any) -> None:
    settings.SMS_GATEWAYS = {"one": "remosa.lib.clock.JumpDetector"}
    backend("SMS_GATEWAYS", "one")

    settings.SMS_GATEWAYS = {"one": "remosa.lib.clock.utcnow"}

    assert backend("SMS_GATEWAYS", "one") is not JumpDetector


def test_an_unknown_kind_names_the_known_ones(settings: Any) -> None:
    settings.SMS_GATEWAYS = {"http": "x", "console": "y"}

    with pytest.raises(
        ImproperlyConfigured, match=r"SMS_GATEWAYS has no 'pigeon'; it has \['console', 'http'\]"
    ):
        backend("SMS_GATEWAYS", "pigeon")


@pytest.mark.parametrize("path", ["remosa.lib.clock.Nothing", "no.such.module", "nodots"])
def test_a_path_that_leads_nowhere_names_the_setting(settings: Any, path: str) -> None:
    settings.SMS_GATEWAYS = {"lost": path}

    with pytest.raises(ImproperlyConfigured, match=r"SMS_GATEWAYS\['lost'\] cannot be imported"):
        backend("SMS_GATEWAYS", "lost")
