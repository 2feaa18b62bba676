"""Checks at the start: a tenant model that does not say whose it is stops it; the audit must be append-only."""

from typing import Any

from django.apps import apps
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.core.exceptions import FieldDoesNotExist
from django.db import connections, models
from guardian.models import BaseObjectPermission

from platforms import audit_triggers
from platforms.querysets import PlatformQuerySet

PLATFORM, USER = "platforms.Platform", "platforms.User"


@register()
def tenant_models_declare_their_walls(app_configs: Any, **kwargs: Any) -> list[Error]:
    """Each model with a ``PlatformQuerySet`` names its platform path, and its owner paths or ``()``.

    And each model that points at a platform has a ``PlatformQuerySet``, but for guardian's grants.
    """
    errors = []
    for model in apps.get_models():
        queryset_class = getattr(model._default_manager, "_queryset_class", None)
        if queryset_class is not None and issubclass(queryset_class, PlatformQuerySet):
            errors += _faults_of(model)
        elif _points_at_a_platform(model) and not issubclass(model, BaseObjectPermission):
            errors.append(
                Error(
                    f"{model._meta.label} belongs to a platform, and everybody would see all of it.",
                    hint="Give it objects = PlatformQuerySet.as_manager(), PLATFORM_PATH and OWNER_PATHS.",
                    obj=model,
                    id="platforms.E003",
                )
            )
    return errors


@register(Tags.database)
def the_audit_is_append_only(app_configs: Any, databases: Any = None, **kwargs: Any) -> list[CheckMessage]:
    """Its triggers are in place. A warning, so that ``migrate``, which puts them in place, may run."""
    return [
        Warning(
            f"The audit can be changed: these triggers are missing: {', '.join(names)}.",
            hint="Run manage.py migrate, which puts them back, and find out who took them away.",
            id="platforms.W001",
        )
        for alias in databases or []
        if (names := audit_triggers.missing(connections[alias]))
    ]


def _faults_of(model: type[models.Model]) -> list[Error]:
    errors = []
    path, owners = getattr(model, "PLATFORM_PATH", None), getattr(model, "OWNER_PATHS", None)
    if not isinstance(path, str) or not _leads_to(model, path, PLATFORM):
        errors.append(
            Error(
                f"{model._meta.label} does not declare PLATFORM_PATH, or it leads nowhere.",
                hint='Say how the row hangs off a platform, e.g. PLATFORM_PATH = "device__platform".',
                obj=model,
                id="platforms.E001",
            )
        )
    if not isinstance(owners, tuple) or not all(_leads_to(model, each, USER) for each in owners):
        errors.append(
            Error(
                f"{model._meta.label} does not declare OWNER_PATHS, or one leads nowhere.",
                hint='Name the paths to the owning user for the role "user", or () to hide the model from it.',
                obj=model,
                id="platforms.E002",
            )
        )
    return errors


def _leads_to(model: type[models.Model], path: str, label: str) -> bool:
    """Whether the lookup ``path`` ends at the model ``label``."""
    found: type[models.Model] | None = model
    for name in path.split("__"):
        if found is None:
            return False
        if name == "pk":
            continue
        try:
            field = found._meta.get_field(name)
        except FieldDoesNotExist:
            return False
        found = field.related_model  # type: ignore[assignment]
    return found is not None and found._meta.label == label


def _points_at_a_platform(model: type[models.Model]) -> bool:
    return any(
        field.is_relation and field.related_model is not None and field.related_model._meta.label == PLATFORM
        for field in model._meta.concrete_fields
    )
