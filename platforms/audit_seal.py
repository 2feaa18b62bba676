"""The seal of the audit: who reads the journal can prove that it is whole.

Two keyed digests (HMAC-SHA-256), both with keys derived from ``settings.AUDIT_KEYS``:

* the *signature* of a line, made by ``audit.record`` together with the line: what was written into
  the table by other hands has none;
* the *seal*, made in order by the sealer once a minute: it covers the line, its number and the seal
  before it, so that no line can be changed, removed, put in between or moved.

Each platform has a chain of its own, and so has what belongs to no platform. A chain's *head* (number
and seal of its last line, signed) is kept apart, and exported: a chain that was cut at its end does
not reach its head any more, and a head that was put back does not reach the exported ones.

A digest is stored as ``<key's name>:<hex>``. The first of AUDIT_KEYS signs, the others only verify.
"""

import hashlib
import hmac
import ipaddress
import json
import logging
import os
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction
from django.db.models import QuerySet

from platforms.models import AuditEvent, AuditHead

logger = logging.getLogger(__name__)

GLOBAL = "global"
SEAL_COLUMNS = ("signature", "seal_number", "seal_previous", "seal", "sealed_at")
AT_ONCE = 500  # lines sealed in one transaction
BUDGET_S = 40.0  # of one run of the sealer
EXPORT_EVERY = timedelta(minutes=15)
SHORTEST_SECRET = 32  # characters


# --- keys and digests ----------------------------------------------------------------------------


@cache
def _secrets(texts: tuple[str, ...]) -> dict[str, bytes]:
    """``{key's name: secret}``, the signing key first."""
    if not texts or any(len(text) < SHORTEST_SECRET for text in texts):
        raise ImproperlyConfigured(
            f"AUDIT_KEYS: name at least one key, each of {SHORTEST_SECRET} characters or more."
        )
    secrets = [text.encode() for text in texts]
    return {hashlib.sha256(b"remosa audit key name\0" + secret).hexdigest()[:8]: secret for secret in secrets}


def _digest(purpose: str, content: bytes, *, key_name: str = "") -> str:
    """The keyed digest of ``content`` for one purpose; "" when the key is not known any more."""
    secrets = _secrets(tuple(settings.AUDIT_KEYS))
    name = key_name or next(iter(secrets))
    if name not in secrets:
        return ""
    derived = hmac.digest(secrets[name], f"remosa audit v1\0{purpose}".encode(), "sha256")
    return f"{name}:{hmac.digest(derived, content, 'sha256').hex()}"


def _is_digest(stored: str, purpose: str, content: bytes) -> bool:
    wanted = _digest(purpose, content, key_name=stored.partition(":")[0])
    return bool(wanted) and hmac.compare_digest(stored.encode(), wanted.encode())


# --- what is covered -----------------------------------------------------------------------------


def chain_name(platform_id: int | None) -> str:
    """The chain to which the lines of a platform belong."""
    return GLOBAL if platform_id is None else f"platform:{platform_id}"


def content_of(line: AuditEvent) -> bytes:
    """Every column of the line but those of the seal, in a form that both databases give back unchanged."""
    columns = [column.attname for column in AuditEvent._meta.concrete_fields]
    pairs = [(name, _plain(name, getattr(line, name))) for name in columns if name not in SEAL_COLUMNS]
    return json.dumps(pairs, sort_keys=True, separators=(",", ":")).encode()


def _plain(name: str, value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    if isinstance(value, uuid.UUID):
        return str(value)
    if name == "address" and value:
        return _address(value)
    return _numbers(value)


def _address(text: str) -> str:
    try:
        return ipaddress.ip_address(text).exploded
    except ValueError:
        return text


def _numbers(value: Any) -> Any:
    """1.0 and 1 are one number to PostgreSQL's JSON."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: _numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_numbers(item) for item in value]
    return value


def sign(line: AuditEvent) -> None:
    """Put the signature into a line that is about to be written."""
    line.signature = _digest("line", content_of(line))


def is_signed(line: AuditEvent) -> bool:
    """Whether the line stands as ``audit.record`` wrote it."""
    return _is_digest(line.signature, "line", content_of(line))


def _sealed_content(line: AuditEvent, *, number: int, previous: str) -> bytes:
    stamp = line.sealed_at.astimezone(UTC).isoformat(timespec="microseconds") if line.sealed_at else ""
    frame = json.dumps([chain_name(line.platform_id), number, previous, stamp, line.signature])
    return frame.encode() + b"\0" + content_of(line)


def is_sealed(line: AuditEvent, *, number: int, previous: str) -> bool:
    """Whether the line's seal is right for this place of its chain."""
    if line.seal_previous != previous:
        return False
    return _is_digest(line.seal, "seal", _sealed_content(line, number=number, previous=previous))


def _head_content(head: AuditHead) -> bytes:
    stamp = head.sealed_at.astimezone(UTC).isoformat(timespec="microseconds")
    return json.dumps([head.chain, head.number, head.seal, stamp]).encode()


def is_head(head: AuditHead) -> bool:
    """Whether the sealer wrote this head."""
    return _is_digest(head.signature, "head", _head_content(head))


# --- the sealer ----------------------------------------------------------------------------------


def unsealed() -> QuerySet[AuditEvent]:
    """The lines that wait for the sealer."""
    return AuditEvent.objects.filter(seal_number=None)


def seal_all(*, now: datetime, budget_s: float = BUDGET_S) -> int:
    """Seal what waits, chain by chain, and export the heads; how many lines were sealed."""
    began, sealed = time.monotonic(), 0
    for platform_id in unsealed().order_by("platform_id").values_list("platform_id", flat=True).distinct():
        while time.monotonic() - began < budget_s:
            done = seal_chain(platform_id, now=now)
            sealed += done
            if done < AT_ONCE:
                break
    export_heads(now=now)
    return sealed


def seal_chain(platform_id: int | None, *, now: datetime) -> int:
    """Seal the next lines of one chain, in one transaction; how many. Two sealers wait for one another."""
    chain = chain_name(platform_id)
    with transaction.atomic():
        head = _head_of(chain, platform_id, now=now)
        if head is None:
            return 0
        lines = _next_lines(platform_id)
        for line in lines:
            line.seal_number, line.seal_previous, line.sealed_at = head.number + 1, head.seal, now
            content = _sealed_content(line, number=line.seal_number, previous=line.seal_previous)
            line.seal = _digest("seal", content)
            AuditEvent.objects.filter(pk=line.pk, seal_number=None).update(
                seal_number=line.seal_number, seal_previous=line.seal_previous, seal=line.seal, sealed_at=now
            )
            head.number, head.seal = line.seal_number, line.seal
        if lines:
            head.sealed_at = now
            head.signature = _digest("head", _head_content(head))
            head.save(update_fields=["number", "seal", "sealed_at", "signature"])
    return len(lines)


def _head_of(chain: str, platform_id: int | None, *, now: datetime) -> AuditHead | None:
    """The locked head of the chain; None when it is not as the sealer left it. That is for a person to see."""
    head = AuditHead.objects.select_for_update().filter(chain=chain).first()
    if head is not None and is_head(head):
        return head
    if head is not None or AuditEvent.objects.filter(platform=platform_id, seal_number__gt=0).exists():
        logger.error("audit chain=%s head is gone or was changed; not sealed: run verify_audit", chain)
        return None
    head = AuditHead(chain=chain, platform_id=platform_id, sealed_at=now)
    head.signature = _digest("head", _head_content(head))
    AuditHead.objects.bulk_create([head], ignore_conflicts=True)
    return AuditHead.objects.select_for_update().get(chain=chain)


def _next_lines(platform_id: int | None) -> list[AuditEvent]:
    """What may be sealed now. What ``audit.record`` did not write stays unsealed, and verify_audit names it."""
    found: list[AuditEvent] = []
    strange = 0
    for line in unsealed().filter(platform=platform_id).order_by("at", "id").iterator(chunk_size=AT_ONCE):
        if len(found) == AT_ONCE:
            break
        if is_signed(line):
            found.append(line)
        else:
            strange += 1
    if strange:
        logger.error(
            "audit platform=%s lines without a signature: %s; run verify_audit", platform_id, strange
        )
    return found


# --- heads outside of the database -----------------------------------------------------------------


@dataclass(frozen=True)
class ExportedHead:
    """A head as it was exported: from then on the chain holds this number with this seal."""

    chain: str
    number: int
    seal: str


def export_heads(*, now: datetime) -> int:
    """Append each head that moved to AUDIT_HEADS_FILE, at most every quarter of an hour; how many."""
    path, due = Path(settings.AUDIT_HEADS_FILE), now - EXPORT_EVERY
    exported = 0
    for head in AuditHead.objects.filter(number__gt=0).order_by("chain"):
        if head.exported_number == head.number or (head.exported_at is not None and head.exported_at > due):
            continue
        line = json.dumps(
            {"chain": head.chain, "number": head.number, "seal": head.seal, "at": head.sealed_at.isoformat(),
             "signature": head.signature}
        )  # fmt: skip
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
        try:
            os.write(handle, line.encode() + b"\n")
        finally:
            os.close(handle)
        logger.info("audit head chain=%s number=%s seal=%s", head.chain, head.number, head.seal)
        AuditHead.objects.filter(pk=head.pk).update(exported_number=head.number, exported_at=now)
        exported += 1
    return exported


def read_heads(path: Path) -> list[ExportedHead]:
    """The heads of an exported file. Raises ValueError, naming the line, for one that we did not write."""
    heads = []
    for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            entry = json.loads(text)
            head = AuditHead(
                chain=entry["chain"], number=entry["number"], seal=entry["seal"], signature=entry["signature"],
                sealed_at=datetime.fromisoformat(entry["at"]),
            )  # fmt: skip
            known = is_head(head)
        except (ValueError, KeyError, TypeError) as exc:
            raise ValueError(f"{path}:{number} is no exported head") from exc
        if not known:
            raise ValueError(f"{path}:{number} was not exported by this installation, or was changed")
        heads.append(ExportedHead(head.chain, head.number, head.seal))
    return heads


# --- verification --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Finding:
    """The first thing that is wrong with a chain. ``fault`` is changed, removed, inserted, cut or head."""

    chain: str
    fault: str
    number: int | None
    line_id: str
    text: str


@dataclass(frozen=True)
class Report:
    """What verification saw of one chain."""

    chain: str
    sealed: int
    waiting: int
    finding: Finding | None


def verify_all(*, heads: list[ExportedHead] | None = None, chain: str = "") -> Iterator[Report]:
    """Read every chain (or one) from its first line on."""
    outside: dict[str, dict[int, str]] = {}
    for head in heads or []:
        outside.setdefault(head.chain, {})[head.number] = head.seal
    numbers = AuditEvent.objects.order_by().values_list("platform_id", flat=True).distinct()
    names = {chain_name(number) for number in numbers}
    names |= set(AuditHead.objects.values_list("chain", flat=True)) | set(outside)
    for name in sorted(names):
        if chain in ("", name):
            yield verify_chain(name, outside.get(name, {}))


def verify_chain(chain: str, outside: dict[int, str]) -> Report:
    """Read one chain; ``outside`` are the seals by number that exported heads promise."""
    platform_id = None if chain == GLOBAL else int(chain.partition(":")[2])
    lines = AuditEvent.objects.filter(platform=platform_id)
    sealed, finding, last = _walk(chain, lines, outside)
    finding = finding or _wrong_head(chain, sealed, last) or _missing_heads(chain, sealed, outside)
    waiting = 0
    for line in lines.filter(seal_number=None).order_by("at", "id").iterator(chunk_size=2000):
        waiting += 1
        if finding is None and (line.seal or line.seal_previous or line.sealed_at):
            finding = _named(chain, "changed", line, "its seal was taken away")
        if finding is None and not is_signed(line):
            finding = _named(
                chain, "inserted", line, "REMOSA did not write it, or it was changed before it was sealed"
            )
    return Report(chain, sealed, waiting, finding)


def _walk(
    chain: str, lines: QuerySet[AuditEvent], outside: dict[int, str]
) -> tuple[int, Finding | None, AuditEvent | None]:
    """Follow the seals: (number of the last good line, the first fault, the last good line)."""
    rows = lines.exclude(seal_number=None).order_by("seal_number", "id").iterator(chunk_size=2000)
    line, last = next(rows, None), None
    expected, previous = 1, ""
    while line is not None:
        following = next(rows, None)
        number = line.seal_number or 0
        if number > expected:
            gap = str(expected) if number == expected + 1 else f"{expected} to {number - 1}"
            return expected - 1, Finding(chain, "removed", expected, "", f"line {gap} was removed"), last
        if number < expected or not is_sealed(line, number=expected, previous=previous):
            return expected - 1, _broken(chain, line, following, expected, previous), last
        if not is_signed(line) or outside.get(expected, line.seal) != line.seal:
            return expected - 1, _named(chain, "changed", line, "it is not what was sealed"), last
        line, last, previous, expected = following, line, line.seal, expected + 1
    return expected - 1, None, last


def _broken(
    chain: str, line: AuditEvent, following: AuditEvent | None, expected: int, previous: str
) -> Finding:
    """Which of two: the line was changed, or it was put in front of one that stood here."""
    moved_on = following is not None and is_sealed(following, number=expected, previous=previous)
    if moved_on or (line.seal_number or 0) < expected:
        return _named(chain, "inserted", line, "it was put in between")
    return _named(chain, "changed", line, "it is not what was sealed")


def _wrong_head(chain: str, sealed: int, last: AuditEvent | None) -> Finding | None:
    head = AuditHead.objects.filter(chain=chain).first()
    if head is None:
        return Finding(chain, "head", None, "", "the chain's head is gone") if sealed else None
    if not is_head(head):
        return Finding(chain, "head", head.number, "", "the chain's head was changed")
    if head.number > sealed:
        return _cut(chain, sealed, head.number)
    if last is not None and (head.number < sealed or head.seal != last.seal):
        return Finding(
            chain, "head", head.number, "", "the chain goes on behind its head: an old head was put back"
        )
    return None


def _missing_heads(chain: str, sealed: int, outside: dict[int, str]) -> Finding | None:
    beyond = max(outside, default=0)
    return _cut(chain, sealed, beyond) if beyond > sealed else None


def _cut(chain: str, sealed: int, until: int) -> Finding:
    gone = str(until) if until == sealed + 1 else f"{sealed + 1} to {until}"
    return Finding(chain, "cut", sealed + 1, "", f"line {gone} was cut from the tail")


def _named(chain: str, fault: str, line: AuditEvent, why: str) -> Finding:
    which = f"line {line.seal_number}" if line.seal_number else "a line without a number"
    text = f"{which} was {fault}: {why} ({line.at:%Y-%m-%d %H:%M:%S}Z, {line.verb})"
    return Finding(chain, fault, line.seal_number, str(line.pk), text)
