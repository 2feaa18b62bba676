"""Tables from people: a CSV or XLSX file as rows of text, and rows of text as such a file. Pure.

Nothing of a file is trusted: its size, what it unpacks to, its rows, columns and cells are capped before
they are read. What is written is never a formula for whoever opens it.
"""

import csv
import io
import re
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import openpyxl
from django.utils.translation import gettext as _

from remosa.lib.macs import INVISIBLE
from remosa.lib.tables import FORMULA_STARTS, harmless, text_of

MAX_BYTES = 5_000_000
MAX_UNPACKED = 20_000_000  # bytes of XML inside an XLSX
MAX_PARTS = 200  # files inside an XLSX
MAX_ROWS = 5_000
MAX_COLUMNS = 40
MAX_CELL = 300  # characters
UNSTORABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
BLANKS = re.compile(r"\s+")
ZIP_START = b"PK\x03\x04"
OLD_EXCEL = b"\xd0\xcf\x11\xe0"


class TableError(Exception):
    """The file as a whole cannot be taken; the text says why and what to do."""


class TableRow(NamedTuple):
    """One row; ``number`` as a spreadsheet shows it, 1 is the first."""

    number: int
    cells: tuple[str, ...]


def read_table(content: bytes) -> list[TableRow]:
    """The rows of a CSV or XLSX file that are not blank; TableError for what is neither, or too large."""
    if len(content) > MAX_BYTES:
        raise TableError(_("The file is larger than %(limit)d MB.") % {"limit": MAX_BYTES // 1_000_000})
    if not content.strip():
        raise TableError(_("The file is empty."))
    if content.startswith(OLD_EXCEL):
        raise TableError(_("This is an old Excel file (.xls). Save it as .xlsx or .csv."))
    rows = []
    for number, cells in enumerate(
        _xlsx(content) if content.startswith(ZIP_START) else _csv(content), start=1
    ):
        while cells and not cells[-1]:
            cells.pop()
        if cells:
            rows.append(TableRow(number, tuple(cells)))
        if len(rows) > MAX_ROWS + 1 or number > 4 * MAX_ROWS:
            raise TableError(_("The table has more than %(limit)d rows. Divide it.") % {"limit": MAX_ROWS})
    if not rows:
        raise TableError(_("The file is empty."))
    return rows


def _csv(content: bytes) -> Iterator[list[str]]:
    text = _decode(content)
    head = text.lstrip("\r\n \t").split("\n", 1)[0]
    delimiter = max(";,\t", key=head.count)  # the first of equals: Excel in Russian writes semicolons
    try:
        for cells in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter):
            if len(cells) > MAX_COLUMNS and any(cell.strip() for cell in cells[MAX_COLUMNS:]):
                raise TableError(_("The table has more than %(limit)d columns.") % {"limit": MAX_COLUMNS})
            yield [_cell(cell) for cell in cells[:MAX_COLUMNS]]
    except csv.Error as exc:
        raise TableError(_("The file cannot be read as a table: %(why)s.") % {"why": exc}) from exc


def _decode(content: bytes) -> str:
    """Text of a file that names its encoding by a BOM, or is UTF-8, or else Windows-1251 as Excel writes it."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16", errors="replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1251", errors="replace")


def _xlsx(content: bytes) -> Iterator[list[str]]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            parts = archive.infolist()
            # zipfile never unpacks more of a part than it declares here
            if len(parts) > MAX_PARTS or sum(part.file_size for part in parts) > MAX_UNPACKED:
                raise TableError(
                    _("The file unpacks to more than a table of this size needs. It was not read.")
                )
        # what a formula showed when the file was saved is taken; the formula itself is not run
        book = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=True, keep_links=False)
        sheet = book.worksheets[0]
        sheet.reset_dimensions()  # what the file says of its own size is not believed
        for cells in sheet.iter_rows(max_row=4 * MAX_ROWS + 1, max_col=MAX_COLUMNS, values_only=True):
            yield [_cell(_as_text(value)) for value in cells]
    except TableError:
        raise
    except Exception as exc:  # a damaged file breaks openpyxl in as many ways as there are bytes
        raise TableError(_("The file is damaged or is no XLSX table. Save it again, or as .csv.")) from exc


def _as_text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))  # a phone number that Excel took for a number
    return str(value)


def _cell(text: str) -> str:
    """What stands in a cell: one line, without what cannot be stored; our own apostrophe taken off again."""
    text = BLANKS.sub(" ", UNSTORABLE.sub("\ufffd", text)).strip().strip(INVISIBLE).strip()
    if text.startswith("'") and text[1:].lstrip(" ").startswith(FORMULA_STARTS):
        text = text[1:]
    return text if len(text) <= MAX_CELL else text[:MAX_CELL] + "…"


# --- writing -------------------------------------------------------------------------------------------


def safe_cell(value: object) -> str:
    """``value`` as text that no spreadsheet takes for a formula."""
    return str(harmless(UNSTORABLE.sub("\ufffd", text_of(value))))


def write_csv(rows: Iterable[Sequence[object]]) -> bytes:
    """A CSV that Excel opens with a double click: semicolons, UTF-8 with BOM."""
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=";").writerows([safe_cell(value) for value in row] for row in rows)
    return out.getvalue().encode("utf-8-sig")


def write_xlsx(rows: Iterable[Sequence[object]], *, title: str) -> bytes:
    """The same as XLSX; every cell is text."""
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet(title[:31])
    for row in rows:
        sheet.append([safe_cell(value) for value in row])
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()
