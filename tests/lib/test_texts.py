"""Texts from outside are kept, whatever is in them."""

import pytest

from remosa.lib.texts import storable


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("a\x00b", "a\ufffdb"),
        ("half \ud83d", "half \ufffd"),
        ("whole 😀 привет", "whole 😀 привет"),
        ("", ""),
    ],
)
def test_what_no_database_takes_is_replaced(given: str, kept: str) -> None:
    assert storable(given) == kept
    storable(given).encode()
