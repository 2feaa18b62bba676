"""The door: a name or an e-mail, the right page behind it, the reader's language."""

from collections.abc import Callable

import pytest
from django.test import Client
from django.urls import reverse

from platforms.models import Platform, User
from tests.factories import make_user

Pages = Callable[[User], Client]
PASSWORD = "correct horse battery"


@pytest.fixture
def nina(north: Platform) -> User:
    return make_user("nina", platform=north, role="viewer", password=PASSWORD, email="Nina@Example.org")


@pytest.mark.parametrize("name", ["nina", "nina@example.org", "NINA@EXAMPLE.ORG"])
def test_name_and_e_mail_both_open(name: str, nina: User, client: Client):
    answer = client.post("/admin/login/", {"username": name, "password": PASSWORD})

    assert (answer.status_code, answer.url) == (302, "/admin/")


def test_a_wrong_password_is_a_sentence(nina: User, client: Client):
    answer = client.post("/admin/login/", {"username": "nina", "password": "wrong"})

    assert answer.status_code == 200
    assert answer.context["form"].non_field_errors()


def test_the_page_that_was_asked_for_is_opened(nina: User, client: Client):
    asked = client.get("/admin/devices/device/?kind__exact=player")
    door = client.get(asked.url)
    answer = client.post(asked.url, {"username": "nina", "password": PASSWORD, "next": door.context["next"]})

    assert answer.url == "/admin/devices/device/?kind__exact=player"


def test_a_foreign_next_is_ignored(nina: User, client: Client):
    answer = client.post(
        "/admin/login/", {"username": "nina", "password": PASSWORD, "next": "https://evil.example.org/"}
    )

    assert answer.url == "/admin/"


def test_somebody_without_a_platform_is_not_let_in(db: None, client: Client):
    make_user("nobody", password=PASSWORD)

    answer = client.post("/admin/login/", {"username": "nobody", "password": PASSWORD})

    assert answer.status_code == 200
    assert "_auth_user_id" not in client.session


def test_the_language_is_switched_and_remembered(nina: User, browser_of: Pages):
    client = browser_of(nina)

    answer = client.post(reverse("admin:set_language"), {"language": "ru", "next": "/admin/"})

    nina.refresh_from_db()
    assert (answer.status_code, nina.language) == (302, "ru")
    assert client.get("/admin/").headers["Content-Language"] == "ru"


def test_a_language_that_there_is_not_changes_nothing(nina: User, browser_of: Pages):
    client = browser_of(nina)

    client.post(reverse("admin:set_language"), {"language": "xx", "next": "/admin/"})

    nina.refresh_from_db()
    assert nina.language == "en"


def test_people_change_their_own_settings_and_nothing_else(nina: User, browser_of: Pages):
    form = {
        "first_name": "Nina", "last_name": "N", "email": "n@example.org", "language": "en", "time_zone": "Asia/Omsk",
        "is_superuser": "on", "is_staff": "", "username": "root",
    }  # fmt: skip

    browser_of(nina).post(reverse("admin:my_settings"), form)

    nina.refresh_from_db()
    assert (nina.first_name, nina.time_zone) == ("Nina", "Asia/Omsk")
    assert (nina.username, nina.is_superuser, nina.is_staff) == ("nina", False, True)


def test_a_time_zone_that_there_is_not_is_a_sentence(nina: User, browser_of: Pages):
    form = {"first_name": "", "last_name": "", "email": "", "language": "en", "time_zone": "Mars/Olympus"}

    answer = browser_of(nina).post(reverse("admin:my_settings"), form)

    assert answer.status_code == 400
    assert "time_zone" in answer.context["form"].errors


@pytest.mark.parametrize(("path", "status"), [("/admin/nowhere/", 404), ("/nowhere", 404)])
def test_what_is_not_there_is_said_in_words(path: str, status: int, nina: User, browser_of: Pages):
    answer = browser_of(nina).get(path)

    assert answer.status_code == status
    assert "There is no such page" in answer.content.decode()
