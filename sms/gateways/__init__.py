"""Backends of ``settings.SMS_GATEWAYS``, one module each."""
