"""Nothing secret survives redaction, and what is not secret stays readable."""

import io
import logging
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remosa.lib.redact import MASK, RedactingFilter, mask_mapping, mask_msisdn, redact

CANARY = "s3cr3t-C4n4ry"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("sent to +79001234567.", "sent to +7******4567."),
        ("sent to 89001234567", "sent to 8******4567"),
        ("+7 (900) 123-45-67 called", "+7******4567 called"),
        ("8 (900) 123-45-67", "8******4567"),
        ("/send?phone=%2B79001234567&text=x", "/send?phone=+7******4567&text=x"),
        ("phone=79001234567", "phone=7******4567"),
        ("[79001234567, 79001234568]", "[7******4567, 7******4568]"),
        ("sms79001234567x", "sms7******4567x"),
        ("+4915123456789", "+4********6789"),
    ],
)
def test_of_a_phone_number_only_the_ends_are_left(text: str, shown: str) -> None:
    assert redact(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        f"Authorization: Bearer {CANARY}",
        f"authorization: Basic {CANARY}==",
        f"{{'Authorization': 'Token {CANARY}'}}",
        f"Proxy-Authorization: Digest {CANARY}",
        f"Cookie: sessionid={CANARY}; other={CANARY}",
        f"Set-Cookie: sessionid={CANARY}",
        f"X-Api-Key: {CANARY}",
        f"used bearer {CANARY}",
        f"password={CANARY}",
        f"password = '{CANARY} with spaces'",
        f'"password": "{CANARY}\\" and more"',
        f'password="{CANARY} cut off',
        f"PASSWD={CANARY}",
        f"db_password={CANARY}",
        f"https://api.test/v1?key={CANARY}&x=1",
        f"https://api.test/v1?x=1&api_key={CANARY}",
        f"apiKey: {CANARY}",
        f"token={CANARY}",
        f"access_token: {CANARY}",
        f"refreshToken={CANARY}",
        f"client_secret={CANARY}",
        f"private-key={CANARY}",
        f"rms_{CANARY}",
        f"/platforms/1/metrics?t=rms_{CANARY}",
        f"postgres://remosa:{CANARY}@db:5432/remosa",
        f"redis://:{CANARY}@cache/0",
    ],
)
def test_secrets_are_masked(text: str) -> None:
    shown = redact(text)

    assert CANARY not in shown
    assert "C4n4ry" not in shown
    assert MASK in shown


@pytest.mark.parametrize(
    "text",
    [
        "command=17 from=queued to=sent gateway=3 parts=2",
        "2026-11-20T19:31:07.123Z INFO sms.services sms=12345678901 attempt 7 2026-11-20 19:31:07",
        "https://cms.test:8443/api/v1/players?page=2",
        "device 550e8400-e29b-41d4-a716-446655440000 at 192.0.2.17:8080",
        "0.79001234567 and 1700000000000",
        "the tokeniser keyed the passport",
        "idem_key job:7 dedupe_key=admin:5",
        "",
    ],
)
def test_what_is_no_secret_stays_readable(text: str) -> None:
    assert redact(text) == text


@given(st.text(max_size=300))
def test_redaction_is_idempotent(text: str) -> None:
    once = redact(text)

    assert redact(once) == once


@pytest.mark.parametrize(
    "text",
    [
        "a" * 200_000,
        "password" * 25_000,
        'password="' * 20_000,
        "a." * 100_000,
        "+7 " * 60_000,
        "7 " * 100_000,
        "7" * 200_000,
        "Bearer " + "a" * 200_000,
        "a:" * 100_000,
        "x://" * 50_000,
        "\\" * 100_000 + "'" * 100_000,
    ],
    ids=lambda text: text[:10],
)
def test_no_input_makes_redaction_slow(text: str) -> None:
    started = time.perf_counter()

    redact(text)

    assert time.perf_counter() - started < 2


@pytest.mark.parametrize(
    ("msisdn", "shown"),
    [
        ("+79001234567", "+7******4567"),
        ("79001234567", "7******4567"),
        ("+12025550123", "+1******0123"),
        ("1234567", "*******"),
        ("112", "***"),
        ("", ""),
    ],
)
def test_a_masked_number_keeps_its_last_four_digits(msisdn: str, shown: str) -> None:
    assert mask_msisdn(msisdn) == shown


def test_a_mapping_is_masked_by_its_keys_to_any_depth() -> None:
    masked = mask_mapping(
        {
            "name": "north",
            "Password": CANARY,
            "api_key": CANARY,
            "X-API-Key": CANARY,
            "key": CANARY,
            "scrape_token": [CANARY, CANARY],
            "headers": {"Authorization": CANARY, "Accept": "*/*"},
            "gateways": [{"secret": CANARY, "url": f"https://u:{CANARY}@sms.test/"}],
            "msisdn": "+79001234567",
            "note": "call +79001234567",
            "body": b"token=" + CANARY.encode(),
            "status_code": 200,
            "dedupe_key": "job:1",
            "token": "",
            "has_token": True,
            "missing": None,
        }
    )

    assert CANARY not in repr(masked)
    assert "1234567" not in repr(masked)
    assert masked["headers"] == {"Authorization": MASK, "Accept": "*/*"}
    assert masked["msisdn"] == "+7******4567"
    assert (masked["name"], masked["status_code"], masked["dedupe_key"]) == ("north", 200, "job:1")
    assert (masked["token"], masked["has_token"], masked["missing"]) == ("", True, None)


def test_a_mapping_is_copied_not_changed() -> None:
    original = {"password": CANARY, "inner": {"token": CANARY}}

    mask_mapping(original)

    assert original == {"password": CANARY, "inner": {"token": CANARY}}


@pytest.fixture
def log() -> tuple[logging.Logger, io.StringIO]:
    """A logger of its own, behind the filter."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.addFilter(RedactingFilter())
    logger = logging.Logger("redaction")
    logger.addHandler(handler)
    return logger, stream


def test_the_filter_redacts_message_arguments_and_traceback(log: tuple[logging.Logger, io.StringIO]) -> None:
    logger, stream = log

    try:
        raise ValueError(f"password={CANARY} for +79001234567")
    except ValueError:
        logger.exception("could not send to %s with %s", "+79001234567", {"token": CANARY}, stack_info=True)

    shown = stream.getvalue()
    assert CANARY not in shown
    assert "1234567" not in shown
    assert "could not send to +7******4567" in shown
    assert "ValueError: password=" in shown


def test_the_filter_survives_arguments_that_do_not_fit(log: tuple[logging.Logger, io.StringIO]) -> None:
    logger, stream = log

    logger.warning("only %s", "one", f"token={CANARY}")

    assert "only %s" in stream.getvalue()
    assert CANARY not in stream.getvalue()


def test_two_numbers_side_by_side_are_both_hidden() -> None:
    shown = redact("+79161234567 79161234567")

    assert "123456" not in shown, "neither of them"
    assert shown.count("4567") == 2
