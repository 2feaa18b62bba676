"""Start-up check of tenancy: a tenant model that does not say whose it is stops the start."""

from typing import Any

from django.apps import apps
from django.core.checks import Error, register

from platforms.querysets import PlatformQuerySet


@register()
def tenant_models_declare_their_walls(app_configs: Any, **kwargs: Any) -> list[Error]:
    """Each model with a ``PlatformQuerySet`` names its platform path, and its owner paths or ``()``."""
    errors = []
    for model in apps.get_models():
        queryset_class = getattr(model._default_manager, "_queryset_class", None)
        if queryset_class is None or not issubclass(queryset_class, PlatformQuerySet):
            continue
        if not isinstance(getattr(model, "PLATFORM_PATH", None), str):
            errors.append(
                Error(
                    f"{model._meta.label} does not declare PLATFORM_PATH.",
                    hint='Say how the row hangs off a platform, e.g. PLATFORM_PATH = "device__platform".',
                    obj=model,
                    id="platforms.E001",
                )
            )
        if not isinstance(getattr(model, "OWNER_PATHS", None), tuple):
            errors.append(
                Error(
                    f"{model._meta.label} does not declare OWNER_PATHS.",
                    hint='Name the paths to the owning user for the role "user", or () to hide the model from it.',
                    obj=model,
                    id="platforms.E002",
                )
            )
    return errors
