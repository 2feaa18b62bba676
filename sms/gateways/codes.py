"""The providers' code tables, kept as data in ``data/<provider>.toml``.

``[send]`` says what an answer to a send proves, ``[status]`` what a delivery status means. A code that
is in no table proves nothing: the outcome is unknown, the message not settled.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from sms.errors import GatewayError

DATA = Path(__file__).parent / "data"
STATUSES = {"delivered": True, "undelivered": False, "pending": None}


@dataclass(frozen=True)
class Code:
    """What one code of an answer proves; the fields are those of ``GatewayError``."""

    outcome: Literal["accepted", "not_sent", "rejected", "unknown"]
    means: str = ""  # in the provider's sense, our words
    breaks: bool = False
    retry_after_s: float | None = None


@dataclass(frozen=True)
class Codes:
    """The tables of one provider."""

    send: Mapping[str, Code]
    status: Mapping[str, bool | None]

    def judge(self, code: Any) -> Code:
        """What ``code`` proves about a send."""
        return self.send.get(str(code), Code("unknown"))

    def raise_unless_accepted(
        self, code: Any, *, detail: str = "", retry_after_s: float | None = None
    ) -> None:
        """Return after an acceptance, else raise the GatewayError that the table gives.

        ``retry_after_s`` is the answer's own wish; it counts where the message was not taken.
        """
        judged = self.judge(code)
        if judged.outcome != "accepted":
            raise GatewayError(
                f"code_{str(code)[:20]}", outcome=judged.outcome, detail=judged.means or detail,
                breaks=judged.breaks,
                retry_after_s=(retry_after_s or judged.retry_after_s) if judged.outcome == "not_sent" else None,
            )  # fmt: skip

    def delivered(self, status: Any) -> bool | None:
        """What a delivery status settles; None for a step in between and for one that is in no table."""
        return self.status.get(str(status))


@cache
def load(provider: str) -> Codes:
    """The tables of ``data/<provider>.toml``."""
    raw = tomllib.loads((DATA / f"{provider}.toml").read_text(encoding="utf-8"))
    return Codes(
        send={code: Code(**row) for code, row in raw.get("send", {}).items()},
        status={code: STATUSES[word] for code, word in raw.get("status", {}).items()},
    )
