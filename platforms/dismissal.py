"""«Отключить сотрудника»: somebody leaves a platform, and keeps nothing of it.

Role, sessions, JWTs and shares end in one transaction; who has no platform left loses the tokens, the Telegram
binding and the account as well. What they owned passes to a successor. Jobs belong to the platform and go on;
a command of theirs that has not left yet is refused at the outbox's barrier, where rights are read anew.
"""

from datetime import datetime
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.module_loading import import_string
from django.utils.translation import gettext as _

from platforms import audit, jwt, second_factor, tokens
from platforms.models import Invitation, Membership, Platform, User
from platforms.ports import Belonging
from platforms.services import set_role


def left_by(user: User, platform: Platform) -> list[Belonging]:
    """What the person would leave behind, of all apps."""
    return [item for port in _ports() for item in port.left_by(user, platform)]


def is_only_platform(user: User, platform: Platform) -> bool:
    """Whether the account itself ends with this dismissal."""
    others = Membership.objects.filter(user=user).exclude(platform=platform)
    return not user.is_superuser and not others.exists()


def dismiss(
    member: Membership, *, successor: User | None, by: Any, now: datetime, reason: str = ""
) -> dict[str, int]:
    """End everything at once; counts of what ended and passed on.

    RoleTooHigh, LastAdmin, or ValidationError for a successor who is not an active member.
    """
    user, platform = member.user, member.platform
    with transaction.atomic():
        if successor is not None and (successor == user or not _works_on(successor, platform)):
            raise ValidationError({"successor": _("Choose an active member of this platform.")})
        was = member.role
        set_role(user=user, platform=platform, role=None, by=by)
        counts: dict[str, int] = {}
        for port in _ports():
            counts |= port.pass_on(user, platform, successor=successor, by=by, now=now)
        second_factor.end_sessions(user)
        counts["sign_ins"] = jwt.revoke_all(user, why=jwt.DISMISSED, now=now)
        if is_only_platform(user, platform):
            counts["tokens"] = tokens.revoke_all(user, by=by, now=now)
            User.objects.filter(pk=user.pk).update(is_active=False, telegram_id=None)
            user.refresh_from_db()
        Invitation.objects.filter(
            platform=platform, email__iexact=user.email, accepted_at=None, revoked_at=None
        ).exclude(email="").update(revoked_at=now)
        audit.record(
            actor=audit.person(by) if by is not None else audit.SYSTEM, verb="member.dismissed", target=user,
            platform=platform, before={"role": was}, at=now, reason=reason,
            after={"successor": str(successor) if successor else None, "account_ended": not user.is_active, **counts},
        )  # fmt: skip
    return counts


def _works_on(user: User, platform: Platform) -> bool:
    return Membership.objects.filter(user=user, platform=platform, user__is_active=True).exists()


def _ports() -> list[Any]:
    return [import_string(path)() for path in settings.BELONGINGS]
