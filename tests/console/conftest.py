"""The cast of the console's tests at work: north's texts bear a mark that nobody else may ever read."""

from collections.abc import Callable

import pytest
from django.test import Client

from platforms.models import Platform, User
from tests.automation.conftest import receiver
from tests.console.world import World, build, sharer_of

__all__ = ["receiver"]
BACKEND = "platforms.authentication.UsernameOrEmailBackend"


@pytest.fixture
def northern(north: Platform, alice: User) -> World:
    """Everything of north."""
    return build(north, alice, "zqnorth")


@pytest.fixture
def southern(south: Platform, charlie: User) -> World:
    """Everything of south."""
    return build(south, charlie, "zqsouth")


@pytest.fixture
def uma(northern: World) -> User:
    """Sees one device of north, and nothing else of it."""
    return sharer_of(northern, "uma")


@pytest.fixture
def browser_of() -> Callable[[User], Client]:
    """``browser_of(person)``: a client in which the person has signed in, reading English."""

    def sign_in(person: User) -> Client:
        User.objects.filter(pk=person.pk).update(language="en")
        person.refresh_from_db()
        client = Client()
        client.force_login(person, backend=BACKEND)
        return client

    return sign_in
