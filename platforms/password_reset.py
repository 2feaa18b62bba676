"""A forgotten password: a link by mail, good once and for an hour.

Whoever asks gets the same answer for every address, at the same speed: the queue looks up and mails. The link
proves the mailbox and nothing else: an authenticator app is asked for at the next sign-in as ever.
"""

import logging
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.tokens import PasswordResetTokenGenerator
from django.core.mail import send_mail
from django.db import transaction
from django.urls import reverse
from django.utils import translation
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode
from django.utils.translation import gettext as _

from platforms import audit, jwt
from platforms.authentication import forget_failures
from platforms.models import AuditEvent, User
from remosa.lib.clock import utcnow

logger = logging.getLogger(__name__)

ASKED, DONE = "user.password_reset_asked", "user.password_reset"
MAILS_PER_HOUR = 3  # to one person, whoever asks


class Tokens(PasswordResetTokenGenerator):
    """Django's; dead as well as soon as the person's sessions were ended."""

    def _make_hash_value(self, user: Any, timestamp: int) -> str:
        return f"{super()._make_hash_value(user, timestamp)}:{user.access_epoch}"


TOKENS = Tokens()


def link_of(user: User) -> str:
    """The address that the mail names."""
    number = urlsafe_base64_encode(force_bytes(user.pk))
    return settings.PUBLIC_URL + reverse("admin:password_choose", args=[number, TOKENS.make_token(user)])


def mail(user: User, *, now: datetime) -> bool:
    """Send the link; False when the person was sent enough of them lately, or the mail server refuses."""
    lately = AuditEvent.objects.filter(verb=ASKED, target_id=str(user.pk), at__gt=now - timedelta(hours=1))
    if lately.count() >= MAILS_PER_HOUR:
        return False
    audit.record(actor=audit.SYSTEM, verb=ASKED, target=user, at=now)
    with translation.override(user.language):
        subject = _("REMOSA: a new password")
        body = _(
            "Somebody, probably you, asked for a new password for %(username)s in REMOSA. Choose it here:\n\n"
            "%(link)s\n\n"
            "The link works once, for one hour. If it was not you, do nothing: your password stays as it is."
        ) % {"username": user.get_username(), "link": link_of(user)}
    try:
        send_mail(subject, body, None, [user.email])
    except OSError:  # smtplib's errors are OSErrors
        logger.exception("the mail for a new password could not be sent user=%s", user.pk)
        return False
    return True


def mail_by_id(pk: int) -> None:
    """For the queue. 0 is nobody: it is asked like anybody, so that no answer is faster than another."""
    user = User.objects.filter(pk=pk, is_active=True).exclude(email="").first()
    if user is not None:
        mail(user, now=utcnow())


def was_chosen(user: User, *, now: datetime) -> None:
    """The new password is stored: what the old one opened is closed, and the person may sign in at once."""
    with transaction.atomic():
        jwt.revoke_all(user, why=jwt.SIGNED_OUT, now=now)
        forget_failures(user)
        audit.record(actor=audit.person(user), verb=DONE, target=user, at=now)
