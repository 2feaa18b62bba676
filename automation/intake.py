"""Read what Grafana, Alertmanager or Prometheus post, and merge what is told twice. Pure.

Grafana's contact point and Alertmanager's webhook send an object with ``alerts``; Prometheus posts a bare
list, in which an end in the future means "still firing". One bad alert is set aside; it never spoils the
others. An episode is (fingerprint, start); whatever is told of it, in whatever order and however often,
``merge`` comes to the same.
"""

import hashlib
import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import msgspec

from remosa.lib.texts import storable

MAX_ALERTS = 10_000
MAX_LABELS = 64
MAX_NAME = 200  # characters of a label's name
MAX_VALUE = 2_000
MAX_TEXT = 4_000  # of an annotation; longer ones are cut
AHEAD = timedelta(minutes=5)  # how far a start may lie in the future: it would make all later ones history
KEPT = 4_000  # characters of an alert that could not be read

RANKS = {"pending": 0, "firing": 1, "resolved": 2}
GRAFANA_ALERTS = {"DatasourceNoData": "no_data", "DatasourceError": "error"}
GRAFANA_REASONS = {
    "NoData": "no_data", "Error": "error", "MissingSeries": "missing_series", "Paused": "paused",
    "Updated": "updated",
}  # fmt: skip


class BodyInvalid(Exception):
    """The body is nothing that alerts can be read from; the text is a word for it."""


@dataclass(frozen=True)
class Incoming:
    """One alert as it was told."""

    fingerprint: str
    starts_at: datetime
    ends_at: datetime | None
    state: str
    signal: str
    labels: dict[str, str]
    annotations: dict[str, str]
    link: str

    @property
    def key(self) -> tuple[str, datetime]:
        """The episode, within its source."""
        return (self.fingerprint, self.starts_at)

    @property
    def name(self) -> str:
        """What the alert is called; Grafana's own alerts carry the rule's name elsewhere."""
        return self.labels.get("rulename") or self.labels.get("alertname") or self.fingerprint

    @property
    def summary(self) -> str:
        """Its one line for people."""
        return self.annotations.get("summary") or self.annotations.get("description") or ""


@dataclass(frozen=True)
class Rejected:
    """An alert that could not be read."""

    reason: str
    content: str


@dataclass(frozen=True)
class Body:
    """What a delivery holds: each episode once."""

    alerts: tuple[Incoming, ...]
    rejected: tuple[Rejected, ...]
    truncated: int = 0  # alerts that the sender left out: nothing is known of them


class Item(msgspec.Struct):
    """One alert on the wire."""

    labels: dict[str, str]
    startsAt: datetime
    status: str = ""
    annotations: dict[str, str] | None = None
    endsAt: datetime | None = None
    generatorURL: str | None = ""
    fingerprint: str | None = ""


class Envelope(msgspec.Struct):
    """The object around the alerts."""

    alerts: list[msgspec.Raw] | None
    truncatedAlerts: int = 0
    receiver: str = ""


_item: msgspec.json.Decoder[Item] = msgspec.json.Decoder(Item)
_envelope: msgspec.json.Decoder[Envelope] = msgspec.json.Decoder(Envelope)
_list: msgspec.json.Decoder[list[msgspec.Raw]] = msgspec.json.Decoder(list[msgspec.Raw])


def read_body(raw: bytes, *, now: datetime) -> Body:
    """The alerts of a body; BodyInvalid when it is not JSON, has no alerts in it, or too many."""
    items, truncated, receiver = _unpack(raw)
    if len(items) > MAX_ALERTS:
        raise BodyInvalid("too_many")
    found: dict[tuple[str, datetime], Incoming] = {}
    rejected = []
    for each in items:
        try:
            alert = _read_item(each, receiver=receiver, now=now)
        except ValueError as exc:
            rejected.append(Rejected(str(exc), _kept(each)))
        else:
            known = found.get(alert.key)
            found[alert.key] = alert if known is None else merge(known, alert)
    # in one order everywhere: two deliveries that write the same rows do not deadlock
    return Body(tuple(found[key] for key in sorted(found)), tuple(rejected), truncated)


def _unpack(raw: bytes) -> tuple[list[msgspec.Raw], int, str]:
    try:
        if raw.lstrip()[:1] == b"[":
            return _list.decode(raw), 0, ""
        envelope = _envelope.decode(raw)
    except msgspec.ValidationError:
        raise BodyInvalid("no_alerts") from None
    except (msgspec.DecodeError, RecursionError, ValueError):  # UnicodeDecodeError is a ValueError
        raise BodyInvalid("not_json") from None
    return envelope.alerts or [], max(0, envelope.truncatedAlerts), envelope.receiver


def _read_item(raw: msgspec.Raw, *, receiver: str, now: datetime) -> Incoming:
    """The alert, checked; ValueError with a word for what is wrong with it."""
    try:
        item = _item.decode(raw)
        starts_at = _utc(item.startsAt)
        ends_at = _utc(item.endsAt) if item.endsAt else None
    except (msgspec.MsgspecError, RecursionError, OverflowError, UnicodeDecodeError):
        raise ValueError("wrong_shape") from None
    if starts_at is None:
        raise ValueError("no_start")
    if starts_at > now + AHEAD:
        raise ValueError("in_the_future")
    state = _state(item.status, ends_at, now)
    labels = _labels(item.labels)
    annotations = {
        storable(name)[:MAX_NAME]: storable(text)[:MAX_TEXT]
        for name, text in list((item.annotations or {}).items())[:MAX_LABELS]
    }
    return Incoming(
        fingerprint=_fingerprint(item.fingerprint, labels), starts_at=starts_at,
        ends_at=ends_at if state == "resolved" else None, state=state,
        signal=_signal(labels, annotations, receiver), labels=labels, annotations=annotations,
        link=_link(item.generatorURL or ""),
    )  # fmt: skip


def _utc(at: datetime) -> datetime | None:
    """The time in UTC; None for Go's zero time, which means "not set"."""
    if at.tzinfo is None:
        raise ValueError("wrong_shape")
    if at.year <= 1:
        return None
    return at.astimezone(UTC)


def _state(status: str, ends_at: datetime | None, now: datetime) -> str:
    if not status:  # Prometheus' own form
        return "firing" if ends_at is None or ends_at > now else "resolved"
    if status not in RANKS:
        raise ValueError("unknown_status")
    return status


def _labels(labels: dict[str, str]) -> dict[str, str]:
    if not labels:
        raise ValueError("no_labels")
    if len(labels) > MAX_LABELS:
        raise ValueError("too_many_labels")
    if any(len(name) > MAX_NAME or len(value) > MAX_VALUE for name, value in labels.items()):
        raise ValueError("label_too_long")
    return {storable(name): storable(value) for name, value in labels.items()}


def _fingerprint(given: str | None, labels: dict[str, str]) -> str:
    """The sender's own; where it gives none (Prometheus), one over all labels."""
    if given:
        if len(given) > 64 or not given.isascii() or not given.isprintable():
            raise ValueError("bad_fingerprint")
        return given
    text = json.dumps(labels, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _signal(labels: dict[str, str], annotations: dict[str, str], receiver: str) -> str:
    """Why the sender itself does not know; "" when it measured something."""
    name = labels.get("alertname", "")
    if name in GRAFANA_ALERTS:
        return GRAFANA_ALERTS[name]
    reason = annotations.get("grafana_state_reason", "")
    if reason:  # an unknown reason is a doubt as well; several come as "NoData, Updated"
        return GRAFANA_REASONS.get(reason.split(",")[0].strip(), "error")
    is_test = name == "TestAlert" and (receiver == "test" or labels.get("instance") == "Grafana")
    return "test" if is_test else ""


def _link(url: str) -> str:
    return storable(url)[:1000] if url.startswith(("http://", "https://")) else ""


def _kept(raw: msgspec.Raw) -> str:
    return storable(bytes(raw)[: 4 * KEPT].decode(errors="replace"))[:KEPT]


def merge(one: Incoming, other: Incoming) -> Incoming:
    """Two tellings of one episode as one; the same whichever comes first, and however often.

    The later state wins, and of one state the doubt; an end only moves forward.
    """
    high, low = (one, other) if _weight(one) >= _weight(other) else (other, one)
    ends = [at for at in (high.ends_at, low.ends_at) if at is not None]
    return replace(high, ends_at=max(ends, default=None))


def _weight(alert: Incoming) -> tuple[int, str]:
    return RANKS[alert.state], alert.signal


def digest_of(raw: bytes, *, stamp: str) -> str:
    """What a delivery is known by: its body, and when it was signed or, unsigned, the minute it came in."""
    return hashlib.sha256(stamp.encode() + b"\n" + raw).hexdigest()
