"""Create, change and remove exporters: the accounts at a CMS that are polled."""

from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

from devices.services import dismiss_observer, mark_unknown
from exporters.errors import KindIsFixed
from exporters.models import Exporter
from platforms import audit
from platforms.models import Platform
from remosa.lib.clock import utcnow

ASKED_ANEW = frozenset(
    {
        "base_url", "secret", "is_enabled", "interval_s", "timeout_s", "concurrency", "rate_per_s", "config",
        "has_old_names",
    }
)  # fmt: skip


def create_exporter(
    *, platform: Platform, by: Any = None, exporter: Exporter | None = None, **fields: Any
) -> Exporter:
    """A new exporter, polled at once; ValidationError for bad fields.

    ``exporter`` may be an unsaved row that a form has filled.
    """
    row = exporter or Exporter(platform=platform, **fields)
    row.platform = platform
    with transaction.atomic():
        row.full_clean()
        row.save()
        audit.record(
            actor=actor_of(by),
            verb="exporter.created",
            target=row,
            platform=platform,
            after=_shown(row),
        )
    return row


def update_exporter(exporter: Exporter, *, by: Any = None, **fields: Any) -> Exporter:
    """Change an exporter; ``exporter`` may carry a form's changes already. Polled at once when it matters.

    ValidationError for bad fields, KindIsFixed when an exporter that has targets is to be of another kind.
    """
    for name, value in fields.items():
        setattr(exporter, name, value)
    with transaction.atomic():
        stored = Exporter.objects.select_for_update().get(pk=exporter.pk)
        if exporter.kind != stored.kind and stored.targets.exists():
            raise KindIsFixed(_("An exporter that has devices keeps its kind; create a new one instead."))
        exporter.platform_id = stored.platform_id
        if (
            stored.secret
            and exporter.secret == stored.secret
            and not same_server(exporter.base_url, stored.base_url)
        ):
            raise ValidationError(
                {
                    "secret": _(
                        "The address leads to another server: enter the API key again, it is not sent there."
                    )
                }
            )
        exporter.full_clean()
        editable = [field.name for field in Exporter._meta.fields if field.editable and not field.primary_key]
        changed = {name for name in editable if getattr(exporter, name) != getattr(stored, name)}
        if not changed:
            return exporter
        exporter.save(update_fields=sorted(changed))
        if changed & ASKED_ANEW:
            Exporter.objects.filter(pk=exporter.pk).update(next_poll_at=None)
        if stored.is_enabled and not exporter.is_enabled:
            _nobody_asks(exporter)
        before, after = audit.changes(_shown(stored), _shown(exporter))
        if "secret" in changed:
            after["secret"] = "changed"  # noqa: S105  says that, not what
        audit.record(
            actor=actor_of(by), verb="exporter.changed", target=exporter, platform=exporter.platform,
            before=before, after=after,
        )  # fmt: skip
    return exporter


def same_server(url: str, other: str) -> bool:
    """Whether both addresses lead to one server, so that a key for the one may be sent to the other."""
    try:
        return urlsplit(url)[:2] == urlsplit(other)[:2]
    except ValueError:
        return False


def remove_exporter(exporter: Exporter, *, by: Any) -> None:
    """Delete an exporter with its targets and rounds; its devices stay, and nobody knows their state."""
    with transaction.atomic():
        audit.record(
            actor=actor_of(by), verb="exporter.removed", target=exporter, platform=exporter.platform,
            before=_shown(exporter),
        )  # fmt: skip
        _nobody_asks(exporter)
        dismiss_observer(exporter.platform_id, f"exporter:{exporter.pk}")
        exporter.delete()


def poll_now(exporter: Exporter) -> None:
    """Let the next free poller take it; while a round runs, another one follows it."""
    Exporter.objects.filter(pk=exporter.pk).update(next_poll_at=None)


def actor_of(by: Any) -> audit.Actor:
    """The actor of a person, or of REMOSA itself for None."""
    return audit.person(by) if by is not None else audit.SYSTEM


def _nobody_asks(exporter: Exporter) -> None:
    mark_unknown(
        exporter.targets.values_list("device_id", flat=True), at=utcnow(), source=f"exporter:{exporter.pk}"
    )


def _shown(row: Exporter) -> dict[str, Any]:
    """What the audit sees: the editable columns, of the secret only whether there is one."""
    values = {field.name: getattr(row, field.attname) for field in Exporter._meta.fields if field.editable}
    values["secret"] = "set" if row.secret else ""
    return values
