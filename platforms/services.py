"""What changes platforms and their people: every write with its grants and its audit line."""

from typing import Any

from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.db import transaction

from platforms import audit
from platforms.errors import LastAdmin, RoleTooHigh
from platforms.models import Membership, Platform, PlatformGroupObjectPermission, User
from platforms.roles import GRANTS, Perm, Role, may_grant


def group_name(platform: Platform, role: str) -> str:
    """The derived group of one role on one platform."""
    return f"platform:{platform.pk}:{role}"


def sync_groups(platform: Platform) -> dict[str, Group]:
    """Make the platform's role groups hold exactly the grants of ``roles.GRANTS``; repeatable.

    Three reads, and writes only for what differs: it runs at each change of a role.
    """
    names = {role: group_name(platform, role) for role in Role.values}
    found = {group.name: group for group in Group.objects.filter(name__in=names.values())}
    missing = [Group(name=name) for name in names.values() if name not in found]
    found.update((group.name, group) for group in Group.objects.bulk_create(missing))
    groups = {role: found[name] for role, name in names.items()}

    permissions = dict(
        Permission.objects.filter(
            content_type=ContentType.objects.get_for_model(Platform), codename__in=Perm.values
        ).values_list("codename", "pk")
    )
    should = {(groups[role].pk, permissions[perm]) for role in groups for perm in GRANTS[role]}
    rows = PlatformGroupObjectPermission.objects.filter(content_object=platform, group__in=groups.values())
    held = {
        (group, permission): pk for pk, group, permission in rows.values_list("pk", "group", "permission")
    }
    PlatformGroupObjectPermission.objects.bulk_create(
        PlatformGroupObjectPermission(content_object=platform, group_id=group, permission_id=permission)
        for group, permission in sorted(should - held.keys())
    )
    if wrong := held.keys() - should:
        rows.filter(pk__in=[held[key] for key in wrong]).delete()
    return groups


def create_platform(*, name: str, by: Any = None, **fields: Any) -> Platform:
    """A new client with its role groups."""
    with transaction.atomic():
        platform = Platform(name=name, **fields)
        platform.full_clean()
        platform.save()
        sync_groups(platform)
        actor = audit.person(by) if by is not None else audit.SYSTEM
        audit.record(
            actor=actor, verb="platform.created", target=platform, platform=platform, after={"name": name}
        )
    return platform


def set_role(*, user: User, platform: Platform, role: str | None, by: Any = None) -> Membership | None:
    """Give ``user`` a role on ``platform``, or end the membership with None.

    ``by`` None is the system itself (set-up, tests). RoleTooHigh when ``by`` may not grant it or may
    not touch that member; LastAdmin when the platform would be left without an admin; ValueError for
    a role that there is not.
    """
    if role is not None and role not in Role.values:
        raise ValueError(f"{role!r} is not a role; there are {', '.join(Role.values)}")
    with transaction.atomic():
        # two admins who remove each other wait for one another, and so do two platforms of one person
        Platform.objects.select_for_update().get(pk=platform.pk)
        User.objects.select_for_update().get(pk=user.pk)
        current = Membership.objects.filter(user=user, platform=platform).first()
        check_rank(by=by, platform=platform, old=current.role if current else None, new=role)
        _check_last_admin(platform=platform, current=current, new=role)
        groups = sync_groups(platform)
        user.groups.remove(*[group for name, group in groups.items() if name != role])
        member: Membership | None = None
        if role is None:
            Membership.objects.filter(user=user, platform=platform).delete()
        else:
            member, _created = Membership.objects.update_or_create(
                user=user, platform=platform, defaults={"role": role}
            )
            user.groups.add(groups[role])
        _sync_staff(user)
        audit.record(
            actor=audit.person(by) if by is not None else audit.SYSTEM,
            verb="member.role_set",
            target=user,
            platform=platform,
            before={"role": current.role if current else None},
            after={"role": role},
        )
    return member


def check_rank(*, by: Any, platform: Platform, old: str | None, new: str | None) -> None:
    """RoleTooHigh unless ``by`` may touch a member of role ``old`` and grant ``new``; None stands for no role."""
    if by is None or (by.is_superuser and by.is_active):
        return
    mine = Membership.objects.filter(user=by, user__is_active=True, platform=platform)
    own = mine.values_list("role", flat=True).first()
    if own is None or not all(may_grant(own, role) for role in (old, new) if role is not None):
        raise RoleTooHigh(f"{own or 'a stranger'} may not change {old} to {new}")


def _check_last_admin(*, platform: Platform, current: Membership | None, new: str | None) -> None:
    if current is None or current.role != Role.ADMIN or new == Role.ADMIN:
        return
    others = Membership.objects.filter(platform=platform, role=Role.ADMIN, user__is_active=True).exclude(
        pk=current.pk
    )
    if not others.exists():
        raise LastAdmin(f"platform {platform.pk} would be left without an admin")


def check_can_go(user: User) -> None:
    """LastAdmin when a platform would be left without an admin if this account were switched off."""
    for member in Membership.objects.filter(user=user, role=Role.ADMIN).select_related("platform"):
        _check_last_admin(platform=member.platform, current=member, new=None)


def _sync_staff(user: User) -> None:
    """Membership opens the console; nothing else does for people who are not superadmin."""
    user.is_staff = user.is_superuser or Membership.objects.filter(user=user).exists()
    User.objects.filter(pk=user.pk).update(is_staff=user.is_staff)


def repair_groups(platform: Platform) -> int:
    """Make the role groups equal to the memberships; how many people had to be changed."""
    changed = 0
    with transaction.atomic():
        groups = sync_groups(platform)
        roles = dict(Membership.objects.filter(platform=platform).values_list("user", "role"))
        for role, group in groups.items():
            should = {user for user, held in roles.items() if held == role}
            have = set(group.user_set.values_list("pk", flat=True))
            group.user_set.add(*should - have)
            group.user_set.remove(*have - should)
            changed += len(should ^ have)
    return changed
