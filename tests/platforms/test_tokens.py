"""Tokens: shown once, stored as hashes, found only while they live and for what they are."""

import base64
import json
import sqlite3
from datetime import timedelta
from typing import Any

import pytest
from django.core import serializers
from django.db import connection

from platforms import tokens
from platforms.models import ApiToken, AuditEvent, Platform, User
from tests.factories import NOW


@pytest.fixture
def issued(north: Platform, root: User) -> tuple[ApiToken, str]:
    return tokens.issue(name="prometheus", scopes=["scrape", "read", "read"], by=root, platform=north)


def basic(text: str, name: str = "x") -> str:
    return "Basic " + base64.b64encode(f"{name}:{text}".encode()).decode()


@pytest.mark.parametrize("shape", ["Bearer {}", "bearer  {}", "Token {}", "{}", " {} ", "TOKEN {}"])
def test_a_token_is_found_in_every_form_of_the_header(issued: tuple[ApiToken, str], shape: str) -> None:
    row, text = issued

    found = tokens.find(tokens.from_header(shape.format(text)), scope="scrape", now=NOW)

    assert found == row


def test_a_token_is_found_as_the_password_of_basic(issued: tuple[ApiToken, str]) -> None:
    row, text = issued

    assert tokens.find(tokens.from_header(basic(text)), scope="read", now=NOW) == row
    assert tokens.find(tokens.from_header(basic(text, name="")), scope="read", now=NOW) == row


def test_an_api_key_header_goes_before_the_authorization(issued: tuple[ApiToken, str]) -> None:
    _row, text = issued

    assert tokens.from_request({"X-API-Key": f" {text} ", "Authorization": "Bearer other"}) == text
    assert tokens.from_request({"Authorization": f"Bearer {text}"}) == text
    assert tokens.from_request({}) == ""


HOSTILE_HEADERS = [
    "", " ", "Bearer", "Bearer ", "Basic", "Basic !!!", "Basic é", "Basic " + "A" * 5, "Digest x", "a b c",
    basic("rms_\x00_x"), "Basic " + base64.b64encode(b"\xff\xfe:\xff").decode(), basic(""), "Basic Og==",
    "rms_000000000000_" + "A" * 100_000, "rms_' or 1=1_" + "A" * 43, "rms__", "rms_ABCDEF123456_" + "A" * 43,
    "rms_\u0660\u0661\u0662\u0663\u0664\u0665\u0666\u0667\u0668\u0669\u0660\u0661_" + "A" * 43,
]  # fmt: skip


@pytest.mark.databases
@pytest.mark.parametrize("header", HOSTILE_HEADERS)
def test_nonsense_is_no_token_and_no_error(issued: tuple[ApiToken, str], header: str) -> None:
    assert tokens.find(tokens.from_header(header), scope="read", now=NOW) is None


def test_a_token_with_one_wrong_character_is_not_found(issued: tuple[ApiToken, str]) -> None:
    _row, text = issued
    wrong = text[:-1] + ("A" if text[-1] != "A" else "B")

    assert tokens.find(wrong, scope="read", now=NOW) is None
    assert tokens.find(text + " ", scope="read", now=NOW) is None
    assert tokens.find(text.upper(), scope="read", now=NOW) is None


def test_a_token_is_not_found_for_another_scope(issued: tuple[ApiToken, str]) -> None:
    _row, text = issued

    assert tokens.find(text, scope="command", now=NOW) is None
    assert tokens.find(text, scope="", now=NOW) is None


def test_scopes_are_stored_once_and_in_order(issued: tuple[ApiToken, str]) -> None:
    assert issued[0].scopes == ["read", "scrape"]


def test_a_token_ends_at_its_end(north: Platform) -> None:
    _row, text = tokens.issue(name="t", scopes=["read"], by=None, platform=north, expires_at=NOW)

    assert tokens.find(text, scope="read", now=NOW - timedelta(seconds=1)) is not None
    assert tokens.find(text, scope="read", now=NOW) is None


def test_a_revoked_token_is_dead_at_once_and_is_revoked_once(
    issued: tuple[ApiToken, str], root: User
) -> None:
    row, text = issued

    first = tokens.revoke(row, by=root, now=NOW)
    again = tokens.revoke(row, by=root, now=NOW)

    assert (first, again) == (True, False)
    assert tokens.find(text, scope="read", now=NOW) is None
    assert AuditEvent.objects.filter(verb="token.revoked").count() == 1


def test_the_token_of_an_inactive_platform_or_person_is_not_found(
    issued: tuple[ApiToken, str], north: Platform, alice: User
) -> None:
    _own, text_of_alice = tokens.issue(name="t", scopes=["read"], by=alice, user=alice)

    Platform.objects.filter(pk=north.pk).update(is_active=False)
    User.objects.filter(pk=alice.pk).update(is_active=False)

    assert tokens.find(issued[1], scope="read", now=NOW) is None
    assert tokens.find(text_of_alice, scope="read", now=NOW) is None


def test_last_used_is_written_at_most_once_a_minute(
    issued: tuple[ApiToken, str], django_assert_num_queries: Any
) -> None:
    row, text = issued
    tokens.find(text, scope="read", now=NOW)

    with django_assert_num_queries(1):  # the look-up, and no write
        tokens.find(text, scope="read", now=NOW + timedelta(seconds=59))
    row.refresh_from_db()
    first = row.last_used_at
    tokens.find(text, scope="read", now=NOW + timedelta(seconds=61))
    row.refresh_from_db()

    assert (first, row.last_used_at) == (NOW, NOW + timedelta(seconds=61))


def judged(text: str) -> int | None:
    """What a machine is told of its token, by the row that it names."""
    lookup = tokens.lookup_of(text)
    row = ApiToken.objects.filter(lookup=lookup).values_list(*tokens.MACHINE).first() if lookup else None
    return tokens.judged(text, row, scope="scrape", now=NOW) if row else None


@pytest.mark.django_db(transaction=True)
def test_a_machine_does_not_wait_for_a_long_write_to_end(issued: tuple[ApiToken, str]) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("only SQLite has one writer at a time")
    row, text = issued
    connection.cursor().execute("PRAGMA busy_timeout = 1234")
    writer = sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")  # a large round is being stored

    during = judged(text)
    row.refresh_from_db()
    noted_during = row.last_used_at
    writer.close()
    after = judged(text)
    row.refresh_from_db()

    assert during == after == row.platform_id
    assert (noted_during, row.last_used_at) == (None, NOW)
    assert connection.cursor().execute("PRAGMA busy_timeout").fetchone() == (1234,)


def test_a_refused_token_is_not_noted_as_used(issued: tuple[ApiToken, str]) -> None:
    row, text = issued

    tokens.find(text, scope="command", now=NOW)

    row.refresh_from_db()
    assert row.last_used_at is None


def test_nothing_that_is_stored_can_be_used_as_a_token(issued: tuple[ApiToken, str]) -> None:
    row, text = issued
    secret = text.split("_", 2)[2]

    dump = serializers.serialize("json", [*ApiToken.objects.all(), *AuditEvent.objects.all()])
    values = {str(value) for entry in json.loads(dump) for value in entry["fields"].values()}

    assert secret not in dump
    assert all(
        tokens.find(guess, scope="read", now=NOW) is None
        for value in values
        for guess in (value, f"rms_{row.lookup}_{value}")
    )
    assert secret not in str(row)
    assert secret not in repr(row)


def test_two_tokens_share_nothing(north: Platform) -> None:
    made = [tokens.issue(name="t", scopes=["read"], by=None, platform=north) for _number in range(50)]

    assert len({row.lookup for row, _text in made}) == len({text for _row, text in made}) == 50
    assert all(len(text.split("_", 2)[2]) >= 43 for _row, text in made)  # 32 bytes: 256 bits


@pytest.mark.databases
def test_the_short_question_of_a_scrape_is_judged_like_the_long_one(
    north: Platform, south: Platform, alice: User, root: User
) -> None:
    soon, south.is_active = NOW + timedelta(hours=1), False
    south.save()
    texts = {
        name: tokens.issue(name=name, scopes=[scope], by=root, **fields)[1]
        for name, scope, fields in (
            ("own", "scrape", {"platform": north}), ("scope", "read", {"platform": north}),
            ("off", "scrape", {"platform": south}), ("person", "scrape", {"user": alice}),
            ("ending", "scrape", {"platform": north, "expires_at": soon}),
            ("ended", "scrape", {"platform": north, "expires_at": NOW}),
            ("revoked", "scrape", {"platform": north}),
        )
    }  # fmt: skip
    tokens.revoke(ApiToken.objects.get(name="revoked"), by=root, now=NOW)
    texts |= {
        "forged": texts["own"][:-1] + "!",
        "other": texts["own"][:-4] + "AAAA",
        "none": "",
        "NUL": "rms_\x00",
    }

    def all_judged() -> dict[str, int | None]:
        return {name: judged(text) for name, text in texts.items()}

    found = {name: tokens.find(text, scope="scrape", now=NOW) for name, text in texts.items()}
    assert all_judged() == {name: row and (row.platform_id or 0) for name, row in found.items()}
    assert {name for name, platform in all_judged().items() if platform is not None} == {
        "own",
        "person",
        "ending",
    }
    assert ApiToken.objects.get(name="own").last_used_at == NOW
    User.objects.filter(pk=alice.pk).update(is_active=False)
    assert all_judged()["person"] is None
