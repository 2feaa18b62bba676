"""Backends by name: a setting holds ``{kind: dotted path}``, so that grep finds every one of them."""

from functools import cache
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.utils.module_loading import import_string


@cache
def backend(setting: str, kind: str) -> Any:
    """Resolve ``settings.<setting>[kind]`` once per process; ImproperlyConfigured when it names nothing."""
    table = getattr(settings, setting)
    if kind not in table:
        raise ImproperlyConfigured(f"{setting} has no {kind!r}; it has {sorted(table)}.")
    try:
        return import_string(table[kind])
    except ImportError as exc:
        raise ImproperlyConfigured(f"{setting}[{kind!r}] cannot be imported: {exc}") from exc


def _forget(**_: Any) -> None:
    backend.cache_clear()


setting_changed.connect(_forget, dispatch_uid="remosa.lib.registry")  # tests override settings
