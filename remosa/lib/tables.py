"""Tables for people's spreadsheets and programs: CSV, XLSX, JSON. No cell is ever a formula."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from openpyxl import Workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE
from openpyxl.styles import Alignment, Font

FORMATS = ("csv", "xlsx", "json")
CONTENT_TYPES = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "json": "application/json",
}
BOM = "\ufeff"  # without it Excel takes UTF-8 for the machine's own code page
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
LONGEST_CELL = 32_767  # characters: the most that a spreadsheet keeps
NUMBERS = (int, float, Decimal)


@dataclass(frozen=True)
class Sheet:
    """One table: ``names`` are the columns' keys, ``titles`` what people read on top."""

    title: str
    names: Sequence[str]
    titles: Sequence[str]
    rows: Iterable[Sequence[Any]] = field(default_factory=list)


def text_of(value: Any) -> str:
    """A value as text: times in UTC, objects as JSON, nothing as nothing."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, sort_keys=True)
    return str(value)


def harmless(value: Any) -> Any:
    """A cell that a spreadsheet will not calculate: a text that looks like a formula begins with an apostrophe."""
    if isinstance(value, NUMBERS) and not isinstance(value, bool):
        return value
    text = text_of(value)
    return f"'{text}" if text.lstrip(" ").startswith(FORMULA_STARTS) else text


def csv_lines(sheet: Sheet) -> Iterator[str]:
    """The sheet as CSV, line by line."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow([harmless(title) for title in sheet.titles])
    yield BOM + buffer.getvalue()
    for row in sheet.rows:
        buffer.seek(0)
        buffer.truncate()
        writer.writerow([harmless(value) for value in row])
        yield buffer.getvalue()


def json_lines(sheet: Sheet) -> Iterator[str]:
    """The sheet as a JSON array of objects, object by object."""
    before = "["
    for row in sheet.rows:
        entry = {name: _json(value) for name, value in zip(sheet.names, row, strict=True)}
        yield before + json.dumps(entry, ensure_ascii=False)
        before = ",\n"
    yield "[]" if before == "[" else "]"


def _json(value: Any) -> Any:
    return (
        value
        if value is None or isinstance(value, bool | int | float | str | dict | list)
        else text_of(value)
    )


def xlsx_bytes(sheets: Sequence[Sheet]) -> bytes:
    """The sheets as one workbook. Texts are texts, whatever they look like."""
    book = Workbook(write_only=True)
    for sheet in sheets:
        page = book.create_sheet(sheet.title[:31])
        page.freeze_panes = "A2"
        page.append([_cell(page, title, bold=True) for title in sheet.titles])
        for row in sheet.rows:
            page.append([_cell(page, value) for value in row])
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


def _cell(page: Any, value: Any, *, bold: bool = False) -> Any:
    if isinstance(value, NUMBERS) and not isinstance(value, bool):
        return WriteOnlyCell(page, value=value)
    cell = WriteOnlyCell(page, value=ILLEGAL_CHARACTERS_RE.sub("\ufffd", text_of(value))[:LONGEST_CELL])
    cell.data_type = "s"
    if bold:
        cell.font = Font(bold=True)
        cell.alignment = Alignment(wrap_text=True, vertical="top")
    return cell
