"""Sign in by username or e-mail."""

import pytest
from django.contrib.auth.hashers import MD5PasswordHasher
from django.db import IntegrityError, transaction

from platforms.authentication import UsernameOrEmailBackend
from platforms.models import User
from tests.factories import make_user

PASSWORD = "correct horse battery"


def sign_in(name: str | None, password: str | None = PASSWORD) -> User | None:
    return UsernameOrEmailBackend().authenticate(None, username=name, password=password)


@pytest.fixture
def dora(db: None) -> User:
    return make_user("dora", email="Dora@Example.org", password=PASSWORD)


@pytest.mark.parametrize("name", ["dora", "Dora@Example.org", "dora@example.org", "DORA@EXAMPLE.ORG"])
def test_both_names_open_the_door(dora: User, name: str) -> None:
    assert sign_in(name) == dora


@pytest.mark.databases
@pytest.mark.parametrize(
    "name",
    [
        "",
        None,
        "dor",
        "Dora",
        "@",
        "dora@",
        "@example.org",
        "nobody@example.org",
        "a@\x00",
        "\x00",
        "%@%",
        "_ora",
    ],
)
def test_other_names_do_not(dora: User, name: str | None) -> None:
    assert sign_in(name) is None


@pytest.mark.parametrize("password", ["", None, "wrong", PASSWORD + " ", PASSWORD.upper()])
@pytest.mark.parametrize("name", ["dora", "dora@example.org"])
def test_a_wrong_password_does_not_open(dora: User, name: str, password: str | None) -> None:
    assert sign_in(name, password) is None


@pytest.mark.parametrize("name", ["dora", "dora@example.org"])
def test_the_inactive_stay_outside(dora: User, name: str) -> None:
    User.objects.filter(pk=dora.pk).update(is_active=False)

    assert sign_in(name) is None


def test_a_name_that_looks_like_anothers_address_does_not_open_their_door(dora: User) -> None:
    make_user("dora@example.org", email="evil@example.org", password="another password")

    assert sign_in("dora@example.org", "another password") is None
    assert sign_in("dora@example.org", PASSWORD) == dora


@pytest.mark.databases
def test_an_address_belongs_to_one_person_in_any_case_of_letters(dora: User) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        make_user("other", email="dora@example.org")

    make_user("one", email="")
    make_user("two", email="")


@pytest.mark.parametrize("name", ["dora", "dora@example.org", "nobody", "nobody@example.org"])
def test_every_attempt_costs_one_password_check(
    dora: User, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that the time of an answer does not tell whether somebody exists."""
    checks = []
    encode = MD5PasswordHasher.encode
    monkeypatch.setattr(
        MD5PasswordHasher, "encode", lambda *args, **kw: checks.append(1) or encode(*args, **kw)
    )

    sign_in(name, "wrong")

    assert len(checks) == 1
