"""Reply rules and templates that people edit: try, keep, restore."""

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Max
from django.utils.translation import gettext as _

from devices.errors import CommandInvalid
from devices.models import CatalogueVersion, CommandTemplate, Device, DeviceModel, OwnReplyRule
from devices.replies import ReplyRule, ReplyRuleError, ReplyVerdict, load_rules, read_reply
from platforms import audit
from platforms.models import Platform

logger = logging.getLogger(__name__)
TEMPLATE_COLUMNS = (
    "key", "category", "name_ru", "name_en", "body", "params", "effect", "power", "line", "min_role", "dangerous",
    "source",
)  # fmt: skip


def rules_for(device: Device) -> list[ReplyRule]:
    """The rules by which a text of ``device`` is read: its platform's own, then its model's."""
    if device.model is None:
        return []
    own = OwnReplyRule.objects.filter(platform=device.platform_id, model=device.model_id)
    readable = []
    for row in own:
        try:
            readable.append(ReplyRule.from_dict(row.rule))
        except ReplyRuleError:  # it was checked when it was written: the form of rules has changed since
            logger.warning("own rule unreadable id=%s", row.pk)
    return [*readable, *load_rules(device.model.reply_rules)]


def try_reply(
    model: DeviceModel, *, text: str, template_key: str = "", rules: list[Mapping[str, Any]] | None = None
) -> ReplyVerdict:
    """What ``text`` would mean, by the model's rules or by a draft of them; nothing is written.

    Raises ReplyRuleError for a bad draft, CommandInvalid for a template that the model does not have.
    """
    known = load_rules(model.reply_rules if rules is None else rules)
    awaited = None
    if template_key:
        template = model.templates.select_related("model").filter(key=template_key).first()
        if template is None:
            raise CommandInvalid(template_key, fields={"template": template_key})
        awaited = template.spec
    return read_reply(text, known, awaiting=awaited)


def make_rule(
    *, platform: Platform, model: DeviceModel, rule: Mapping[str, Any], text: str, by: Any, now: datetime
) -> OwnReplyRule:
    """A rule of this platform for its devices of ``model``; it must match ``text``, from which it was made.

    Raises ReplyRuleError, which says what to change.
    """
    checked = ReplyRule.from_dict(rule)
    if read_reply(text, [checked], awaiting=None).kind == "unrecognised":
        raise ReplyRuleError(_("rule %(name)s: its pattern does not match the text") % {"name": checked.name})
    with transaction.atomic():
        row, created = OwnReplyRule.objects.update_or_create(
            platform=platform, model=model, name=checked.name,
            defaults={"rule": checked.to_dict(), "created_by": by, "created_at": now},
        )  # fmt: skip
        audit.record(
            actor=audit.person(by), verb="reply_rule.made" if created else "reply_rule.changed", target=row,
            platform=platform, after={"model": model.code, "rule": row.rule}, at=now,
        )  # fmt: skip
    return row


# --- versions --------------------------------------------------------------------------------------


def content_of(model: DeviceModel) -> dict[str, Any]:
    """Templates and rules of a model, as one value."""
    rows = CommandTemplate.objects.filter(model=model).order_by("key").values(*TEMPLATE_COLUMNS)
    return {"templates": list(rows), "rules": model.reply_rules}


def keep_version(model: DeviceModel, *, what: str, by: Any, now: datetime) -> CatalogueVersion | None:
    """Write down what the model understands from now on; None when that is what the last version says."""
    with transaction.atomic():
        model = DeviceModel.objects.select_for_update().get(pk=model.pk)
        content = content_of(model)
        last = CatalogueVersion.objects.filter(model=model).order_by("-number").first()
        if last is not None and last.content == content:
            return None
        number = CatalogueVersion.objects.filter(model=model).aggregate(top=Max("number"))["top"] or 0
        return CatalogueVersion.objects.create(
            model=model, number=number + 1, what=what[:200], by=by, at=now, content=content
        )


def restore_version(version: CatalogueVersion, *, by: Any, now: datetime) -> None:
    """Make templates and rules of the model what they were; a command that did not exist then is kept."""
    with transaction.atomic():
        model = DeviceModel.objects.select_for_update().get(pk=version.model_id)
        for columns in version.content["templates"]:
            found = CommandTemplate.objects.filter(model=model, key=columns["key"])
            if not found.update(**columns, is_edited=True):
                CommandTemplate.objects.create(model=model, is_edited=True, **columns)
        model.reply_rules, model.rules_edited = version.content["rules"], True
        model.save(update_fields=["reply_rules", "rules_edited"])
        audit.record(
            actor=audit.person(by), verb="devicemodel.restored", target=model, platform=None,
            after={"version": version.number}, at=now,
        )  # fmt: skip
        keep_version(model, what=f"version {version.number} restored", by=by, now=now)
