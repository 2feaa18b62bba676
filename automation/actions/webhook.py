"""A soft step by HTTP: POST a signed JSON body to an address of the platform, through the one door out.

The receiver checks ``X-Remosa-Signature``: hex HMAC-SHA256, keyed with the webhook's secret, of
``X-Remosa-Timestamp`` (Unix seconds), a colon and the raw body. ``Idempotency-Key`` is the same whenever
the same deed is asked for again.
"""

import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from typing import Any

from automation.models import Webhook
from automation.ports import Order, Outcome
from remosa.lib import http

MAY_REPEAT = frozenset({429, 503})  # the receiver says that it did nothing


def signature(secret: str, *, timestamp: str, body: bytes) -> str:
    """What stands in ``X-Remosa-Signature``."""
    return hmac.new(secret.encode(), f"{timestamp}:".encode() + body, hashlib.sha256).hexdigest()


class WebhookAction:
    """``config``: ``{"webhook": <number>}``."""

    def execute(self, order: Order, *, deadline_s: float) -> Outcome:
        """One POST; only what provably did not arrive, or was put off by the receiver, may be tried again."""
        webhook = _webhook(order.config, order.platform_id)
        if webhook is None or not webhook.is_enabled:
            return Outcome("refused", "webhook_gone")
        body = json.dumps(body_of(order), ensure_ascii=False, allow_nan=False).encode()
        try:
            answer = http.request(
                "POST", webhook.url, headers=_headers(order, body, webhook.secret), data=body, deadline_s=deadline_s
            )  # fmt: skip
        except http.HttpFailure as failure:
            return Outcome("unknown" if failure.may_have_left else "not_done", failure.reason)
        if 200 <= answer.status < 300:
            return Outcome("done", str(answer.status))
        if answer.status in MAY_REPEAT:
            return Outcome("not_done", f"status {answer.status}")
        return Outcome("unknown" if answer.status >= 500 else "refused", f"status {answer.status}")


def body_of(order: Order) -> dict[str, Any]:
    """What the receiver reads."""
    return {
        "key": order.key, "platform": order.platform_id, "case": str(order.case_id),
        "created_at": order.created_at.isoformat(), **order.facts,
    }  # fmt: skip


def _headers(order: Order, body: bytes, secret: str) -> dict[str, str]:
    headers = {"Content-Type": "application/json", "Idempotency-Key": order.key}
    if secret:
        timestamp = str(int(time.time()))
        headers["X-Remosa-Timestamp"] = timestamp
        headers["X-Remosa-Signature"] = signature(secret, timestamp=timestamp, body=body)
    return headers


def _webhook(config: Mapping[str, Any], platform_id: int) -> Webhook | None:
    number = config.get("webhook")
    if not isinstance(number, int) or isinstance(number, bool):
        return None
    return Webhook.objects.of(platform_id).filter(pk=number).first()
