"""Pages of other people's apps stay away from the console, guardian's first of all."""

import pytest
from django.contrib import admin
from django.test import Client
from guardian.admin import GuardedModelAdminMixin

from platforms.admin_base import PlatformAdmin, SuperadminAdmin
from platforms.models import Platform, User


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
