"""Also the API's caller: people are managed there too."""

from tests.api.conftest import api

__all__ = ["api"]
