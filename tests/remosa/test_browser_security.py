"""What browsers are told: a policy on every page, cookies that scripts and other sites do not get."""

import os
import subprocess
import sys
from typing import Any

import pytest
from django.conf import settings as project
from django.test import Client

from platforms.models import User
from tests.console.conftest import BACKEND

PASSWORD = "correct horse battery"
PAGES = (
    "/admin/login/", "/admin/", "/admin/devices/device/", "/admin/platforms/auditevent/", "/admin/nowhere/", "/nowhere",
    "/api/docs/", "/api/schema/", "/api/v1/", "/api/v1/devices/", "/api/v1/nowhere/", "/healthz", "/metrics",
)  # fmt: skip


@pytest.mark.django_db
@pytest.mark.parametrize("path", PAGES)
def test_every_answer_carries_the_policy(path: str, alice: User) -> None:
    client = Client()
    client.force_login(alice, backend=BACKEND)

    answer = client.get(path, headers={"accept": "text/html"})

    policy = {part.split()[0]: part.split()[1:] for part in answer["Content-Security-Policy"].split("; ")}
    assert policy["default-src"] == ["'self'"]
    assert policy["script-src"] == [
        "'self'",
        "'unsafe-eval'",
    ]  # unfold's Alpine needs it, nothing else is loosened
    assert (policy["object-src"], policy["frame-ancestors"]) == (["'none'"], ["'none'"])
    assert (policy["form-action"], policy["base-uri"]) == (["'self'"], ["'self'"])
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["X-Frame-Options"] == "DENY"
    assert answer["Referrer-Policy"] == "same-origin"
    assert answer["Cross-Origin-Opener-Policy"] == "same-origin"


@pytest.mark.django_db
def test_the_sessions_cookie_is_for_this_site_alone(alice: User, settings: Any) -> None:
    alice.set_password(PASSWORD)
    alice.save()
    settings.SESSION_COOKIE_SECURE = settings.CSRF_COOKIE_SECURE = True
    client = Client()
    client.get("/admin/login/")

    answer = client.post("/admin/login/", {"username": "alice", "password": PASSWORD})

    session = answer.cookies[project.SESSION_COOKIE_NAME]
    assert (session["httponly"], session["samesite"], session["secure"]) == (True, "Lax", True)
    assert session["max-age"] <= 30 * 24 * 3600
    assert not session["domain"]


@pytest.mark.django_db
def test_the_sessions_number_changes_with_the_sign_in(alice: User) -> None:
    alice.set_password(PASSWORD)
    alice.save()
    client = Client()
    session = client.session
    session["planted"] = "by somebody else"
    session.save()
    client.cookies[project.SESSION_COOKIE_NAME] = before = session.session_key

    client.post("/admin/login/", {"username": "alice", "password": PASSWORD})

    assert client.cookies[project.SESSION_COOKIE_NAME].value != before


@pytest.mark.django_db
def test_a_form_of_another_site_is_refused(alice: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice, backend=BACKEND)

    for path in ("/admin/me/", "/admin/language/", "/api/v1/sites/"):
        answer = client.post(path, {"language": "en"}, headers={"origin": "https://evil.example.org"})
        assert answer.status_code == 403, path


def test_the_deploy_check_is_clean_behind_https() -> None:
    env = {
        "PATH": os.environ["PATH"], "DATABASE_URL": "sqlite:////nonexistent/none.sqlite3", "DEBUG": "false",
        "SECRET_KEY": "Xq3" * 30 + "_-9abcdefghijk", "AUDIT_KEYS": "a" * 40 + "bcdefgh",
        "FIELD_ENCRYPTION_KEYS": "ZGV2ZWxvcG1lbnQtb25seS1maWVsZC1rZXktMDAwMDA=",
        "PUBLIC_URL": "https://remosa.example.org", "ALLOWED_HOSTS": "remosa.example.org", "TRUSTED_PROXIES": "1",
    }  # fmt: skip

    done = subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"], env=env,
        cwd=project.BASE_DIR, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
