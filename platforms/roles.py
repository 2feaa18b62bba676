"""The roles of a platform and what each may do: the one table that code, docs and tests read.

Permissions are granted by django-guardian on the Platform row, to one group per (platform, role);
everything below a platform inherits by its path.
"""

from django.db import models
from django.utils.translation import gettext_lazy as _


class Role(models.TextChoices):
    ADMIN = "admin", _("admin")
    MANAGER = "manager", _("manager")
    USER = "user", _("user")
    VIEWER = "viewer", _("viewer")


class Perm(models.TextChoices):
    """Object permissions on a Platform."""

    VIEW = "view_platform", _("May see the platform")
    SEE_ALL = "see_all_devices", _("May see every device of the platform")
    CONTROL = "control_devices", _("May send commands to the devices that they see")
    MANAGE_DEVICES = "manage_devices", _("May edit devices, exporters and jobs")
    MANAGE_MEMBERS = "manage_members", _("May manage members below their own role")
    MANAGE_PLATFORM = "manage_platform", _("May manage gateways, tokens, budgets and every member")


GRANTS: dict[str, frozenset[str]] = {
    Role.ADMIN: frozenset(Perm.values),
    Role.MANAGER: frozenset(
        {Perm.VIEW, Perm.SEE_ALL, Perm.CONTROL, Perm.MANAGE_DEVICES, Perm.MANAGE_MEMBERS}
    ),
    Role.USER: frozenset({Perm.VIEW, Perm.CONTROL}),
    Role.VIEWER: frozenset({Perm.VIEW, Perm.SEE_ALL}),
}

RANK: dict[str, int] = {Role.VIEWER: 0, Role.USER: 1, Role.MANAGER: 2, Role.ADMIN: 3, "superadmin": 4}


def may_grant(own: str, granted: str) -> bool:
    """Whether a person of role ``own`` may give somebody the role ``granted``.

    Admins grant every role of their platform, managers only those below their own.
    """
    if own in ("superadmin", Role.ADMIN):
        return True
    return own == Role.MANAGER and RANK[granted] < RANK[Role.MANAGER]


def may_touch(own: str) -> list[str]:
    """The roles that ``own`` grants, changes and dismisses."""
    return [role for role in Role.values if may_grant(own, role)]


def grants_table() -> str:
    """Permission × role as Markdown, for docs/roles.md."""
    roles = list(Role.values)
    lines = [f"| | superadmin | {' | '.join(roles)} |", "|---|---" + "|---" * len(roles) + "|"]
    for perm in Perm:
        held = ["yes" if perm.value in GRANTS[role] else "no" for role in roles]
        lines.append(f"| {perm.label} (`{perm.value}`) | yes | {' | '.join(held)} |")
    return "\n".join(lines)


def ranks_table() -> str:
    """Who grants which role, as Markdown, for docs/roles.md."""
    lines = ["| | grants, changes and dismisses |", "|---|---|"]
    for own in ["superadmin", *Role.values]:
        lines.append(f"| {own} | {', '.join(may_touch(own)) or 'nobody'} |")
    return "\n".join(lines)
