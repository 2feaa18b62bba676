"""A month's statement as a file."""

from django.http import HttpResponse

from platforms import ledger
from platforms.models import Platform
from remosa.lib.tables import CONTENT_TYPES, csv_lines, xlsx_bytes

FORMATS = ("xlsx", "csv")


def answer(platform: Platform, period: str, form: str, *, with_cost: bool) -> HttpResponse:
    """The statement of ``period`` (YYYY-MM). ValueError for what is no month or no form.

    XLSX holds the sums and every SMS; CSV, which has one table, every SMS and its price.
    """
    if form not in FORMATS:
        raise ValueError(form)
    period = ledger.days_of(period)[0].strftime("%Y-%m")
    sums, details = ledger.sheets_of(ledger.statement(platform, period), with_cost=with_cost)
    content = xlsx_bytes([sums, details]) if form == "xlsx" else "".join(csv_lines(details)).encode()
    headers = {
        "Content-Disposition": f'attachment; filename="statement-{platform.pk}-{period}.{form}"',
        "Cache-Control": "no-store",
    }
    return HttpResponse(content, content_type=CONTENT_TYPES[form], headers=headers)
