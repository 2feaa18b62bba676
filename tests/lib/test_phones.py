"""What people write becomes E.164, and what is no subscriber's number is refused with a sentence."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remosa.lib.phones import normalise_msisdn


@pytest.mark.parametrize(
    "written",
    [
        "8 (900) 123-45-67",
        "89001234567",
        "79001234567",
        "+79001234567",
        "9001234567",
        " +7 900 123 45 67 ",
        "+7-900-123-45-67",
        "8.900.123.45.67",
        "+7\u00a0900\u00a0123\u00a045\u00a067",
    ],
)
def test_every_usual_spelling_of_a_russian_number_is_the_same_number(written: str) -> None:
    assert normalise_msisdn(written) == "+79001234567"


@pytest.mark.parametrize(
    ("written", "region", "expected"),
    [
        ("+49 1512 3456789", "RU", "+4915123456789"),
        ("01512 3456789", "DE", "+4915123456789"),
        ("+7 701 234 5678", "RU", "+77012345678"),
        ("+375 29 123-45-67", "RU", "+375291234567"),
        ("+7 495 123-45-67", "RU", "+74951234567"),
    ],
)
def test_other_countries_and_city_numbers_are_numbers_too(written: str, region: str, expected: str) -> None:
    assert normalise_msisdn(written, region=region) == expected


@pytest.mark.parametrize(
    "written",
    [
        "",
        "   ",
        "112",
        "900",
        "+7900",
        "7" * 40,
        "+79001234567890",
        "8 (800) 555-35-35",  # free-phone
        "8 809 123-45-67",  # premium
        "+8 900 123-45-67",
        "8-900-CALL-NOW",
        "+79001234567;ext=5",
        "tel:+79001234567",
        "+79001234567\n#08#1234#",
        "８９００１２３４５６７",  # full-width digits
        "٨٩٠٠١٢٣٤٥٦٧",  # Arabic-Indic digits
        "+7900123456\u200b7",
        "#12#0#5#1#",
        "*100#",
        "alice",
        "+7 900 123 45 67, +7 900 123 45 68",
        "\x00",
        "+0000000000",
    ],
)
def test_anything_else_is_refused_with_a_sentence(written: str) -> None:
    with pytest.raises(ValueError, match=r"^[A-ZА-ЯЁ].*[.]$"):
        normalise_msisdn(written)


@given(st.text(max_size=40))
def test_no_input_gives_anything_but_e164_or_a_value_error(written: str) -> None:
    try:
        msisdn = normalise_msisdn(written)
    except ValueError:
        return

    assert msisdn.startswith("+")
    assert msisdn[1:].isascii()
    assert msisdn[1:].isdigit()
    assert normalise_msisdn(msisdn) == msisdn


# --- 300 spellings -----------------------------------------------------------------------------------

NUMBERS = {  # canonical: country code, groups of the rest
    "+79001234567": ("7", ("900", "123", "45", "67")),
    "+74951234567": ("7", ("495", "123", "45", "67")),
    "+375291234567": ("375", ("29", "123", "45", "67")),
    "+77012345678": ("7", ("701", "234", "56", "78")),
    "+4915123456789": ("49", ("151", "2345", "67", "89")),
    "+998901234567": ("998", ("90", "123", "45", "67")),
}
JOINS = ("", " ", "-", ".", "\u00a0", " - ", "  ", ". ")
FORMS = (
    "+{country}{sep}{rest}",
    "+{country} ({first}) {tail}",
    " +{country}{sep}{rest} ",
    "+{country}({first}){tail}",
)


def spellings() -> list[tuple[str, str]]:
    """(as written, canonical): every number in every form with every separator, and as dialled at home."""
    found = []
    for canonical, (country, groups) in NUMBERS.items():
        for sep in JOINS:
            rest, tail = sep.join(groups), sep.join(groups[1:])
            found += [
                (form.format(country=country, sep=sep, rest=rest, first=groups[0], tail=tail), canonical)
                for form in FORMS
            ]
            if country == "7":
                first = groups[0]
                home = [f"8{sep}{rest}", f"8 ({first}) {tail}", f"7{sep}{rest}", f"8({first}){tail}"]
                home.append(f"({first}) {tail}")
                found += [(written, canonical) for written in home]
    return found


BROKEN = [
    "{}0000000", "{}a", "{}#", "{};ext=1", "tel:{}", "{},{}", "{}\n{}", "\uff0b{}", "{}\u200b", "00{}", "{}*", "*{}#",
    "++{}",
]  # fmt: skip
REFUSED = [form.format(canonical, canonical) for canonical in NUMBERS for form in BROKEN]


def test_300_spellings_are_one_number_or_refused(figure) -> None:
    wrong = [(written, right) for written, right in spellings() if normalise_msisdn(written) != right]
    taken = []
    for written in REFUSED:
        try:
            taken.append((written, normalise_msisdn(written)))
        except ValueError:
            continue

    assert wrong == []
    assert taken == []
    assert len({written for written, _right in spellings()}) >= 300
    figure("phones", f"{len(spellings())} spellings of {len(NUMBERS)} numbers, {len(REFUSED)} refused")
