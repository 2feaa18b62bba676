"""The SMS fixtures: notices about gateways, notices that are SMS."""

from tests.sms.conftest import clock, fake, pump

__all__ = ["clock", "fake", "pump"]
