"""A tenant model that does not say whose it is stops the start."""

from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from django.apps import apps
from django.db import models
from django.test.utils import isolate_apps

from platforms import checks
from platforms.checks import tenant_models_declare_their_walls
from platforms.models import Platform
from platforms.querysets import PlatformQuerySet


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[type[models.Model]]]:
    """The models that the check looks at."""
    found: list[type[models.Model]] = []
    monkeypatch.setattr(checks, "apps", SimpleNamespace(get_models=lambda: found))
    with isolate_apps("platforms"):
        yield found


def ids(found: list[type[models.Model]], model: type[models.Model]) -> list[str | None]:
    found.append(model)
    return [error.id for error in tenant_models_declare_their_walls(None)]


def test_the_product_passes_its_own_check() -> None:
    assert tenant_models_declare_their_walls(None) == []


def test_a_model_without_declarations_fails(only: list[type[models.Model]]) -> None:
    class Bare(models.Model):  # noqa: DJ008
        objects = PlatformQuerySet.as_manager()

        class Meta:
            app_label = "platforms"

    assert ids(only, Bare) == ["platforms.E001", "platforms.E002"]


def test_a_model_that_forgets_its_owners_fails(only: list[type[models.Model]]) -> None:
    class Half(models.Model):  # noqa: DJ008
        PLATFORM_PATH = "platform"
        platform = models.ForeignKey(Platform, models.CASCADE, related_name="+")
        objects = PlatformQuerySet.as_manager()

        class Meta:
            app_label = "platforms"

    assert ids(only, Half) == ["platforms.E002"]


@pytest.mark.parametrize(
    ("path", "owners", "expected"),
    [
        ("platfrom", (), ["platforms.E001"]),
        ("platform__name", (), ["platforms.E001"]),
        ("owner", (), ["platforms.E001"]),
        ("platform", ("owner",), []),
        ("platform", ("platform__memberships__user",), []),
        ("platform", ("platform",), ["platforms.E002"]),
        ("platform", ("owner", "nobody"), ["platforms.E002"]),
        ("platform", "owner", ["platforms.E002"]),
    ],
)
def test_a_path_must_lead_to_a_platform_and_an_owner(
    only: list[type[models.Model]], path: str, owners: object, expected: list[str]
) -> None:
    class Row(models.Model):  # noqa: DJ008
        PLATFORM_PATH = path
        OWNER_PATHS = owners
        platform = models.ForeignKey(Platform, models.CASCADE, related_name="+")
        owner = models.ForeignKey("platforms.User", models.CASCADE, related_name="+")
        objects = PlatformQuerySet.as_manager()

        class Meta:
            app_label = "platforms"

    # the app registry of the test is its own: its models are found by the real ones' classes
    Row._meta.get_field("owner").remote_field.model = apps.get_model("platforms", "User")

    assert ids(only, Row) == expected


def test_a_model_of_a_platform_that_anybody_could_read_fails(only: list[type[models.Model]]) -> None:
    class Open(models.Model):  # noqa: DJ008
        platform = models.ForeignKey(Platform, models.CASCADE, related_name="+")

        class Meta:
            app_label = "platforms"

    assert ids(only, Open) == ["platforms.E003"]
