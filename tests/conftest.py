"""The cast, and nothing else: north belongs to alice, bob may look; charlie belongs to south."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as project
from django.utils import translation
from django_q.conf import Conf

from platforms.models import Platform, User
from tests.factories import make_platform, make_user

(project.BASE_DIR / "var").mkdir(exist_ok=True)  # the test database lives there


@pytest.fixture(scope="session")
def django_db_keepdb(copied_test_database: None) -> bool:
    """Django finds the test database made: a copy of the one that the migrations made once in this run."""
    return True


@pytest.fixture(autouse=True)
def reads_english() -> Iterator[None]:
    """Tests quote the sources; the Russian of the default language is for test_translations.py."""
    with translation.override("en"):
        yield


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


@pytest.fixture
def loop_settings(settings: Any, tmp_path: Path) -> Iterator[None]:
    """The loop in one process: the queue runs at once, the simulator on loopback may be reached."""
    settings.EGRESS_ALLOW = ["127.0.0.0/8"]
    settings.DEVICE_MINUTE_S = 0.3
    settings.COMMAND_REPLY_WAIT_S = 1.5
    settings.SMS_SPOOL_DIR = str(tmp_path / "spool")
    Conf.SYNC = True
    yield
    Conf.SYNC = False
