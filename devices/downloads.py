"""Tables as files that a browser saves."""

from collections.abc import Iterable, Sequence

from django.http import HttpResponse
from django.utils.text import slugify

from devices.tables import write_csv, write_xlsx

XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


def table_answer(rows: Iterable[Sequence[object]], *, form: str, name: str) -> HttpResponse:
    """``rows`` as a file to save: XLSX unless ``form`` is ``csv``."""
    if form == "csv":
        answer = HttpResponse(write_csv(rows), content_type="text/csv; charset=utf-8")
    else:
        form, answer = "xlsx", HttpResponse(write_xlsx(rows, title="REMOSA"), content_type=XLSX)
    name = slugify(name) or "devices"
    answer["Content-Disposition"] = f'attachment; filename="{name}.{form}"'
    answer["X-Content-Type-Options"] = "nosniff"
    return answer
