"""The audit as a table that can be taken away: CSV, XLSX or JSON, as much of it as the reader sees."""

from collections.abc import Callable, Iterator
from typing import Any

from django.db import models
from django.http import HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.utils.translation import gettext as _

from platforms import audit
from platforms.api.serializers import masked_value
from platforms.models import AuditEvent, Platform
from remosa.lib.tables import CONTENT_TYPES, FORMATS, Sheet, csv_lines, json_lines, xlsx_bytes

MOST_IN_A_WORKBOOK = 100_000
COLUMNS = (
    "seal_number", "at", "platform", "actor_kind", "actor_label", "verb", "target_type", "target_id", "target_label",
    "before", "after", "reason", "request_id", "cause_id", "address", "id", "seal",
)  # fmt: skip
MASKED = ("actor_label", "target_label", "before", "after", "reason")
ReadsAll = Callable[[int | None], bool]


class TooMany(Exception):
    """More lines than a workbook takes; the sentence says what to do."""


def answer(rows: models.QuerySet[AuditEvent], form: str, *, by: Any, reads_all: ReadsAll) -> HttpResponseBase:
    """The lines as a download, and a line in the audit that says who took them.

    ``reads_all(platform_id)``: whether the reader sees phone numbers and addresses there. Raises
    ValueError for a form that there is not, TooMany for a workbook that would not open.
    """
    if form not in FORMATS:
        raise ValueError(form)
    count = rows.count()
    if form == "xlsx" and count > MOST_IN_A_WORKBOOK:
        raise TooMany(
            _("A workbook takes %(most)d lines, these are %(count)d. Narrow the list, or choose CSV or JSON.")
            % {"most": MOST_IN_A_WORKBOOK, "count": count}
        )
    audit.record(
        actor=audit.person(by), verb="audit.exported", platform=_only_platform(rows),
        after={"lines": count, "format": form},
    )  # fmt: skip
    titles = [str(AuditEvent._meta.get_field(name).verbose_name) for name in COLUMNS]
    sheet = Sheet(_("Audit"), COLUMNS, titles, _cells(rows, reads_all))
    headers = {
        "Content-Disposition": f'attachment; filename="audit.{form}"', "Cache-Control": "no-store",
    }  # fmt: skip
    if form == "xlsx":
        return HttpResponse(xlsx_bytes([sheet]), content_type=CONTENT_TYPES[form], headers=headers)
    lines = csv_lines(sheet) if form == "csv" else json_lines(sheet)
    return StreamingHttpResponse(
        (line.encode() for line in lines), content_type=CONTENT_TYPES[form], headers=headers
    )


def _only_platform(rows: models.QuerySet[AuditEvent]) -> Platform | None:
    """The platform of all these lines; None when there are several, or none."""
    found = list(rows.order_by().values_list("platform", flat=True).distinct()[:2])
    return Platform.objects.filter(pk=found[0]).first() if len(found) == 1 else None


def _cells(rows: models.QuerySet[AuditEvent], reads_all: ReadsAll) -> Iterator[list[Any]]:
    known: dict[int | None, bool] = {}
    for line in rows.select_related("platform").iterator(chunk_size=1000):
        if line.platform_id not in known:
            known[line.platform_id] = reads_all(line.platform_id)
        values = {name: getattr(line, name) for name in COLUMNS}
        values["platform"] = str(line.platform) if line.platform_id else None
        if not known[line.platform_id]:
            values |= {name: masked_value(values[name]) for name in MASKED} | {"address": None}
        yield [values[name] if name != "id" else str(line.pk) for name in COLUMNS]
