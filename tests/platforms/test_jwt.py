"""JWT sign-ins: good once, ended as a family, asked anew at each use."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken

from platforms import jwt
from platforms.models import AuditEvent, TokenFamily, User
from tests.factories import make_user
from tests.together import together

pytestmark = pytest.mark.django_db
NOW = datetime.now(UTC)


@pytest.fixture
def dora(db: None) -> User:
    return make_user("dora", password="correct horse battery")


def opens(pair: dict[str, str]) -> bool:
    return jwt.person_of(AccessToken(pair["access"])) is not None


def test_a_refresh_token_gives_the_next_pair(dora: User) -> None:
    first = jwt.sign_in(dora)
    second = jwt.renew(first["refresh"], now=NOW)

    assert opens(first)
    assert opens(second)
    assert second["refresh"] != first["refresh"]


def test_a_refresh_token_that_comes_back_ends_the_whole_family(dora: User) -> None:
    first, other = jwt.sign_in(dora), jwt.sign_in(dora)
    second = jwt.renew(first["refresh"], now=NOW)

    with pytest.raises(jwt.NotGood):
        jwt.renew(first["refresh"], now=NOW)

    with pytest.raises(jwt.NotGood):
        jwt.renew(second["refresh"], now=NOW)
    assert not opens(second)
    assert opens(other), "another sign-in of the same person is another family"
    assert AuditEvent.objects.filter(verb="sign_in.reused").count() == 1


def test_signing_out_ends_the_access_token_at_once(dora: User) -> None:
    pair = jwt.sign_in(dora)

    jwt.revoke(pair["refresh"], now=NOW)

    assert not opens(pair)


@pytest.mark.parametrize("loss", ["password", "inactive", "epoch", "deleted"])
def test_nothing_outlives_the_right(dora: User, loss: str) -> None:
    pair = jwt.sign_in(dora)

    if loss == "password":
        dora.set_password("another horse battery")
        dora.save()
    elif loss == "inactive":
        User.objects.filter(pk=dora.pk).update(is_active=False)
    elif loss == "epoch":
        User.objects.filter(pk=dora.pk).update(access_epoch=1)
    else:
        dora.delete()

    assert not opens(pair)
    with pytest.raises(jwt.NotGood):
        jwt.renew(pair["refresh"], now=NOW)


@pytest.mark.parametrize("forged", ["", "x", "a.b.c", "eyJhbGciOiJub25lIn0.e30."])
def test_what_is_no_token_is_not_good(dora: User, forged: str) -> None:
    with pytest.raises(jwt.NotGood):
        jwt.renew(forged, now=NOW)
    jwt.revoke(forged, now=NOW)


@pytest.mark.parametrize("family", [None, "", "x", 7, "0" * 32, "é" * 32, ["a"]])
def test_a_token_of_no_family_of_ours_speaks_for_nobody(dora: User, family: object) -> None:
    token = AccessToken()
    token[jwt.FAMILY] = family
    refresh = RefreshToken()
    refresh[jwt.FAMILY] = family

    assert jwt.person_of(token) is None
    with pytest.raises(jwt.NotGood):
        jwt.renew(str(refresh), now=NOW)


def test_an_access_token_does_not_renew(dora: User) -> None:
    with pytest.raises(jwt.NotGood):
        jwt.renew(jwt.sign_in(dora)["access"], now=NOW)


def test_no_token_lies_in_the_table(dora: User) -> None:
    pair = jwt.sign_in(dora)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {TokenFamily._meta.db_table}")  # noqa: S608
        rows = str(cursor.fetchall())

    assert not any(text in rows or text.rpartition(".")[2] in rows for text in pair.values())


def test_families_that_nobody_can_use_are_forgotten_at_the_next_sign_in(dora: User) -> None:
    jwt.sign_in(dora)
    TokenFamily.objects.update(expires_at=NOW - timedelta(days=2))

    jwt.sign_in(dora)

    assert TokenFamily.objects.count() == 1


@pytest.mark.databases
@pytest.mark.django_db(transaction=True)
def test_of_four_who_come_with_one_token_at_most_one_is_answered(db: None) -> None:
    pair = jwt.sign_in(make_user("dora"))

    def renew(_number: int) -> bool:
        try:
            return bool(jwt.renew(pair["refresh"], now=NOW))
        except jwt.NotGood:
            return False

    assert sum(answer is True for answer in together(4, renew)) <= 1
    assert TokenFamily.objects.get().revoked_why == jwt.REUSED
