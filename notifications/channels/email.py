"""E-mail through Django's mail settings (EMAIL_URL)."""

import smtplib
from typing import Any

from django.core.mail import send_mail

from notifications.errors import ChannelError
from notifications.ports import ALL_SEVERITIES, Origin, Text


class EmailChannel:
    """Reaches people who have an e-mail address."""

    severities = ALL_SEVERITIES
    folds = True

    def reaches(self, user: Any) -> bool:
        return bool(user.is_active and user.email)

    def send(self, user: Any, text: Text, *, origin: Origin) -> None:
        subject = " ".join(text.subject.split())  # a header must not be broken by a device's name
        try:
            send_mail(subject, text.body, None, [user.email])
        except smtplib.SMTPRecipientsRefused as exc:
            # 4xx means "not now" (greylisting): only 5xx is for good
            for_good = all(code >= 500 for code, _answer in exc.recipients.values())
            raise ChannelError("address refused", permanent=for_good) from exc
        except (smtplib.SMTPException, OSError) as exc:
            raise ChannelError(type(exc).__name__, permanent=False) from exc
