"""The bench check of a model: read its replies, take proposed rules into use, pass, withdraw.

Until a model has passed, automation only suggests there. A socket whose firmware is known wants a check of
that firmware, as soon as any check of its model names one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from devices.bench import BenchStep, ReadStep, read_step, steps_for
from devices.errors import DevicesError
from devices.models import BenchCheck, Command, Device, DeviceModel
from devices.replies import load_rules
from devices.services.rules import keep_version
from platforms import audit


class BenchIncomplete(DevicesError):
    """The check cannot be passed yet; ``missing`` holds the keys of the steps."""

    def __init__(self, missing: Sequence[str]) -> None:
        super().__init__(_("Not every step is done."))
        self.missing = list(missing)


@dataclass(frozen=True)
class Received:
    """The newest answer that any socket of a model gave to one command."""

    text: str
    params: Mapping[str, object]
    at: datetime | None


def steps_of(model: DeviceModel) -> list[BenchStep]:
    """The steps of this model, by its commands as they are now."""
    rows = model.templates.select_related("model").order_by("category", "key")
    return steps_for([row.spec for row in rows])


def received(model: DeviceModel) -> dict[str, Received]:
    """{step: what came in} of sockets of this model, for the superadmin alone."""
    found: dict[str, Received] = {}
    rows = Command.objects.filter(template__model=model, device__model=model).exclude(reply_text="")
    for step in steps_of(model):
        if step.template is None:
            continue
        row = rows.filter(template__key=step.template.key).order_by("-replied_at").first()
        if row is not None:
            found[step.key] = Received(row.reply_text, row.params, row.replied_at)
    return found


def read_replies(model: DeviceModel, texts: Mapping[str, str]) -> list[ReadStep]:
    """Each step with what its text means by the rules in use, or the rule that is proposed for it."""
    rules = load_rules(model.reply_rules)
    came = received(model)
    read = []
    for step in steps_of(model):
        text = texts.get(step.key, "")
        known = came.get(step.key)
        sent = known.params if known is not None and known.text.strip() == text.strip() else None
        read.append(read_step(step, text, rules, sent=sent))
    return read


def use_rules(model: DeviceModel, rules: Sequence[Mapping[str, Any]], *, by: Any, now: datetime) -> None:
    """Put ``rules`` before those of the model, as a version of its own; raises ReplyRuleError."""
    with transaction.atomic():
        row = DeviceModel.objects.select_for_update().get(pk=model.pk)
        row.reply_rules = [*rules, *row.reply_rules]
        load_rules(row.reply_rules)
        row.rules_edited = True
        row.save(update_fields=["reply_rules", "rules_edited"])
        names = ", ".join(str(rule.get("name")) for rule in rules)
        keep_version(row, what=f"bench: {names}", by=by, now=now)
        audit.record(
            actor=audit.person(by), verb="devicemodel.rules_added", target=row, platform=None,
            after={"rules": names}, at=now,
        )  # fmt: skip
    model.refresh_from_db()


def pass_check(
    model: DeviceModel,
    *,
    texts: Mapping[str, str],
    seen: Sequence[str],
    firmware: str,
    by: Any,
    now: datetime,
) -> BenchCheck:
    """Write down that the model passed; from now on jobs may switch it. Raises BenchIncomplete."""
    read = read_replies(model, texts)
    missing = [
        item.step.key
        for item in read
        if not (item.is_done if item.step.template is not None else item.step.key in seen)
    ]
    if missing:
        raise BenchIncomplete(missing)
    replies = {item.step.key: item.verdict.masked_text for item in read if item.verdict is not None}
    with transaction.atomic():
        check = BenchCheck.objects.create(
            model=model, firmware=firmware.strip()[:64], replies=replies, passed_at=now, by=by
        )
        DeviceModel.objects.filter(pk=model.pk).update(bench_checked_at=now)
        audit.record(
            actor=audit.person(by), verb="devicemodel.bench_passed", target=model, platform=None,
            after={"firmware": check.firmware, "replies": replies}, at=now,
        )  # fmt: skip
    model.refresh_from_db()
    return check


def withdraw(model: DeviceModel, *, why: str, by: Any, now: datetime) -> bool:
    """Automation leaves this model to people again; False when it was so already."""
    with transaction.atomic():
        BenchCheck.objects.filter(model=model, withdrawn_at=None).update(
            withdrawn_at=now, withdrawn_why=why[:300]
        )
        was = DeviceModel.objects.filter(pk=model.pk).exclude(bench_checked_at=None)
        if not was.update(bench_checked_at=None):
            return False
        audit.record(
            actor=audit.person(by), verb="devicemodel.bench_withdrawn", target=model, platform=None,
            reason=why, at=now,
        )  # fmt: skip
    model.refresh_from_db()
    return True


def firmware_of(socket: Device) -> str:
    """The firmware as the socket said it, or as its label has it; "" when nobody knows."""
    return str(socket.facts.get("firmware") or socket.labels.get("firmware") or "")


def is_bench_checked(socket: Device) -> bool:
    """Whether automation may switch this socket by itself, as far as its model and firmware go."""
    if socket.model is None or socket.model.bench_checked_at is None:
        return False
    firmware = firmware_of(socket)
    if not firmware:
        return True
    checks = BenchCheck.objects.filter(model=socket.model, withdrawn_at=None)
    checked = set(checks.values_list("firmware", flat=True))
    return not checked or "" in checked or firmware in checked
