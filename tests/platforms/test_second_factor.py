"""The authenticator app and its recovery codes: each code once, guesses wait, nothing lies in the open."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django_otp.oath import TOTP

from platforms import jwt, second_factor
from platforms.models import Authenticator, RecoveryCode, User
from tests.factories import make_user
from tests.together import together

pytestmark = pytest.mark.django_db


@pytest.fixture
def dora(db: None) -> User:
    return make_user("dora", password="correct horse battery")


def now() -> datetime:
    return datetime.now(UTC)


def shown_by(device: Authenticator, at: datetime) -> str:
    """What the phone shows."""
    totp = TOTP(bytes.fromhex(device.key), 30, 0, 6)
    totp.time = at.timestamp()
    return f"{totp.token():06d}"


def enrolled(user: User, at: datetime) -> list[str]:
    codes = second_factor.confirm(user, shown_by(second_factor.begin(user), at), now=at)
    assert codes is not None
    return codes


def throttled(user: User) -> None:
    """As after a dozen wrong codes: the wait is longer than any test."""
    Authenticator.objects.filter(user=user).update(throttling_failure_count=12)


def unthrottled(user: User) -> None:
    """As if the wait after a wrong code were over."""
    Authenticator.objects.filter(user=user).update(throttling_failure_timestamp=now() - timedelta(hours=2))


def test_a_fitting_code_switches_the_app_on_and_gives_recovery_codes(dora: User) -> None:
    codes = enrolled(dora, now())

    assert second_factor.has_factor(dora)
    assert len(set(codes)) == second_factor.RECOVERY_CODES == second_factor.codes_left(dora)


def test_a_wrong_code_switches_nothing_on(dora: User) -> None:
    right = shown_by(second_factor.begin(dora), now())

    assert second_factor.confirm(dora, f"{(int(right) + 1) % 1_000_000:06d}", now=now()) is None
    assert not second_factor.has_factor(dora)


def test_a_code_is_taken_once(dora: User) -> None:
    at = now()
    enrolled(dora, at)
    later = at + timedelta(seconds=60)
    code = shown_by(Authenticator.objects.get(user=dora), later)

    taken = [second_factor.check(dora, code, now=later) for _ in range(2)]

    assert taken == [True, False]


@pytest.mark.parametrize(("drift_s", "good"), [(-30, True), (30, True), (-120, False), (120, False)])
def test_a_clock_half_a_minute_off_is_fine(dora: User, drift_s: int, good: bool) -> None:
    at = now()
    enrolled(dora, at - timedelta(hours=1))
    code = shown_by(Authenticator.objects.get(user=dora), at + timedelta(seconds=drift_s))

    assert second_factor.check(dora, code, now=at) is good


def test_after_a_wrong_code_even_the_right_one_waits(dora: User) -> None:
    at = now()
    enrolled(dora, at - timedelta(hours=1))
    right = shown_by(Authenticator.objects.get(user=dora), at)
    wrong = f"{(int(right) + 1) % 1_000_000:06d}"

    guessed = second_factor.check(dora, wrong, now=at)
    throttled(dora)
    waits = second_factor.check(dora, right, now=at)
    unthrottled(dora)
    waited = second_factor.check(dora, right, now=at)

    assert (guessed, waits, waited) == (False, False, True)


def test_a_recovery_code_opens_once_however_it_is_typed(dora: User) -> None:
    codes = enrolled(dora, now())

    first = second_factor.check(dora, f" {codes[0].upper().replace('-', ' ')} ", now=now())
    again = second_factor.check(dora, codes[0], now=now())

    assert (first, again) == (True, False)
    assert second_factor.codes_left(dora) == second_factor.RECOVERY_CODES - 1


def test_new_recovery_codes_end_the_old_ones(dora: User) -> None:
    old = enrolled(dora, now())
    second_factor.renew_codes(dora)

    assert second_factor.check(dora, old[0], now=now()) is False


@pytest.mark.parametrize(
    "code", ["", "      ", "abcdef", "12345", "1234567", "١٢٣٤٥٦", "-123456", "0x12ab", "\x00" * 6]
)
def test_whatever_is_typed_is_only_wrong(dora: User, code: str) -> None:
    enrolled(dora, now())

    assert second_factor.check(dora, code, now=now()) is False


def test_somebody_else_s_code_is_worth_nothing(dora: User) -> None:
    other = make_user("other")
    codes = enrolled(other, now())
    enrolled(dora, now())

    assert second_factor.check(dora, codes[0], now=now()) is False
    assert second_factor.codes_left(other) == second_factor.RECOVERY_CODES


def test_key_and_codes_lie_in_no_column(dora: User) -> None:
    key = second_factor.begin(dora).key
    codes = enrolled(dora, now())
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {Authenticator._meta.db_table}")  # noqa: S608
        rows = str(cursor.fetchall())
        cursor.execute(f"SELECT * FROM {RecoveryCode._meta.db_table}")  # noqa: S608
        rows += str(cursor.fetchall())

    assert str(key) not in rows
    assert not any(code in rows or code.replace("-", "") in rows for code in codes)


def test_setting_it_up_ends_every_other_session_and_program(dora: User) -> None:
    before, access = dora.get_session_auth_hash(), jwt.AccessToken(jwt.sign_in(dora)["access"])

    enrolled(dora, now())

    dora.refresh_from_db()
    assert dora.get_session_auth_hash() != before
    assert jwt.person_of(access) is None


def test_taking_it_off_leaves_nothing(dora: User) -> None:
    enrolled(dora, now())

    assert second_factor.remove(dora, by=dora) is True
    assert second_factor.remove(dora, by=dora) is False
    assert not Authenticator.objects.exists()
    assert not RecoveryCode.objects.exists()


@pytest.mark.databases
@pytest.mark.django_db(transaction=True)
def test_two_who_come_with_one_code_are_one(db: None) -> None:
    dora = make_user("dora")
    codes = enrolled(dora, now())

    taken = together(4, lambda _number: second_factor.check(dora, codes[0], now=now()))

    assert sorted(map(bool, taken)) == [False, False, False, True]
