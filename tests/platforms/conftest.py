"""Also the API's caller and the console's: people are managed there too."""

from tests.api.conftest import api
from tests.console.conftest import browser_of

__all__ = ["api", "browser_of"]
