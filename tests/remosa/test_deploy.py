"""As it is run in production: Django's deployment checks have nothing to say, and foreign pages stay away."""

import os
import subprocess
import sys

import pytest
from django.conf import settings
from django.contrib import admin
from django.test import Client
from guardian.admin import GuardedModelAdminMixin

from platforms.admin_base import PlatformAdmin, SuperadminAdmin
from platforms.models import Platform, User

PRODUCTION = {
    "SECRET_KEY": "a-secret-of-the-test-that-is-long-enough-and-has-many-letters-0123456789",
    "FIELD_ENCRYPTION_KEYS": "ZGV2ZWxvcG1lbnQtb25seS1maWVsZC1rZXktMDAwMDA=",
    "AUDIT_KEYS": "another-secret-of-the-test",
    "PUBLIC_URL": "https://remosa.example.org",
    "ALLOWED_HOSTS": "remosa.example.org",
    "TRUSTED_PROXIES": "1",
}


def test_check_deploy_is_clean() -> None:
    inherited = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")}

    done = subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"],
        cwd=settings.BASE_DIR, env=inherited | PRODUCTION, capture_output=True, text=True, timeout=110, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert "no issues" in done.stdout + done.stderr


def test_every_page_is_built_on_a_base_of_ours_and_guardian_has_none() -> None:
    foreign = [
        model._meta.label
        for model, page in admin.site._registry.items()
        if not isinstance(page, PlatformAdmin | SuperadminAdmin) or isinstance(page, GuardedModelAdminMixin)
    ]

    assert foreign == []
    assert not [model for model in admin.site._registry if model._meta.app_label in ("guardian", "auth")]


@pytest.mark.parametrize("person", ["alice", "root"])
def test_guardian_s_own_pages_are_not_there(
    person: str, north: Platform, request: pytest.FixtureRequest
) -> None:
    user: User = request.getfixturevalue(person)
    client = Client()
    client.force_login(user, backend="platforms.authentication.UsernameOrEmailBackend")

    pages = [f"/admin/platforms/platform/{north.pk}/permissions/", "/admin/guardian/", "/admin/auth/group/"]

    assert [client.get(page, follow=True).status_code for page in pages] == [404, 404, 404]
