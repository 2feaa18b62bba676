"""Ask somebody by e-mail to work on a platform: one link, good once and for some days.

Whoever holds the link can read the mail of that address. A new person chooses a name and a password with it;
somebody who has an account signs in with it and joins. The role is granted by the rules of the person who
invited, as they stand when the link is used.
"""

import uuid
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.mail import send_mail
from django.db import transaction
from django.urls import reverse
from django.utils import translation
from django.utils.crypto import constant_time_compare, salted_hmac
from django.utils.translation import gettext as _

from platforms import audit
from platforms.errors import InvitationClosed, RoleTooHigh
from platforms.models import Invitation, Membership, Platform, User
from platforms.models.invitations import new_nonce
from platforms.services import check_rank, set_role
from remosa.lib.clock import utcnow
from remosa.lib.tasks import later

LIFE = timedelta(days=settings.INVITATION_DAYS)


def invite(*, platform: Platform, email: str, role: str, by: Any, now: datetime) -> Invitation:
    """A new invitation, and its mail on the way. RoleTooHigh, or ValidationError for what cannot be."""
    email = User.objects.normalize_email(email.strip())
    with transaction.atomic():
        check_rank(by=by, platform=platform, old=None, new=role)
        if Membership.objects.filter(platform=platform, user__email__iexact=email).exists():
            raise ValidationError({"email": _("This person is a member already.")})
        row = Invitation(platform=platform, email=email, role=role, invited_by=by, expires_at=now + LIFE)
        row.full_clean()
        row.save(force_insert=True)
        _record(row, "invited", by=by, after={"email": email, "role": role})
        later("platforms.tasks.mail_invitation", row.pk)
    return row


def renew(row: Invitation, *, by: Any, now: datetime) -> None:
    """A new link for as long as a new invitation; the older links end. InvitationClosed, RoleTooHigh."""
    with transaction.atomic():
        check_rank(by=by, platform=row.platform, old=None, new=row.role)
        fresh = {"nonce": new_nonce(), "expires_at": now + LIFE, "mailed_at": None, "mail_error": ""}
        if not _open().filter(pk=row.pk).update(**fresh, invited_by=by):
            raise InvitationClosed
        row.refresh_from_db()
        _record(row, "invited_again", by=by)
        later("platforms.tasks.mail_invitation", row.pk)


def withdraw(row: Invitation, *, by: Any, now: datetime) -> None:
    """The link is worth nothing from now on. InvitationClosed when it was used or withdrawn before."""
    with transaction.atomic():
        if not _open().filter(pk=row.pk).update(revoked_at=now):
            raise InvitationClosed
        _record(row, "invitation_withdrawn", by=by)


def _open() -> Any:
    return Invitation.objects.filter(accepted_at=None, revoked_at=None)


# --- the link ------------------------------------------------------------------------------------


def link_of(row: Invitation) -> str:
    """The address that the mail names."""
    return settings.PUBLIC_URL + reverse("admin:invitation", args=[f"{row.pk.hex}{_proof(row)}"])


def find(text: str, *, now: datetime) -> Invitation | None:
    """The invitation that a link's last part opens; None when there is none, or it is over, whatever the cause."""
    if len(text) != 32 + 40 or not text.isascii():
        return None
    try:
        key = uuid.UUID(hex=text[:32])
    except ValueError:
        return None
    row = (
        _open().select_related("platform", "invited_by")
        .filter(pk=key, expires_at__gt=now, platform__is_active=True).first()
    )  # fmt: skip
    if row is None or not constant_time_compare(text[32:], _proof(row)):
        return None
    return row


def person_of(row: Invitation) -> User | None:
    """Who has the invited address already, dismissed people included."""
    return User.objects.filter(email__iexact=row.email).first()


def _proof(row: Invitation) -> str:
    value = f"{row.pk.hex}:{row.nonce}:{row.email}"
    return salted_hmac("platforms.invitation", value, algorithm="sha256").hexdigest()[:40]


# --- using it ------------------------------------------------------------------------------------


def join(row: Invitation, *, user: User, now: datetime) -> Membership:
    """``user``, who is signed in and has the invited address, joins. InvitationClosed when somebody was faster."""
    if user.email.lower() != row.email.lower():
        raise InvitationClosed
    with transaction.atomic():
        _take(row, now=now)
        return _grant(row, user)


def open_account(row: Invitation, *, username: str, full_name: str, password: str, now: datetime) -> User:
    """A new person with the invited address, or one who was dismissed everywhere and comes back."""
    with transaction.atomic():
        _take(row, now=now)
        first, _space, last = full_name.strip().partition(" ")
        user = person_of(row)
        if user is not None and (user.is_active or user.is_superuser):
            raise InvitationClosed  # has an account: joins by signing in, never by choosing a new password here
        user = user or User(email=row.email, username=username, language=translation.get_language() or "ru",
                            time_zone=row.platform.time_zone)  # fmt: skip
        user.first_name, user.last_name, user.is_active = first[:150], last[:150], True
        validate_password(password, user)
        user.set_password(password)
        user.full_clean(exclude=["password"])
        user.save()
        audit.record(
            actor=audit.person(user), verb="user.created", target=user, platform=row.platform,
            after={"username": user.username},
        )  # fmt: skip
        _grant(row, user)
    return user


def _take(row: Invitation, *, now: datetime) -> None:
    """Of two who use one link at the same time, one gets it."""
    mine = _open().filter(pk=row.pk, nonce=row.nonce, expires_at__gt=now)
    if not mine.update(accepted_at=now):
        raise InvitationClosed


def _grant(row: Invitation, user: User) -> Membership:
    """The role, if whoever invited may still grant it; what the person has already is never lowered."""
    current = Membership.objects.filter(user=user, platform=row.platform).first()
    if current is not None:
        raise InvitationClosed
    if row.invited_by is None or not row.invited_by.is_active:
        raise InvitationClosed  # nobody stands for it any more
    try:
        member = set_role(user=user, platform=row.platform, role=row.role, by=row.invited_by)
    except RoleTooHigh as exc:
        raise InvitationClosed from exc
    assert member is not None  # noqa: S101  only role=None ends a membership
    Invitation.objects.filter(pk=row.pk).update(accepted_by=user)
    _record(row, "invitation_accepted", by=user, after={"role": row.role})
    return member


# --- the mail ------------------------------------------------------------------------------------


def mail(row: Invitation, *, now: datetime) -> bool:
    """Send the link; False when it was sent before or is over. What the mail server said is on the page."""
    if row.mailed_at is not None or not _open().filter(pk=row.pk, expires_at__gt=now).exists():
        return False
    known = person_of(row)
    with translation.override(
        known.language if known else row.invited_by.language if row.invited_by else "ru"
    ):
        subject = _("Invitation to REMOSA: %(platform)s") % {"platform": row.platform}
        body = _(
            "%(inviter)s invites you to work on %(platform)s in REMOSA as: %(role)s.\n\n"
            "%(link)s\n\n"
            "The link works once, until %(until)s (UTC). If you do not know what this is about, do nothing."
        ) % {
            "inviter": row.invited_by or "REMOSA", "platform": row.platform, "role": row.get_role_display(),
            "link": link_of(row), "until": f"{row.expires_at:%Y-%m-%d %H:%M}",
        }  # fmt: skip
    try:
        send_mail(" ".join(subject.split()), body, None, [row.email])
    except OSError as exc:  # smtplib's errors are OSErrors
        Invitation.objects.filter(pk=row.pk).update(mail_error=type(exc).__name__)
        return False
    Invitation.objects.filter(pk=row.pk).update(mailed_at=now, mail_error="")
    return True


def mail_by_id(key: str) -> None:
    """For the queue: the row says whether there is anything to send."""
    row = Invitation.objects.select_related("platform", "invited_by").filter(pk=key).first()
    if row is not None:
        mail(row, now=utcnow())


def _record(row: Invitation, deed: str, *, by: Any, after: dict[str, Any] | None = None) -> None:
    actor = audit.person(by) if by is not None else audit.SYSTEM
    audit.record(actor=actor, verb=f"member.{deed}", target=row, platform=row.platform, after=after)
