"""Tables that people open in a spreadsheet: complete, readable, and never a formula."""

import csv
import io
import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from openpyxl import load_workbook

from remosa.lib.tables import BOM, Sheet, csv_lines, harmless, json_lines, xlsx_bytes

FORMULAS = [
    "=1+1", "+7 900 123-45-67", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "  =1+1", "＝1+1", "－1",
    "=cmd|'/c calc'!A1", '=HYPERLINK("http://example.org","x")',
]  # fmt: skip
AT = datetime(2026, 3, 3, 12, tzinfo=UTC)


def sheet(rows: list[list[Any]]) -> Sheet:
    return Sheet("Лист", ["a", "b"], ["А", "=B"], rows)


def read_csv(rows: list[list[Any]]) -> list[list[str]]:
    text = "".join(csv_lines(sheet(rows)))
    assert text.startswith(BOM)
    return list(csv.reader(io.StringIO(text.removeprefix(BOM), newline="")))


@pytest.mark.parametrize("text", FORMULAS)
def test_what_looks_like_a_formula_is_text_in_csv(text: str) -> None:
    (_titles, row) = read_csv([[text, "x"]])

    assert row == [f"'{text}", "x"]


@pytest.mark.parametrize("text", FORMULAS)
def test_what_looks_like_a_formula_is_text_in_a_workbook(text: str) -> None:
    book = load_workbook(io.BytesIO(xlsx_bytes([sheet([[text, 1]])])))

    cell = book.active["A2"]
    assert cell.data_type == "s"
    assert str(cell.value).strip() == text.strip()


def test_numbers_stay_numbers_and_the_rest_is_text() -> None:
    row = [Decimal("-2.50"), {"б": 1}]

    assert read_csv([row])[1] == ["-2.50", '{"б": 1}']
    book = load_workbook(io.BytesIO(xlsx_bytes([sheet([row])])))
    assert [cell.value for cell in book.active[2]] == [-2.5, '{"б": 1}']


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, ""), (AT, "2026-03-03T12:00:00+00:00"), (True, "True"), ('a,"b"\nc', 'a,"b"\nc')],
)
def test_each_kind_of_value_has_one_text(value: Any, shown: str) -> None:
    assert read_csv([[value, "x"]])[1][0] == shown


def test_json_keeps_what_json_knows() -> None:
    rows = [["=1", {"x": [1, None]}], [AT, Decimal("1.5")]]

    assert json.loads("".join(json_lines(sheet(rows)))) == [
        {"a": "=1", "b": {"x": [1, None]}},
        {"a": "2026-03-03T12:00:00+00:00", "b": "1.5"},
    ]


def test_an_empty_table_is_still_one() -> None:
    assert json.loads("".join(json_lines(sheet([])))) == []
    assert read_csv([]) == [["А", "'=B"]]
    assert load_workbook(io.BytesIO(xlsx_bytes([sheet([])]))).active.max_row == 1


def test_a_workbook_takes_control_characters_and_very_long_texts() -> None:
    book = load_workbook(io.BytesIO(xlsx_bytes([sheet([["a\x00\x0bb", "x" * 40_000]])])))

    assert book.active["A2"].value == "a\ufffd\ufffdb"
    assert len(book.active["B2"].value) == 32_767


def test_harmless_leaves_plain_text_alone() -> None:
    assert [harmless(text) for text in ("Плеер 1", "a=b", "", "5-7")] == ["Плеер 1", "a=b", "", "5-7"]
