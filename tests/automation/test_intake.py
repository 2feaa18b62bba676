"""Reading bodies: every fixture of Grafana and Alertmanager, Prometheus' own form, and what is no alert."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from automation.intake import MAX_ALERTS, BodyInvalid, digest_of, merge, read_body
from tests.automation.alerts import body_of, item

FIXTURES = Path(__file__).parent.parent / "fixtures"
NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)


def captured(name: str) -> tuple[dict[str, str], bytes]:
    """(headers, body) of a raw request."""
    head, _blank, body = (FIXTURES / f"{name}.http").read_bytes().partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines[1:])
    return {"method": lines[0].split(" ")[0], **headers}, body


def expected() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in sorted(FIXTURES.glob("grafana/*.expect.json")):
        yield f"grafana/{path.name.removesuffix('.expect.json')}", json.loads(path.read_text())["expect"]
    for path in sorted(FIXTURES.glob("alertmanager/*.expect.json")):
        yield f"alertmanager/{path.name.removesuffix('.expect.json')}", json.loads(path.read_text())


CASES = list(expected())
SIGNALS = {"nodata": "no_data", "error": "error", "test": "test"}


@pytest.mark.parametrize(("name", "wanted"), CASES, ids=[name for name, _wanted in CASES])
def test_a_fixture_is_read_as_it_is_meant(name: str, wanted: dict[str, Any]) -> None:
    body = read_body(captured(name)[1], now=NOW)

    assert body.rejected == ()
    assert body.truncated == wanted["truncatedAlerts"]
    by_fingerprint = {alert.fingerprint: alert for alert in body.alerts}
    assert set(by_fingerprint) == {alert["fingerprint"] for alert in wanted["alerts"]}
    for alert in wanted["alerts"]:
        got = by_fingerprint[alert["fingerprint"]]
        assert got.state == alert["status"]
        assert abs(got.starts_at - datetime.fromisoformat(alert["startsAt"][:26].rstrip("Z")).replace(
            tzinfo=got.starts_at.tzinfo)) < timedelta(hours=4)  # fmt: skip
        has_ended = alert["endsAt"] not in (None, "0001-01-01T00:00:00Z")
        assert (got.ends_at is not None) is has_ended
        assert got.signal == SIGNALS.get(wanted.get("kind", ""), "")
        assert got.labels.get("player_id") == alert.get("player_id", got.labels.get("player_id"))


def test_an_offset_and_nanoseconds_are_read() -> None:
    (alert,) = read_body(captured("grafana/g12_firing_one")[1], now=NOW).alerts

    exact = datetime(2025, 7, 7, 6, 15, 40, 123456, tzinfo=UTC)
    assert abs(alert.starts_at - exact) <= timedelta(microseconds=1)


def test_firing_and_resolved_are_one_episode() -> None:
    (firing,) = read_body(captured("grafana/g12_firing_one")[1], now=NOW).alerts
    (resolved,) = read_body(captured("grafana/g12_resolved_one")[1], now=NOW).alerts

    assert firing.key == resolved.key
    assert merge(firing, resolved) == merge(resolved, firing) == resolved


def test_prometheus_says_firing_by_an_end_in_the_future() -> None:
    _headers, raw = captured("alertmanager/prometheus242_post_api_v2_alerts")
    posted = datetime(2026, 11, 20, 17, 48, tzinfo=UTC)

    (alert,) = read_body(raw, now=posted).alerts
    (later,) = read_body(raw, now=posted + timedelta(minutes=10)).alerts

    assert (alert.state, alert.ends_at, alert.labels["mac"]) == ("firing", None, "aa:bb:cc:dd:ee:02")
    assert len(alert.fingerprint) == 64
    assert (later.state, later.key) == ("resolved", alert.key)


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (17, "wrong_shape"),
        (None, "wrong_shape"),
        ({}, "wrong_shape"),
        ({"startsAt": "0001-01-01T00:00:00Z"}, "no_start"),
        ({"startsAt": "yesterday"}, "wrong_shape"),
        ({"startsAt": "2026-11-26T12:00:00"}, "wrong_shape"),
        ({"startsAt": "2999-01-01T00:00:00Z"}, "in_the_future"),
        ({"labels": {}}, "no_labels"),
        ({"labels": None}, "wrong_shape"),
        ({"labels": {"a": 1}}, "wrong_shape"),
        ({"labels": {f"l{number}": "x" for number in range(65)}}, "too_many_labels"),
        ({"labels": {"a": "x" * 2001}}, "label_too_long"),
        ({"status": "exploded"}, "unknown_status"),
        ({"fingerprint": "x" * 65}, "bad_fingerprint"),
        ({"fingerprint": "a\nb"}, "bad_fingerprint"),
    ],
)
def test_a_bad_alert_is_set_aside_and_the_good_one_kept(broken: Any, reason: str) -> None:
    good = item({"alertname": "A", "mac": "02:00:00:00:00:01"}, at=NOW)
    bad = {**good, **broken} if isinstance(broken, dict) and broken else broken

    body = read_body(body_of(bad, good), now=NOW)

    assert [each.reason for each in body.rejected] == [reason]
    assert len(body.alerts) == 1


@pytest.mark.parametrize(
    ("raw", "word"),
    [
        (b"", "not_json"),
        (b"{", "not_json"),
        (b"\xff\xfe", "not_json"),
        (b"nonsense", "not_json"),
        (b"17", "no_alerts"),
        (b"{}", "no_alerts"),
        (b'{"alerts": {}}', "no_alerts"),
        (b'{"alerts": [], "truncatedAlerts": "many"}', "no_alerts"),
        (b"[" * 100_000, "not_json"),
        (b'{"alerts": [' + b"1," * MAX_ALERTS + b"1]}", "too_many"),
    ],
)
def test_what_is_no_body_of_alerts_is_refused(raw: bytes, word: str) -> None:
    with pytest.raises(BodyInvalid, match=word):
        read_body(raw, now=NOW)


def test_an_empty_delivery_is_one_without_alerts() -> None:
    assert read_body(b'{"alerts": null}', now=NOW).alerts == ()
    assert read_body(b"[]", now=NOW).alerts == ()


def test_texts_are_made_storable() -> None:
    alert = item({"alertname": "A", "name": "a\x00b"}, at=NOW)
    alert["annotations"] = {"summary": "x\u2028y\x00", "long": "z" * 9000, "link": "javascript:alert(1)"}
    alert["generatorURL"] = "javascript:alert(1)"

    (read,) = read_body(body_of(alert), now=NOW).alerts

    assert read.labels["name"] == "a\ufffdb"
    assert (read.summary, len(read.annotations["long"]), read.link) == ("x\u2028y\ufffd", 4000, "")


@pytest.mark.parametrize(
    ("reason", "signal"),
    [
        ("NoData", "no_data"), ("Error", "error"), ("MissingSeries", "missing_series"), ("Updated", "updated"),
        ("Paused", "paused"), ("NoData, Updated", "no_data"), ("SomethingNew", "error"), ("", ""),
    ],
)  # fmt: skip
def test_grafanas_reasons_are_doubts(reason: str, signal: str) -> None:
    alert = item({"alertname": "A", "mac": "x"}, at=NOW, state="resolved", ends=NOW)
    alert["annotations"] = {"grafana_state_reason": reason}

    assert read_body(body_of(alert), now=NOW).alerts[0].signal == signal


def test_an_episode_told_twice_in_one_body_is_one() -> None:
    labels = {"alertname": "A", "mac": "x"}
    firing, resolved = item(labels, at=NOW), item(labels, at=NOW, state="resolved", ends=NOW)

    for order in ((firing, resolved), (resolved, firing), (firing, firing)):
        (alert,) = read_body(body_of(*order), now=NOW).alerts
        assert alert.state == ("firing" if order == (firing, firing) else "resolved")


def test_a_delivery_is_known_by_its_body_and_its_stamp() -> None:
    assert digest_of(b"x", stamp="1") == digest_of(b"x", stamp="1")
    assert len({digest_of(b"x", stamp="1"), digest_of(b"x", stamp="2"), digest_of(b"y", stamp="1")}) == 3
