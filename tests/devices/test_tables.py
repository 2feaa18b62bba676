"""Files of any kind become rows or one sentence; what is written is never a formula."""

import io
import random
import zipfile

import openpyxl
import pytest

from devices.tables import MAX_ROWS, TableError, read_table, safe_cell, write_csv, write_xlsx
from remosa.lib.tables import FORMULA_STARTS

ROWS = [["Площадка", "MAC"], ["Кафе «Ёж»", "02:00:00:00:00:01"]]


def cells_of(content: bytes) -> list[list[str]]:
    return [list(row.cells) for row in read_table(content)]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1251", "utf-16"])
@pytest.mark.parametrize("delimiter", [";", ",", "\t"])
def test_a_csv_is_read_in_every_usual_spelling(encoding: str, delimiter: str) -> None:
    text = "\r\n".join(delimiter.join(row) for row in ROWS)

    assert cells_of(text.encode(encoding)) == ROWS


def test_an_xlsx_is_read_and_its_numbers_are_text() -> None:
    book = openpyxl.Workbook()
    book.active.append(["phone", "line"])
    book.active.append([79001234567, 2.0])
    out = io.BytesIO()
    book.save(out)

    assert cells_of(out.getvalue()) == [["phone", "line"], ["79001234567", "2"]]


def test_rows_keep_the_numbers_of_the_spreadsheet_when_blank_ones_are_left_out() -> None:
    assert [row.number for row in read_table(b"mac\n\n;;\nx\n")] == [1, 4]


@pytest.mark.parametrize("start", FORMULA_STARTS)
@pytest.mark.parametrize("write", [write_csv, lambda rows: write_xlsx(rows, title="x")])
def test_no_cell_that_is_written_is_a_formula(start: str, write) -> None:
    content = write([["mac"], [f"{start}HYPERLINK(1)"], ["a" + start]])

    if content.startswith(b"PK"):
        sheet = openpyxl.load_workbook(io.BytesIO(content)).active
        shown = [(str(cell.value), cell.data_type) for row in sheet.iter_rows() for cell in row]
        assert all(kind == "s" and not text.startswith(FORMULA_STARTS) for text, kind in shown)
    assert safe_cell(f"{start}1").startswith("'")


def test_what_was_written_is_read_back_as_it_was() -> None:
    rows = [["phone", "name"], ["+79001234567", "=1+1"], ["-5", "@home"]]

    assert cells_of(write_csv(rows)) == rows
    assert cells_of(write_xlsx(rows, title="x")) == rows


def bomb(size: int, parts: int = 1) -> bytes:
    """An XLSX whose sheet unpacks to ``size`` bytes."""
    out = io.BytesIO(write_xlsx([["mac"]], title="x"))
    with zipfile.ZipFile(out, "a", zipfile.ZIP_DEFLATED) as archive:
        for number in range(parts):
            archive.writestr(f"xl/worksheets/more{number}.xml", b" " * (size // parts))
    return out.getvalue()


TOO_MUCH = {
    "nothing": b"",
    "blank": b"   \n",
    "old excel": b"\xd0\xcf\x11\xe0old excel",
    "no archive": b"PK\x03\x04 no archive",
    "large": b"x" * 5_000_001,
    "zip bomb": bomb(30_000_000),
    "many parts": bomb(300, parts=300),
    "many rows": ("mac\n" + "1\n" * (MAX_ROWS + 5)).encode(),
    "many blank rows": ("mac\n" + "\n" * (5 * MAX_ROWS) + "1").encode(),
    "an open quote": b'mac\n"' + b"a" * 200_000,
    "many columns": (";" * 50 + "x\n").encode(),
}


@pytest.mark.parametrize("content", TOO_MUCH.values(), ids=TOO_MUCH)
def test_what_is_too_large_or_no_table_is_refused_with_a_sentence(content: bytes) -> None:
    with pytest.raises(TableError) as caught:
        read_table(content)

    assert str(caught.value)


def test_an_xlsx_with_entities_that_multiply_is_refused() -> None:
    lol = '<!DOCTYPE l [<!ENTITY a "ha">' + "".join(
        f'<!ENTITY a{n} "{"&a" + (str(n - 1) if n > 1 else "") + ";"}">' for n in range(1, 4)
    )
    good = write_xlsx([["mac"]], title="x")
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(good)) as old, zipfile.ZipFile(out, "w") as new:
        for part in old.infolist():
            body = old.read(part)
            if part.filename == "xl/worksheets/sheet1.xml":
                body = body.replace(b"<worksheet", f"{lol}]><worksheet".encode(), 1)
            new.writestr(part, body)

    with pytest.raises(TableError):
        read_table(out.getvalue())


def fuzzed(count: int) -> int:
    """Damaged copies of good files: each is read or refused, nothing else; how many were tried."""
    dice = random.Random(4)
    rows = [
        ["site", "player", "mac", "socket", "model", "phone", "line"],
        ["s", "p", "02:00:00:00:00:01", "", "", "", ""],
    ]
    seeds = [write_csv(rows), write_xlsx(rows, title="x"), "площадка;mac\nЁ;1".encode("cp1251")]
    for _ in range(count):
        content = bytearray(dice.choice(seeds))
        for _ in range(dice.randint(1, 12)):
            at = dice.randrange(len(content))
            if dice.random() < 0.3:
                del content[at : at + dice.randint(1, 50)]
                content = content or bytearray(b"x")
            else:
                content[at] = dice.randrange(256)
        try:
            read_table(bytes(content))
        except TableError:
            continue
    return count


def test_damaged_files_are_read_or_refused(figure) -> None:
    figure("tables", f"{fuzzed(300)} damaged files, 0 other errors")


@pytest.mark.soak
def test_very_many_damaged_files_are_read_or_refused(figure) -> None:
    figure("tables", f"{fuzzed(5000)} damaged files, 0 other errors")
