"""System checks of ``sms``."""

from typing import Any

from django.conf import settings
from django.core.checks import Error, register
from django.core.exceptions import ImproperlyConfigured

from remosa.lib.registry import backend


@register()
def gateways_can_be_used(app_configs: Any, **kwargs: Any) -> list[Error]:
    """Every backend of SMS_GATEWAYS exists and declares what the port asks for."""
    errors = []
    for kind in settings.SMS_GATEWAYS:
        try:
            found = backend("SMS_GATEWAYS", kind)
        except ImproperlyConfigured as exc:
            errors.append(Error(str(exc), hint="Correct the dotted path.", id="sms.E001"))
            continue
        missing = [name for name in ("fields", "capabilities", "check", "send") if not hasattr(found, name)]
        if missing:
            hint = "See sms/ports.py."
            errors.append(
                Error(f"SMS_GATEWAYS[{kind!r}] lacks {', '.join(missing)}.", hint=hint, id="sms.E002")
            )
    return errors
