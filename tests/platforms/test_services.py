"""Memberships are the truth; groups and grants are derived from them and nothing else."""

import pytest
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from guardian.shortcuts import assign_perm, get_perms

from platforms.errors import LastAdmin, RoleTooHigh
from platforms.models import AuditEvent, Membership, Platform, User
from platforms.roles import GRANTS, Perm, Role
from platforms.services import create_platform, group_name, repair_groups, set_role, sync_groups
from tests.factories import make_platform, make_user
from tests.together import together

OUTSIDE = "outside"  # no role


def role_of(user: User, platform: Platform) -> str | None:
    return Membership.objects.filter(user=user, platform=platform).values_list("role", flat=True).first()


def grants(user: User, platform: Platform) -> set[str]:
    return set(get_perms(User.objects.get(pk=user.pk), platform))


@pytest.mark.parametrize("role", Role.values)
def test_a_role_holds_exactly_the_grants_of_the_table(north: Platform, role: str) -> None:
    user = make_user("dora", platform=north, role=role)

    assert grants(user, north) == set(GRANTS[role])
    assert list(user.groups.values_list("name", flat=True)) == [group_name(north, role)]


@pytest.mark.parametrize("old", Role.values)
@pytest.mark.parametrize("new", [*Role.values, None])
def test_a_changed_role_leaves_nothing_of_the_old_one(
    north: Platform, alice: User, old: str, new: str | None
) -> None:
    user = make_user("dora", platform=north, role=old)

    set_role(user=user, platform=north, role=new)

    assert grants(user, north) == (set(GRANTS[new]) if new else set())
    assert role_of(user, north) == new
    assert user.groups.count() == (1 if new else 0)


def test_a_role_on_one_platform_grants_nothing_on_another(alice: User, south: Platform) -> None:
    assert grants(alice, south) == set()


def test_membership_opens_the_console_and_its_end_closes_it(
    north: Platform, south: Platform, alice: User
) -> None:
    user = make_user("dora")
    before = user.is_staff

    set_role(user=user, platform=north, role=Role.VIEWER)
    set_role(user=user, platform=south, role=Role.VIEWER)
    set_role(user=user, platform=north, role=None)
    still = User.objects.get(pk=user.pk).is_staff
    set_role(user=user, platform=south, role=None)

    assert (before, still, User.objects.get(pk=user.pk).is_staff) == (False, True, False)


def test_the_superadmin_keeps_the_console_without_any_membership(
    north: Platform, root: User, alice: User
) -> None:
    set_role(user=root, platform=north, role=Role.VIEWER)

    set_role(user=root, platform=north, role=None)

    root.refresh_from_db()
    assert root.is_staff is True


def test_a_stale_person_does_not_bring_an_old_staff_flag_back(north: Platform, alice: User) -> None:
    user = make_user("dora", platform=north, role=Role.VIEWER)
    stale = User.objects.get(pk=user.pk)
    set_role(user=user, platform=north, role=None)

    set_role(user=stale, platform=north, role=Role.USER)

    assert User.objects.get(pk=user.pk).is_staff is True


MAY: dict[str, set[str]] = {  # who -> the roles that they may give and take
    "superadmin": set(Role.values),
    Role.ADMIN: set(Role.values),
    Role.MANAGER: {Role.USER, Role.VIEWER},
    Role.USER: set(),
    Role.VIEWER: set(),
    OUTSIDE: set(),
}


def make_actor(kind: str, platform: Platform) -> User:
    if kind == "superadmin":
        return User.objects.create_superuser("actor")
    return make_user("actor", platform=platform, role=None if kind == OUTSIDE else kind)


@pytest.mark.parametrize("actor", MAY)
@pytest.mark.parametrize("granted", Role.values)
def test_nobody_grants_more_than_their_role_allows(north: Platform, actor: str, granted: str) -> None:
    by, user = make_actor(actor, north), make_user("dora")

    if granted in MAY[actor]:
        set_role(user=user, platform=north, role=granted, by=by)
    else:
        with pytest.raises(RoleTooHigh):
            set_role(user=user, platform=north, role=granted, by=by)

    assert role_of(user, north) == (granted if granted in MAY[actor] else None)


@pytest.mark.parametrize("actor", MAY)
@pytest.mark.parametrize("held", Role.values)
@pytest.mark.parametrize("new", [Role.VIEWER, None])
def test_nobody_touches_a_member_whom_they_could_not_have_made(
    north: Platform, alice: User, actor: str, held: str, new: str | None
) -> None:
    by, user = make_actor(actor, north), make_user("dora", platform=north, role=held)
    allowed = held in MAY[actor]

    if allowed:
        set_role(user=user, platform=north, role=new, by=by)
    else:
        with pytest.raises(RoleTooHigh):
            set_role(user=user, platform=north, role=new, by=by)

    assert role_of(user, north) == (new if allowed else held)


def test_a_manager_does_not_make_themselves_admin(north: Platform) -> None:
    manager = make_user("mina", platform=north, role=Role.MANAGER)

    with pytest.raises(RoleTooHigh):
        set_role(user=manager, platform=north, role=Role.ADMIN, by=manager)


def test_an_admin_of_one_platform_grants_nothing_on_another(
    north: Platform, south: Platform, charlie: User
) -> None:
    with pytest.raises(RoleTooHigh):
        set_role(user=charlie, platform=north, role=Role.VIEWER, by=charlie)

    assert role_of(charlie, north) is None


@pytest.mark.parametrize("kind", ["superadmin", Role.ADMIN])
def test_a_deactivated_person_grants_nothing(north: Platform, alice: User, kind: str) -> None:
    by = make_actor(kind, north)
    by.is_active = False
    by.save(update_fields=["is_active"])

    with pytest.raises(RoleTooHigh):
        set_role(user=make_user("dora"), platform=north, role=Role.VIEWER, by=by)


def test_a_role_that_there_is_not_is_refused_before_anything_is_written(north: Platform) -> None:
    user = make_user("dora")

    with pytest.raises(ValueError, match="owner"):
        set_role(user=user, platform=north, role="owner")

    assert role_of(user, north) is None


@pytest.mark.parametrize("new", [Role.MANAGER, None])
def test_the_last_admin_stays(north: Platform, alice: User, new: str | None) -> None:
    with pytest.raises(LastAdmin):
        set_role(user=alice, platform=north, role=new, by=alice)

    assert role_of(alice, north) == Role.ADMIN
    assert grants(alice, north) == set(GRANTS[Role.ADMIN])


def test_an_inactive_admin_does_not_count_as_the_other_one(north: Platform, alice: User) -> None:
    make_user("gone", platform=north, role=Role.ADMIN, is_active=False)

    with pytest.raises(LastAdmin):
        set_role(user=alice, platform=north, role=None)


@pytest.mark.databases
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("round_", range(3))
def test_two_admins_who_remove_each_other_leave_one(round_: int) -> None:
    platform = make_platform()
    admins = [make_user(name, platform=platform, role=Role.ADMIN) for name in ("anna", "boris")]

    results = together(
        2, lambda mine: set_role(user=admins[1 - mine], platform=platform, role=None, by=admins[mine])
    )

    assert Membership.objects.filter(platform=platform, role=Role.ADMIN).count() == 1
    assert sorted(type(result).__name__ for result in results) in (
        ["LastAdmin", "NoneType"], ["NoneType", "RoleTooHigh"],
    )  # fmt: skip


@pytest.mark.databases
@pytest.mark.django_db(transaction=True)
def test_one_person_on_two_platforms_at_the_same_moment_keeps_the_console() -> None:
    old, new = make_platform(), make_platform()
    person = make_user("dora", platform=old, role=Role.VIEWER)

    def change(number: int) -> None:
        user = User.objects.get(pk=person.pk)
        set_role(user=user, platform=(old, new)[number], role=(None, Role.VIEWER)[number])

    results = together(2, change)

    assert results == [None, None]
    assert User.objects.get(pk=person.pk).is_staff is True


def test_every_change_of_a_role_is_in_the_audit(north: Platform, alice: User) -> None:
    user = make_user("dora")

    set_role(user=user, platform=north, role=Role.USER, by=alice)

    line = AuditEvent.objects.get(verb="member.role_set", actor_kind="person")
    assert (line.actor_label, line.target_label, line.platform) == ("alice", "dora", north)
    assert (line.before, line.after) == ({"role": None}, {"role": "user"})


def test_a_refused_change_is_not_in_the_audit(north: Platform, bob: User) -> None:
    before = AuditEvent.objects.count()

    with pytest.raises(RoleTooHigh):
        set_role(user=make_user("dora"), platform=north, role=Role.USER, by=bob)

    assert AuditEvent.objects.count() == before


def test_repair_makes_groups_equal_to_memberships(
    north: Platform, alice: User, bob: User, charlie: User
) -> None:
    admins, viewers = (Group.objects.get(name=group_name(north, role)) for role in (Role.ADMIN, Role.VIEWER))
    admins.user_set.set([bob, charlie])
    viewers.user_set.clear()
    assign_perm(f"platforms.{Perm.MANAGE_PLATFORM}", viewers, north)

    repaired = repair_groups(north)

    assert repaired == 4  # alice missing, bob and charlie wrongly there, bob missing among the viewers
    assert list(admins.user_set.all()) == [alice]
    assert list(viewers.user_set.all()) == [bob]
    assert grants(bob, north) == set(GRANTS[Role.VIEWER])
    assert repair_groups(north) == 0


def test_syncing_groups_twice_changes_nothing(north: Platform) -> None:
    before = {group.name: set(get_perms(group, north)) for group in sync_groups(north).values()}

    after = {group.name: set(get_perms(group, north)) for group in sync_groups(north).values()}

    assert before == after == {group_name(north, role): set(GRANTS[role]) for role in Role.values}


def test_a_platform_with_a_wrong_time_zone_is_not_made(db: None) -> None:
    with pytest.raises(ValidationError, match="IANA"):
        create_platform(name="x", time_zone="Moscow")

    assert not Platform.objects.exists()
