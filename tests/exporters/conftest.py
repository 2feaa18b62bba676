"""Sentences are compared in the language of the sources, whatever the default language is."""

from collections.abc import Iterator

import pytest
from django.utils import translation


@pytest.fixture(autouse=True)
def _speak_english() -> Iterator[None]:
    with translation.override("en"):
        yield
