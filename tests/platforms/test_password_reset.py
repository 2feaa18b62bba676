"""A forgotten password: the same answer for everybody, one link, and nothing of the old password left."""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from axes.models import AccessAttempt
from django.core import mail
from django.core.cache import cache
from django.test import Client
from django.utils.module_loading import import_string
from rest_framework.test import APIClient

from platforms import jwt, password_reset, second_factor
from platforms.models import AuditEvent, Platform, User
from tests.factories import make_user

pytestmark = pytest.mark.django_db
NOW = datetime.now(UTC)
OLD, NEW = "correct horse battery", "staple of another kind"
Ask = Callable[..., Any]


@pytest.fixture
def nina(north: Platform) -> User:
    return make_user(
        "nina", platform=north, role="viewer", password=OLD, email="Nina@Example.org", language="en"
    )


@pytest.fixture
def woken() -> list[tuple[str, int]]:
    return []


@pytest.fixture
def ask(
    client: Client, woken: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: Any,
) -> Iterator[Ask]:  # fmt: skip
    """``ask("x@example.org")``: send the form and let the queue do what it was woken for."""

    def run(path: str, pk: int) -> None:
        woken.append((path, pk))
        import_string(path)(pk)

    monkeypatch.setattr("remosa.lib.tasks.async_task", run)

    def post(address: str, **headers: str) -> Any:
        with django_capture_on_commit_callbacks(execute=True):
            return client.post("/admin/password/", {"email": address}, **headers)

    cache.clear()
    yield post
    cache.clear()


def link_in(letter: Any) -> str:
    return re.search(r"https?://[^/\s]+(/\S+)", letter.body)[1]


def choose(link: str, password: str = NEW, *, client: Client | None = None) -> Any:
    client = client or Client()
    page = client.get(link, follow=True)
    return client.post(page.request["PATH_INFO"], {"new_password1": password, "new_password2": password})


def test_the_link_in_the_mail_leads_to_a_new_password(nina: User, ask: Ask, client: Client) -> None:
    ask("nina@example.org")

    answer = choose(link_in(mail.outbox[0]), client=client)

    assert mail.outbox[0].to == [nina.email]
    assert "nina" in mail.outbox[0].body
    assert (answer.status_code, answer.url) == (302, "/admin/login/")
    assert "_auth_user_id" not in client.session
    entered = client.post("/admin/login/", {"username": "nina", "password": NEW})
    assert entered.url == "/admin/"
    assert set(AuditEvent.objects.filter(target_id=str(nina.pk)).values_list("verb", flat=True)) >= {
        "user.password_reset_asked", "user.password_reset",
    }  # fmt: skip


def test_known_and_unknown_addresses_get_the_same_answer_and_the_same_work(
    nina: User, ask: Ask, woken: list[tuple[str, int]], client: Client
) -> None:
    gone = make_user("gone", password=OLD, email="gone@example.org")
    User.objects.filter(pk=gone.pk).update(is_active=False)

    answers = [ask(address) for address in ("nina@example.org", "nobody@example.org", "gone@example.org")]

    assert {(answer.status_code, answer.url, answer.content) for answer in answers} == {
        (302, "/admin/password/sent/", b"")
    }
    assert [pk for _path, pk in woken] == [nina.pk, 0, 0]
    assert len(mail.outbox) == 1
    assert "nina" not in client.get("/admin/password/sent/").content.decode().lower()


def test_sessions_and_sign_ins_of_programs_end_with_the_old_password(
    nina: User, ask: Ask, browser_of: Callable[[User], Client]
) -> None:
    session, pair = browser_of(nina), jwt.sign_in(nina)
    program = APIClient(headers={"Authorization": f"Bearer {pair['access']}"})
    before = [session.get("/admin/").status_code, program.get("/api/v1/devices/").status_code]
    ask("nina@example.org")

    choose(link_in(mail.outbox[0]))

    refreshed = APIClient().post("/api/v1/auth/token/refresh/", {"refresh": pair["refresh"]})
    assert before == [200, 200]
    assert session.get("/admin/").status_code == 302
    assert program.get("/api/v1/devices/").status_code == 401
    assert refreshed.status_code == 401


def test_the_authenticator_app_is_still_asked_for(nina: User, ask: Ask, client: Client) -> None:
    device = second_factor.begin(nina)
    device.confirmed = True
    device.save()
    ask("nina@example.org")
    choose(link_in(mail.outbox[0]))

    answer = client.post("/admin/login/", {"username": "nina", "password": NEW})

    assert answer.url == "/admin/login/code/"
    assert "_auth_user_id" not in client.session


def test_a_link_works_once_for_an_hour_and_not_after_the_sessions_were_ended(nina: User) -> None:
    with time_machine.travel(NOW, tick=False):
        used, ended, old = (password_reset.link_of(nina).partition("/admin")[2] for _ in range(3))
    path = "/admin" + old

    with time_machine.travel(NOW + timedelta(seconds=3601), tick=False):
        assert Client().get(path, follow=True).status_code == 404
    second_factor.end_sessions(nina)
    assert Client().get("/admin" + ended, follow=True).status_code == 404
    fresh = password_reset.link_of(nina).partition("/admin")[2]
    assert choose("/admin" + fresh).status_code == 302
    assert Client().get("/admin" + fresh, follow=True).status_code == 404
    assert Client().get("/admin" + used, follow=True).status_code == 404


def test_a_link_of_somebody_who_was_dismissed_is_over(nina: User) -> None:
    path = "/admin" + password_reset.link_of(nina).partition("/admin")[2]
    User.objects.filter(pk=nina.pk).update(is_active=False)

    assert Client().get(path, follow=True).status_code == 404


@pytest.mark.parametrize(
    "path", ["MQ/zz-00", "zz/set-password", "MQ/choose", "!/x", "OTk5OTk5OTk5OTk5OTk5OTk5OTk/x-y"]
)
def test_what_is_no_link_is_one_page(nina: User, path: str) -> None:
    answer = Client(headers={"accept-language": "en"}).get(f"/admin/password/{path}/")

    assert answer.status_code == 404
    assert "Ask for a new link" in answer.content.decode()


def test_a_weak_or_mistyped_password_is_refused_with_a_sentence(nina: User) -> None:
    path = "/admin" + password_reset.link_of(nina).partition("/admin")[2]

    for first, second in (("short", "short"), (NEW, "other"), ("nina@example.org", "nina@example.org")):
        client = Client()
        page = client.get(path, follow=True)
        answer = client.post(page.request["PATH_INFO"], {"new_password1": first, "new_password2": second})
        assert answer.context["form"].errors
        assert User.objects.get(pk=nina.pk).check_password(OLD)


def test_one_person_gets_few_mails_and_one_address_asks_few_times(
    nina: User, ask: Ask, settings: Any
) -> None:
    statuses = [ask("nina@example.org").status_code for _ in range(12)]

    assert statuses == [302] * 10 + [429] * 2
    assert len(mail.outbox) == password_reset.MAILS_PER_HOUR
    assert ask("nina@example.org", REMOTE_ADDR="192.0.2.7").status_code == 302


def test_who_forgot_need_not_wait_for_the_wrong_tries_of_before(nina: User, ask: Ask) -> None:
    for name in ("nina", "other"):
        AccessAttempt.objects.create(
            username=name, ip_address="192.0.2.1", failures_since_start=10, attempt_time=NOW
        )
    ask("nina@example.org")

    choose(link_in(mail.outbox[0]))

    assert [row.username for row in AccessAttempt.objects.all()] == ["other"]


def test_the_letter_speaks_the_language_of_its_reader(nina: User) -> None:
    User.objects.filter(pk=nina.pk).update(language="ru")
    nina.refresh_from_db()

    password_reset.mail(nina, now=NOW)

    assert "пароль" in mail.outbox[0].subject


def test_a_mail_server_that_refuses_is_no_error_for_whoever_asks(
    nina: User, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_args: Any, **_options: Any) -> None:
        raise ConnectionRefusedError

    monkeypatch.setattr(password_reset, "send_mail", refuse)

    assert ask("nina@example.org").status_code == 302


def test_the_door_leads_there(client: Client, db: None) -> None:
    assert 'href="/admin/password/"' in client.get("/admin/login/").content.decode()
    assert client.get("/admin/password/").status_code == 200
