"""SMS to people who asked for them: one short line, for what needs a person now.

It goes through the same outbox as commands, at the expense of the notice's platform, from the share of its
limit that is kept for people.
"""

from datetime import timedelta
from typing import Any

from notifications.errors import ChannelError
from notifications.models import Notice
from notifications.ports import Origin, Text
from platforms.errors import QuotaExceeded
from platforms.models import Platform
from remosa.lib.clock import utcnow
from sms.errors import SmsError
from sms.models import SmsMessage
from sms.services import enqueue

LONGEST = 134  # characters: two parts in any alphabet
USEFUL_FOR = timedelta(minutes=30)  # later than that it wakes somebody for what is long over


class SmsChannel:
    """Reaches people who gave their phone and switched these messages on."""

    severities = frozenset({Notice.Severity.CRITICAL})
    folds = True

    def reaches(self, user: Any) -> bool:
        return bool(user.is_active and user.phone and user.wants_sms)

    def send(self, user: Any, text: Text, *, origin: Origin) -> None:
        now, until = utcnow(), origin.created_at + USEFUL_FOR
        if until <= now:
            raise ChannelError("too late for an SMS", permanent=True)
        try:
            enqueue(
                platform=Platform.objects.get(pk=origin.platform_id),
                to=user.phone,
                body=shortened(text.line or text.subject),
                purpose=SmsMessage.Purpose.NOTICE,
                dedupe_key=f"delivery:{origin.delivery_id}",
                now=now,
                expires_at=until,
                for_people=True,
            )
        except QuotaExceeded as exc:
            raise ChannelError("the SMS limit is reached", permanent=True) from exc
        except SmsError as exc:
            raise ChannelError("this number or text cannot be sent", permanent=True) from exc


def shortened(text: str) -> str:
    """``text`` in one line that fits."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1].rstrip()}…"
