"""A person's own pages: the authenticator app, tokens, phone."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client
from django.urls import reverse

from platforms import second_factor, tokens
from platforms.models import ApiToken, Authenticator, Platform, User
from tests.factories import make_user
from tests.platforms.test_second_factor import enrolled, shown_by

Pages = Callable[[User], Client]
NOW = datetime.now(UTC)


@pytest.fixture
def nina(north: Platform) -> User:
    return make_user("nina", platform=north, role="viewer", password="correct horse battery")


def test_the_page_shows_a_qr_code_and_a_fitting_code_switches_the_app_on(
    nina: User, browser_of: Pages
) -> None:
    here, elsewhere = browser_of(nina), browser_of(nina)
    url = reverse("admin:my_factor")

    page = here.get(url)
    device = Authenticator.objects.get(user=nina)
    wrong = here.post(url, {"code": "abc"})
    done = here.post(url, {"code": shown_by(device, datetime.now(UTC))})

    assert "<svg" in page.content.decode()
    assert second_factor.key_text(device) in page.content.decode()
    assert "no-store" in page["Cache-Control"]
    assert wrong.status_code == 400
    assert len(done.context["secret"].split()) == second_factor.RECOVERY_CODES
    assert (here.get("/admin/").status_code, elsewhere.get("/admin/").status_code) == (200, 302)


def test_a_reload_keeps_the_picture_and_a_set_up_app_is_not_shown_again(
    nina: User, browser_of: Pages
) -> None:
    client, url = browser_of(nina), reverse("admin:my_factor")

    first, second = client.get(url).context["key"], client.get(url).context["key"]
    enrolled(nina, datetime.now(UTC))
    after = browser_of(User.objects.get(pk=nina.pk)).get(url)

    assert first == second
    assert after.status_code == 302


def test_switching_it_off_and_new_codes(nina: User, browser_of: Pages) -> None:
    old = enrolled(nina, datetime.now(UTC))
    client = browser_of(nina)

    renewed = client.post(reverse("admin:my_codes")).context["secret"].split()
    by_get = client.get(reverse("admin:my_factor_remove")).status_code
    client.post(reverse("admin:my_factor_remove"))

    assert not set(old) & set(renewed)
    assert by_get == 405
    assert not second_factor.has_factor(nina)
    assert client.get("/admin/").status_code == 200, "this session goes on"


def test_a_token_of_one_s_own_is_shown_once_renewed_and_revoked(nina: User, browser_of: Pages) -> None:
    client = browser_of(nina)
    form = {"name": "script", "scopes": ["read"], "life": "30"}

    text = client.post(reverse("admin:my_token"), form).context["secret"]
    row = ApiToken.objects.get(name="script")
    fresh = client.post(reverse("admin:my_token_rotate", args=[row.pk])).context["secret"]
    row.refresh_from_db()
    new = ApiToken.objects.exclude(pk=row.pk).get()
    client.post(reverse("admin:my_token_revoke", args=[new.pk]))

    assert tokens.find(text, scope="read", now=NOW) == row, "the old one lasts another day"
    assert row.expires_at < datetime.now(UTC) + timedelta(days=1, minutes=1)
    assert tokens.find(fresh, scope="read", now=NOW) is None
    assert (new.user, new.platform, new.scopes) == (nina, None, ["read"])
    assert text not in client.get(reverse("admin:my_settings")).content.decode()


@pytest.mark.parametrize("scope", ["edge", "scrape", "operator", "x"])
def test_a_person_s_token_has_no_machine_s_scope(nina: User, browser_of: Pages, scope: str) -> None:
    answer = browser_of(nina).post(reverse("admin:my_token"), {"name": "x", "scopes": [scope], "life": ""})

    assert answer.status_code == 400
    assert not ApiToken.objects.exists()


@pytest.mark.parametrize("deed", ["my_token_rotate", "my_token_revoke"])
def test_other_people_s_tokens_are_not_there(nina: User, alice: User, browser_of: Pages, deed: str) -> None:
    row, text = tokens.issue(name="x", scopes=["read"], by=alice, user=alice)

    answers = [
        browser_of(nina).post(reverse(f"admin:{deed}", args=[pk])).status_code
        for pk in (row.pk, 10**6, 2**70)
    ]

    assert answers == [404, 404, 404]
    assert tokens.find(text, scope="read", now=NOW) is not None


def test_a_phone_is_stored_as_a_number(nina: User, browser_of: Pages) -> None:
    form = {"first_name": "", "last_name": "", "email": "", "language": "en", "time_zone": "Asia/Omsk"}
    client, url = browser_of(nina), reverse("admin:my_settings")

    wrong = client.post(url, form | {"phone": "call me"})
    client.post(url, form | {"phone": "+7 (900) 123-45-67"})

    nina.refresh_from_db()
    assert wrong.status_code == 400
    assert nina.phone == "+79001234567"
