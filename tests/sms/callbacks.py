"""Callbacks of gateways for the tests, and one send to a server that answers what it is told."""

from datetime import UTC, datetime
from typing import Any

from django.http.request import HttpHeaders

from sms.errors import GatewayError
from sms.ports import Accepted, Callback
from tests.sms.gateway_contract import REF, TO
from tests.sms.gateway_server import GatewayServer

HOOK = "https://remosa.example/hooks/sms/0190b0c0-0000-7000-8000-00000000000a"
HOOK_SECRET = "canary-hook-0815"
AT = datetime(2025, 7, 7, 9, 20, tzinfo=UTC)


def call(
    kind: str,
    *,
    body: bytes | str = b"",
    query: str = "",
    method: str = "POST",
    headers: dict[str, str] | None = None,
    at: datetime = AT,
) -> Callback:
    """One call as it came over the wire."""
    raw = body.encode() if isinstance(body, str) else body
    return Callback(kind, method, query, HttpHeaders(_environ(headers or {})), raw, at)  # type: ignore[arg-type]


def _environ(headers: dict[str, str]) -> dict[str, str]:
    return {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()}


def send_once(
    open_at: Any, answer: bytes, *, status: int = 200, extra: bytes = b"", to: str = TO, body: str = "#01#"
) -> tuple[Accepted | GatewayError, GatewayServer]:
    """(what came of it, the server with its ledger) of one send that is answered with ``answer``."""
    with GatewayServer("ok", answer=answer, status=status, extra=extra) as server:
        try:
            return open_at(server.url).send(to, body, client_ref=REF, deadline_s=3), server
        except GatewayError as error:
            return error, server
