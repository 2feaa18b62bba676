"""At the door: guessing is locked out, a second factor is asked for, an old session says again who it is."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from devices.models import Command
from platforms import second_factor
from platforms.console.confirmation import KEY
from platforms.models import AuditEvent, Platform, User
from tests.console.world import World
from tests.factories import make_user
from tests.platforms.test_second_factor import enrolled, shown_by, unthrottled

Pages = Callable[[User], Client]
PASSWORD = "correct horse battery"
LOGIN, CODE = "/admin/login/", "/admin/login/code/"


@pytest.fixture
def nina(north: Platform) -> User:
    return make_user(
        "nina", platform=north, role="manager", password=PASSWORD, email="Nina@Example.org", language="en"
    )


@pytest.fixture
def guarded(settings: Any) -> Any:
    """Lock-out as in production, with smaller numbers."""
    settings.AXES_ENABLED = True
    settings.AXES_FAILURE_LIMIT = 3
    settings.SIGN_IN_FAILURES_PER_ACCOUNT = 6
    settings.SIGN_IN_FAILURES_PER_ADDRESS = 8
    return settings


def knock(name: str, password: str = "wrong", *, address: str = "192.0.2.1", **headers: str) -> int:
    form = {"username": name, "password": password}
    return Client().post(LOGIN, form, REMOTE_ADDR=address, headers=headers).status_code


# --- lock-out ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["nina", "nobody"])
def test_a_guesser_is_locked_out_whether_the_account_exists_or_not(
    guarded: Any, nina: User, name: str
) -> None:
    answers = [knock(name) for _ in range(4)]

    assert answers == [200, 200, 429, 429]


def test_the_right_password_does_not_open_while_it_lasts(guarded: Any, nina: User) -> None:
    for _ in range(3):
        knock("nina")

    assert knock("nina", PASSWORD) == 429
    assert knock("nina", PASSWORD, address="192.0.2.9") == 302, "and somebody elsewhere still gets in"


def test_all_spellings_of_an_account_are_one_account(guarded: Any, nina: User) -> None:
    answers = [knock(name) for name in ("nina", "NINA@example.org", "nina@example.ORG")]

    assert answers == [200, 200, 429]


def test_a_spoofed_address_changes_nothing_without_a_proxy(guarded: Any, nina: User) -> None:
    answers = [knock("nina", **{"X-Forwarded-For": f"203.0.113.{n}"}) for n in range(4)]

    assert answers == [200, 200, 429, 429]


def test_behind_a_proxy_its_own_entry_counts_and_the_caller_s_does_not(guarded: Any, nina: User) -> None:
    guarded.TRUSTED_PROXIES = 1
    guesser = [knock("nina", **{"X-Forwarded-For": f"6.6.6.{n}, 203.0.113.9"}) for n in range(4)]

    assert guesser == [200, 200, 429, 429]
    assert knock("nina", PASSWORD, **{"X-Forwarded-For": "203.0.113.9, 203.0.113.77"}) == 302


def test_an_account_is_locked_for_guessers_at_many_addresses(guarded: Any, nina: User) -> None:
    for n in range(6):
        knock("nina", address=f"192.0.2.{n + 1}")

    assert knock("nina", PASSWORD, address="192.0.2.99") == 429


def test_an_address_is_locked_that_tries_many_accounts(guarded: Any, nina: User) -> None:
    for n in range(8):
        knock(f"name{n}")

    assert knock("nina", PASSWORD) == 429


def test_success_forgives_the_slips_before_it(guarded: Any, nina: User) -> None:
    for _ in range(3):
        knock("nina")
        knock("nina")
        assert knock("nina", PASSWORD) == 302


def test_one_lock_for_the_console_and_the_api(guarded: Any, nina: User) -> None:
    for _ in range(3):
        knock("nina")
    body = {"username": "nina", "password": PASSWORD}

    answer = Client().post(
        "/api/v1/auth/token/", body, content_type="application/json", REMOTE_ADDR="192.0.2.1"
    )

    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "too_many")
    assert answer["Retry-After"] == "900"


# --- the second step -----------------------------------------------------------------------------


def test_a_code_is_asked_for_and_opens(nina: User, client: Client) -> None:
    at = datetime.now(UTC)
    enrolled(nina, at - timedelta(hours=1))

    first = client.post(f"{LOGIN}?next=/admin/devices/device/", {"username": "nina", "password": PASSWORD,
                                                                 "next": "/admin/devices/device/"})  # fmt: skip
    inside = client.get("/admin/").status_code
    second = client.post(CODE, {"code": shown_by(nina.authenticators.get(), datetime.now(UTC))})

    assert (first.url, inside) == (CODE, 302), "the password alone opens nothing"
    assert second.url == "/admin/devices/device/"
    assert client.get("/admin/").status_code == 200


def test_a_recovery_code_opens_too(nina: User, client: Client) -> None:
    codes = enrolled(nina, datetime.now(UTC))

    client.post(LOGIN, {"username": "nina", "password": PASSWORD})

    assert client.post(CODE, {"code": codes[3]}).url == "/admin/"


def test_guessing_codes_is_locked_out(guarded: Any, nina: User) -> None:
    codes = enrolled(nina, datetime.now(UTC))
    client = Client()
    client.post(LOGIN, {"username": "nina", "password": PASSWORD})

    answers = [client.post(CODE, {"code": "aaaa-bbbb-cccc"}).status_code for _ in range(3)]
    unthrottled(nina)

    assert answers == [200, 200, 429]
    assert client.post(CODE, {"code": codes[0]}).status_code == 429
    assert "_auth_user_id" not in client.session


@pytest.mark.parametrize("change", ["nothing", "late", "password", "dismissed"])
def test_the_second_step_needs_a_first_one_that_is_still_true(
    nina: User, client: Client, change: str
) -> None:
    codes = enrolled(nina, datetime.now(UTC))
    if change != "nothing":
        client.post(LOGIN, {"username": "nina", "password": PASSWORD})
    if change == "late":
        session = client.session
        session["at_the_door"] |= {"at": (datetime.now(UTC) - timedelta(minutes=6)).isoformat()}
        session.save()
    elif change == "password":
        nina.set_password("another horse battery")
        nina.save()
    elif change == "dismissed":
        User.objects.filter(pk=nina.pk).update(is_active=False)

    answer = client.post(CODE, {"code": codes[0]})

    assert answer.url == LOGIN
    assert second_factor.codes_left(nina) == second_factor.RECOVERY_CODES


def test_programs_need_the_code_too(nina: User) -> None:
    codes = enrolled(nina, datetime.now(UTC))
    body = {"username": "nina", "password": PASSWORD}

    answers = [
        Client().post("/api/v1/auth/token/", body | extra, content_type="application/json").status_code
        for extra in ({}, {"code": ""}, {"code": "aaaa-bbbb-cccc"})
    ]
    unthrottled(nina)
    again = Client().post("/api/v1/auth/token/", body | {"code": codes[1]}, content_type="application/json")

    assert answers == [401, 401, 401]
    assert again.status_code == 200


# --- sessions ------------------------------------------------------------------------------------


def test_a_session_lives_thirty_days_and_has_a_new_number_after_the_door(nina: User, client: Client) -> None:
    client.get(LOGIN)
    before = client.cookies.get("sessionid")

    answer = client.post(LOGIN, {"username": "nina", "password": PASSWORD})

    cookie = answer.cookies["sessionid"]
    assert before is None or cookie.value != before.value
    assert (cookie["max-age"], cookie["httponly"], cookie["samesite"]) == (30 * 24 * 3600, True, "Lax")
    assert AuditEvent.objects.filter(verb="user.signed_in", target_id=str(nina.pk)).exists()


@pytest.mark.parametrize("end", ["password", "inactive", "everywhere"])
def test_other_sessions_die(nina: User, browser_of: Pages, end: str) -> None:
    one, other = browser_of(nina), browser_of(nina)
    if end == "password":
        nina.set_password(PASSWORD)
        nina.save()
        one = browser_of(nina)
        form = {
            "old_password": PASSWORD,
            "new_password1": "new horse battery",
            "new_password2": "new horse battery",
        }
        other = browser_of(nina)
        one.post(reverse("admin:password_change"), form)
    elif end == "inactive":
        User.objects.filter(pk=nina.pk).update(is_active=False)
    else:
        one.post(reverse("admin:my_sign_out"))

    assert other.get("/admin/").status_code == 302
    assert one.get("/admin/").status_code == (302 if end == "inactive" else 200)


# --- an old session says again who it is ------------------------------------------------------------


def aged(client: Client) -> Client:
    session = client.session
    session[KEY] = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    session.save()
    return client


@pytest.fixture
def sending(northern: World) -> tuple[str, dict[str, Any]]:
    """Where a command is sent, and the form of the last step."""
    url = reverse("admin:devices_device_send", args=[northern.socket.pk])
    return url, {"template": "status", "sending": "1", "nonce": "0" * 32, "reason": "zq why"}


def test_a_command_from_an_old_session_waits_for_the_password(
    northern: World, browser_of: Pages, sending: tuple[str, dict[str, Any]]
) -> None:
    nina = make_user("nina", platform=northern.platform, role="manager", password=PASSWORD)
    client, (url, form) = aged(browser_of(nina)), sending
    before = Command.objects.count()

    asked = client.post(url, form)
    wrong = client.post(url, form | {"_confirm_asked": "POST", "_confirm_password": "wrong"})
    still = Command.objects.count()
    right = client.post(url, form | {"_confirm_asked": "POST", "_confirm_password": PASSWORD})

    assert 'name="_confirm_password"' in asked.content.decode()
    assert 'value="zq why"' in asked.content.decode(), "what was being sent is sent along"
    assert 'name="_confirm_password"' in wrong.content.decode()
    assert (still, Command.objects.count()) == (before, before + 1)
    assert right.status_code == 302
    assert Command.objects.latest("created_at").reason == "zq why"


def test_a_fresh_session_is_not_asked(
    northern: World, alice: User, browser_of: Pages, sending: tuple[str, dict[str, Any]]
) -> None:
    url, form = sending

    assert browser_of(alice).post(url, form).status_code == 302


def test_a_code_of_the_app_confirms_as_well(northern: World, browser_of: Pages) -> None:
    nina = make_user("nina", platform=northern.platform, role="admin", password=PASSWORD)
    codes = enrolled(nina, datetime.now(UTC))
    client = aged(browser_of(nina))

    page = client.get("/admin/confirm/")
    answer = client.post("/admin/confirm/", {"_confirm_asked": "GET", "_confirm_code": codes[0]})

    assert 'name="_confirm_code"' in page.content.decode()
    assert answer.url == "/admin/confirm/"
    assert client.get("/admin/confirm/").url == "/admin/"


def test_guessing_the_confirmation_is_locked_out(guarded: Any, northern: World, browser_of: Pages) -> None:
    nina = make_user("nina", platform=northern.platform, role="admin", password=PASSWORD)
    client = aged(browser_of(nina))
    wrong = {"_confirm_asked": "GET", "_confirm_password": "wrong"}

    answers = [client.post("/admin/confirm/", wrong).status_code for _ in range(4)]

    assert answers == [200, 200, 429, 200], "and then the page says that it is locked"
    right = client.post("/admin/confirm/", wrong | {"_confirm_password": PASSWORD})
    assert "Too many wrong answers" in right.content.decode()


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("platforms_membership_add", {"platform": 0, "role": "viewer", "username": "new"}),
        ("platforms_invitation_add", {"platform": 0, "role": "viewer", "email": "new@example.org"}),
        ("platforms_apitoken_add", {"platform": 0, "name": "new", "scopes": ["edge"]}),
    ],
)
def test_people_and_tokens_wait_for_the_password(
    northern: World, alice: User, browser_of: Pages, name: str, form: dict[str, Any]
) -> None:
    client = aged(browser_of(alice))

    answer = client.post(reverse(f"admin:{name}"), form | {"platform": northern.platform.pk})

    assert 'name="_confirm_password"' in answer.content.decode()
    assert "must-revalidate" in answer["Cache-Control"] or "no-store" in answer["Cache-Control"]
    assert not User.objects.filter(username="new").exists()


def test_a_browser_program_with_an_old_session_is_told_to_confirm(
    northern: World, alice: User, browser_of: Pages
) -> None:
    client = aged(browser_of(alice))
    body = {"platform": northern.platform.pk, "name": "new"}

    read = client.get("/api/v1/sites/")
    wrote = client.post("/api/v1/sites/", body, content_type="application/json")

    assert read.status_code == 200
    assert (wrote.status_code, wrote.json()["error"]["code"]) == (403, "confirm_again")


def test_a_superadmin_takes_a_lost_app_off_and_does_not_switch_off_a_last_admin(
    northern: World, alice: User, root: User, browser_of: Pages
) -> None:
    enrolled(alice, datetime.now(UTC))
    client, page = browser_of(root), reverse("admin:platforms_user_change", args=[alice.pk])
    values = {"username": "alice", "email": alice.email, "language": "ru", "time_zone": "Europe/Moscow"}

    shown = client.get(page).content.decode()
    client.post(reverse("admin:platforms_user_take_app_off", args=[alice.pk]))
    refused = client.post(page, values)

    alice.refresh_from_db()
    assert reverse("admin:platforms_user_take_app_off", args=[alice.pk]) in shown
    assert not second_factor.has_factor(alice)
    assert alice.is_active
    assert "last admin" in str(refused.context["adminform"].form.non_field_errors())


def test_somebody_else_s_password_waits_for_the_own_one(
    northern: World, alice: User, root: User, browser_of: Pages
) -> None:
    client = aged(browser_of(root))

    answer = client.get(reverse("admin:auth_user_password_change", args=[alice.pk]))

    assert 'name="_confirm_password"' in answer.content.decode()
