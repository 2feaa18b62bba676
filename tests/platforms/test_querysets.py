"""Who sees which row: two walls, the platform and the own or shared device, and both fail closed."""

import uuid
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied
from django.http import Http404

from automation.models import Case
from devices.models import Command, CommandEvent, Device, DeviceShare, Site
from devices.services import request_command
from platforms import access
from platforms.access import may, platforms_of, require, role_of
from platforms.models import Platform, User
from platforms.querysets import PlatformQuerySet
from platforms.roles import GRANTS, Perm, Role
from platforms.services import set_role
from tests.factories import NOW, make_device, make_link, make_site, make_socket, make_user

TENANT_MODELS = [
    model
    for model in apps.get_models()
    if issubclass(getattr(model._default_manager, "_queryset_class", object), PlatformQuerySet)
]


@pytest.fixture
def ulla(north: Platform) -> User:
    """Role user of north: sees only what is hers or shared with her."""
    return make_user("ulla", platform=north, role=Role.USER)


def names(rows: Any) -> list[str]:
    return sorted(rows.values_list("name", flat=True))


@pytest.fixture
def fleet(north: Platform, south: Platform, ulla: User) -> dict[str, Device]:
    """Of north: one device that is ulla's, one shared with her, one of neither; and one of south."""
    shared = make_device(north, name="shared")
    DeviceShare.objects.create(device=shared, user=ulla)
    return {
        "own": make_device(north, name="own", owner=ulla), "shared": shared,
        "other": make_device(north, name="other"), "foreign": make_device(south, name="foreign"),
    }  # fmt: skip


@pytest.mark.parametrize("role", [Role.ADMIN, Role.MANAGER, Role.VIEWER])
def test_who_sees_all_sees_all_of_the_own_platform_and_nothing_else(
    north: Platform, fleet: dict[str, Device], role: str
) -> None:
    person = make_user("dora", platform=north, role=role)

    assert names(Device.objects.visible_to(person)) == ["other", "own", "shared"]


def test_the_role_user_sees_the_own_and_the_shared_device(fleet: dict[str, Device], ulla: User) -> None:
    assert names(Device.objects.visible_to(ulla)) == ["own", "shared"]


def test_the_superadmin_sees_everything(fleet: dict[str, Device], root: User) -> None:
    assert Device.objects.visible_to(root).count() == 4


def test_nobody_else_sees_anything(fleet: dict[str, Device], north: Platform) -> None:
    stranger = make_user("stranger")
    DeviceShare.objects.create(device=fleet["shared"], user=stranger)

    for person in (stranger, AnonymousUser(), None):
        assert not Device.objects.visible_to(person).exists()
        assert not platforms_of(person).exists()


@pytest.mark.parametrize("who", ["alice", "ulla", "root"])
def test_an_inactive_person_sees_nothing(
    fleet: dict[str, Device], who: str, request: pytest.FixtureRequest
) -> None:
    person = request.getfixturevalue(who)
    person.is_active = False
    person.save(update_fields=["is_active"])

    assert not Device.objects.visible_to(person).exists()
    assert not platforms_of(person).exists()


def test_a_share_or_an_own_device_on_a_platform_without_membership_shows_nothing(
    south: Platform, ulla: User
) -> None:
    DeviceShare.objects.create(device=make_device(south), user=ulla)
    make_device(south, owner=ulla)

    assert not Device.objects.visible_to(ulla).exists()


def test_an_inactive_platform_shows_nothing_to_its_people(
    north: Platform, fleet: dict[str, Device], alice: User, ulla: User, root: User
) -> None:
    Platform.objects.filter(pk=north.pk).update(is_active=False)

    assert not Device.objects.visible_to(alice).exists()
    assert not Device.objects.visible_to(ulla).exists()
    assert Device.objects.visible_to(root).count() == 4


def test_a_device_shared_twice_over_is_listed_once(north: Platform, ulla: User) -> None:
    device = make_device(north, owner=ulla)
    for number in range(3):
        DeviceShare.objects.create(
            device=device, user=make_user(f"friend{number}", platform=north, role=Role.USER)
        )
    DeviceShare.objects.create(device=device, user=ulla)

    assert Device.objects.visible_to(ulla).count() == 1


def test_people_with_two_roles_are_told_apart_by_platform(
    north: Platform, south: Platform, fleet: dict[str, Device], ulla: User
) -> None:
    set_role(user=ulla, platform=south, role=Role.VIEWER)

    assert names(Device.objects.visible_to(ulla)) == ["foreign", "own", "shared"]
    assert names(Device.objects.visible_to(ulla, Perm.CONTROL)) == ["own", "shared"]


def test_a_site_is_seen_through_its_devices(north: Platform, ulla: User) -> None:
    seen, unseen = make_site(north, "seen"), make_site(north, "unseen")
    make_device(north, owner=ulla, site=seen)
    make_device(north, site=unseen)

    assert names(Site.objects.visible_to(ulla)) == ["seen"]


def ask(socket: Device, target: Device, number: int) -> Command:
    return request_command(
        device=socket, target=target, template_key="power_cycle", params={"minutes": 1}, source="job",
        idem_key=f"key {number}", cause_id=uuid.uuid4(), now=NOW,
    )  # fmt: skip


def test_commands_and_their_steps_are_seen_by_whom_either_device_belongs_to(
    north: Platform, ulla: User
) -> None:
    socket, own, other = make_socket(north), make_device(north, owner=ulla), make_device(north)
    mine, theirs = ask(socket, own, 1), ask(make_socket(north), other, 2)

    seen = Command.objects.visible_to(ulla)

    assert list(seen) == [mine]
    assert set(CommandEvent.objects.visible_to(ulla).values_list("command", flat=True)) == {mine.pk}
    assert CommandEvent.objects.filter(command=theirs).exists(), "there is something to leak"


def test_cases_of_many_devices_are_hidden_from_who_sees_only_some(
    north: Platform, ulla: User, bob: User
) -> None:
    Case.objects.create(
        platform=north, kind="mass", subject="x", title="x", opened_at=NOW, state_changed_at=NOW
    )

    assert not Case.objects.visible_to(ulla).exists()
    assert Case.objects.visible_to(bob).count() == 1


@pytest.mark.parametrize("model", TENANT_MODELS, ids=lambda model: model._meta.label)
@pytest.mark.parametrize("perm", [Perm.VIEW, Perm.CONTROL, Perm.MANAGE_PLATFORM])
def test_every_tenant_model_can_be_asked_by_everybody(
    alice: User, ulla: User, root: User, model: Any, perm: str
) -> None:
    """A typing error in a path would show here, not at a customer's."""
    for person in (alice, ulla, root, AnonymousUser(), None):
        list(model.objects.visible_to(person, perm)[:1])


def test_there_are_tenant_models(db: None) -> None:
    assert len(TENANT_MODELS) > 20


def test_rows_of_one_platform(north: Platform, south: Platform, fleet: dict[str, Device]) -> None:
    assert names(Device.objects.of(south)) == ["foreign"]


# --- access --------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", Role.values)
@pytest.mark.parametrize("perm", Perm.values)
def test_may_says_what_the_table_of_roles_says(
    north: Platform, south: Platform, role: str, perm: str
) -> None:
    person = make_user("dora", platform=north, role=role)

    assert may(person, perm, north) is (perm in GRANTS[role])
    assert may(person, perm, north.pk) is (perm in GRANTS[role])
    assert may(person, perm, south) is False
    assert may(person, perm, None) is False
    assert access.role_grants(role) == GRANTS[role]


def test_may_is_no_for_nobody_and_yes_for_the_superadmin(north: Platform, root: User) -> None:
    assert may(AnonymousUser(), Perm.VIEW, north) is False
    assert may(None, Perm.VIEW, north) is False
    assert may(root, Perm.MANAGE_PLATFORM, north) is True


def test_a_lost_role_is_felt_at_the_next_question(north: Platform, alice: User, bob: User) -> None:
    before = may(bob, Perm.VIEW, north)
    set_role(user=bob, platform=north, role=None)

    assert (before, may(bob, Perm.VIEW, north)) == (True, False)


def test_a_foreign_object_looks_like_a_missing_one(fleet: dict[str, Device], alice: User, ulla: User) -> None:
    for person, device in (
        (alice, fleet["foreign"]),
        (ulla, fleet["other"]),
        (AnonymousUser(), fleet["own"]),
    ):
        with pytest.raises(Http404):
            require(person, Perm.MANAGE_DEVICES, device)


def test_a_seen_object_without_the_right_is_refused_openly(
    fleet: dict[str, Device], bob: User, ulla: User
) -> None:
    for person, perm in ((bob, Perm.CONTROL), (ulla, Perm.MANAGE_DEVICES)):
        require(person, Perm.VIEW, fleet["own"])
        with pytest.raises(PermissionDenied):
            require(person, perm, fleet["own"])


def test_who_holds_the_right_passes(fleet: dict[str, Device], alice: User, root: User) -> None:
    require(alice, Perm.MANAGE_DEVICES, fleet["other"])
    require(root, Perm.MANAGE_PLATFORM, fleet["foreign"])


def test_roles_are_told_by_name(north: Platform, south: Platform, alice: User, root: User) -> None:
    assert role_of(alice, north) == Role.ADMIN
    assert role_of(alice, south) is None
    assert role_of(root, north) == "superadmin"
    assert role_of(AnonymousUser(), north) is None


def test_the_power_link_is_seen_by_whom_the_device_belongs_to(north: Platform, ulla: User) -> None:
    link = make_link(make_device(north, owner=ulla), make_socket(north))
    make_link(make_device(north), make_socket(north))

    assert list(type(link).objects.visible_to(ulla)) == [link]
