"""Bring the command catalogue from its data files into the tables."""

import json
from typing import Any

from django.db import transaction

from devices.catalogue import DATA, TemplateSpec, load_catalogue
from remosa.lib.clock import utcnow


def shipped_models() -> list[dict[str, Any]]:
    """The models of ``models.json``: code, vendor, lines (outputs), and ``rules``, what their replies mean."""
    models = json.loads((DATA / "models.json").read_text(encoding="utf-8"))
    for model in models:
        path = DATA / "replies" / f"{model.pop('replies')}.json"
        model["rules"] = json.loads(path.read_text(encoding="utf-8"))
    return models


def load_catalogue_into_tables() -> int:
    """Create or update each model and template of ``devices/data``; the number of templates. Repeatable."""
    from devices.models import CommandTemplate, DeviceModel  # also called while apps are being migrated
    from devices.services.rules import keep_version

    specs = load_catalogue()
    with transaction.atomic():
        models = {}
        for shipped in shipped_models():
            code, rules = shipped["code"], shipped["rules"]
            model, created = DeviceModel.objects.get_or_create(
                code=code,
                defaults={"vendor": shipped["vendor"], "lines": shipped["lines"], "reply_rules": rules},
            )
            if not created and not model.rules_edited and model.reply_rules != rules:
                DeviceModel.objects.filter(pk=model.pk).update(reply_rules=rules)
            models[code] = model
        _write(CommandTemplate, models, specs)
        for model in models.values():
            keep_version(model, what="REMOSA", by=None, now=utcnow())
    return len(specs)


def _write(table: Any, models: dict[str, Any], specs: list[TemplateSpec]) -> None:
    """Bring the rows up to date in few statements: this runs after every migrate."""
    known = {(row.model_id, row.key): row for row in table.objects.filter(model__in=models.values())}
    new, changed = [], []
    for spec in specs:
        model, columns = models[spec.model], _columns(spec)
        row = known.get((model.pk, spec.key))
        if row is None:
            new.append(table(model=model, key=spec.key, **columns))
        elif not row.is_edited and any(getattr(row, name) != value for name, value in columns.items()):
            for name, value in columns.items():
                setattr(row, name, value)
            changed.append(row)
    table.objects.bulk_create(new)
    if changed:
        table.objects.bulk_update(changed, list(_columns(specs[0])))


def _columns(spec: TemplateSpec) -> dict[str, Any]:
    return {
        "category": spec.category, "name_ru": spec.name_ru, "name_en": spec.name_en, "body": spec.body,
        "params": [param.to_dict() for param in spec.params], "effect": spec.effect, "power": spec.power,
        "line": spec.line, "min_role": spec.min_role, "dangerous": spec.dangerous, "source": spec.source,
    }  # fmt: skip


def load_catalogue_after_migrate(sender: Any, using: str, **kwargs: Any) -> None:
    """``post_migrate``: the catalogue is there as soon as its tables are."""
    if using == "default":
        load_catalogue_into_tables()
