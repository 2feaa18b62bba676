"""The cast, and nothing else: north belongs to alice, bob may look; charlie belongs to south."""

import pytest
from django.conf import settings

from platforms.models import Platform, User
from tests.factories import make_platform, make_user

(settings.BASE_DIR / "var").mkdir(exist_ok=True)  # the test database lives there


@pytest.fixture
def north(db: None) -> Platform:
    return make_platform("north")


@pytest.fixture
def south(db: None) -> Platform:
    return make_platform("south")


@pytest.fixture
def alice(north: Platform) -> User:
    """Admin of north."""
    return make_user("alice", platform=north, role="admin")


@pytest.fixture
def bob(north: Platform) -> User:
    """Viewer of north."""
    return make_user("bob", platform=north, role="viewer")


@pytest.fixture
def charlie(south: Platform) -> User:
    """Admin of south; must never find anything of north."""
    return make_user("charlie", platform=south, role="admin")


@pytest.fixture
def root(db: None) -> User:
    """The superadmin."""
    return User.objects.create_superuser("root", email="root@example.org", password=None)
