"""Sources of alerts and their mappings: make, change, and try again what had no device."""

import secrets
from collections.abc import Iterable, Mapping
from typing import Any

from django.db import transaction
from django.db.models import F

from automation import prompt
from automation.alert_configs import PLACE, Config, config_of
from automation.mapping import USUAL
from automation.models import AlertMapping, AlertSource
from automation.services.intake import map_again
from platforms import audit


def create_source(source: AlertSource, *, by: Any) -> AlertSource:
    """A new source with the usual mappings, and a secret of its own unless one was given."""
    source.secret = source.secret or secrets.token_urlsafe(32)
    with transaction.atomic():
        source.full_clean()
        source.save(force_insert=True)
        AlertMapping.objects.bulk_create(
            AlertMapping(source=source, position=10 * number, by=rule.by, template=rule.template)
            for number, rule in enumerate(USUAL, start=1)
        )
        _record(source, "created", by=by, after=audit.fields_of(source))
    return source


def replace_secret(source: AlertSource, *, by: Any) -> str:
    """A new secret; the old one is refused from now on."""
    text = secrets.token_urlsafe(32)
    with transaction.atomic():
        source.secret = text
        source.save(update_fields=["secret"])
        _record(source, "secret_replaced", by=by)
    return text


def add_mapping(source: AlertSource, mapping: AlertMapping, *, by: Any, first: bool = False) -> int:
    """One more mapping; how many alerts found their device by it."""
    with transaction.atomic():
        mapping.source = source
        positions = [*source.mappings.values_list("position", flat=True), 0]
        mapping.position = 0 if first else max(positions) + 10
        mapping.full_clean()
        mapping.save()
        after = {
            "only": mapping.only,
            "by": mapping.by,
            "template": mapping.template,
            "device": mapping.device_id,
        }
        _record(source, "mapping_added", by=by, after=after)
        return _apply(source)


def set_mappings(source: AlertSource, rows: Iterable[Mapping[str, Any]], *, by: Any) -> int:
    """These mappings instead of those that there are; how many alerts found their device by them."""
    with transaction.atomic():
        source.mappings.all().delete()
        for number, values in enumerate(rows, start=1):
            mapping = AlertMapping(source=source, position=10 * number, **values)
            mapping.full_clean()
            mapping.save()
        _record(
            source, "mappings_set", by=by, after={"mappings": [str(row) for row in source.mappings.all()]}
        )
        return _apply(source)


def mappings_changed(source: AlertSource) -> int:
    """Use what stands in the table now."""
    with transaction.atomic():
        return _apply(source)


def _apply(source: AlertSource) -> int:
    AlertSource.objects.filter(pk=source.pk).update(version=F("version") + 1)
    source.refresh_from_db(fields=["version"])
    mapped = map_again(source)
    if mapped:
        platform_id = source.platform_id
        transaction.on_commit(lambda: prompt.wake(platform_id))
    return mapped


def configs_of(source: AlertSource, *, secret: str = PLACE) -> list[Config]:
    """What to paste at the other end."""
    return config_of(
        kind=source.kind, name=f"remosa-{source.name}", url=source.url, auth=source.auth, secret=secret,
        username=source.username, signature_header=source.signature_header, timestamp_header=source.timestamp_header,
    )  # fmt: skip


def _record(source: AlertSource, deed: str, *, by: Any, **values: Any) -> None:
    audit.record(
        actor=audit.person(by), verb=f"alert_source.{deed}", target=source, platform=source.platform, **values
    )
