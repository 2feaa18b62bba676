"""A caller of the API."""

from collections.abc import Callable

import pytest
from django.core.cache import cache
from rest_framework.test import APIClient

from platforms.models import User

BACKEND = "platforms.authentication.UsernameOrEmailBackend"
Call = Callable[[User | None], APIClient]


@pytest.fixture(autouse=True)
def _fresh_throttles() -> None:
    """Nobody starts with the calls of the test before."""
    cache.clear()


@pytest.fixture
def api() -> Call:
    """``api(alice)`` calls with alice's session; ``api(None)`` with nobody's."""

    def call_as(user: User | None) -> APIClient:
        client = APIClient(headers={"accept-language": "en"})
        if user is not None:
            client.force_login(user, backend=BACKEND)
        return client

    return call_as
