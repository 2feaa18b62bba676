"""The door for alerts: who may post, what is taken, what is answered."""

import gzip
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client

from automation.models import (
    Alert,
    AlertChange,
    AlertDelivery,
    AlertMapping,
    AlertSource,
    Case,
    RejectedAlert,
)
from automation.senders import doubt, stamp_of
from automation.services import intake
from automation.services.intake import map_again
from platforms import tokens
from platforms.models import Platform, User
from remosa.lib.clock import utcnow
from tests.automation.alerts import SECRET, basic, body_of, item, make_source, offline, post, signed
from tests.automation.test_intake import CASES, captured
from tests.factories import make_device

pytestmark = pytest.mark.django_db


@pytest.fixture
def source(north: Platform) -> AlertSource:
    made = make_source(north)
    AlertMapping.objects.create(source=made, position=1, by="mac", template="{mac}")
    AlertMapping.objects.create(source=made, position=2, by="external_id", template="{player_id}")
    return made


def sent(source: AlertSource, raw: bytes, headers: dict[str, str], *, method: str = "post") -> Any:
    return getattr(Client(), method)(
        f"/hooks/alerts/{source.pk}/", data=raw, content_type="application/json", headers=headers
    )


# --- who -------------------------------------------------------------------------------------------


def test_a_token_lets_alerts_in(source: AlertSource, north: Platform) -> None:
    player = make_device(north)

    answer = post(source, body_of(offline(player, at=utcnow())))

    assert answer.status_code == 200
    assert answer.json() == {"duplicate": False, "accepted": 1, "rejected": 0, "truncated": 0, "unmapped": 0}
    alert = Alert.objects.get()
    assert (alert.device, alert.state, alert.platform, alert.name) == (
        player,
        "firing",
        north,
        "PlayerOffline",
    )


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer wrong", f"Basic {SECRET}", basic("remosa", SECRET), f"bearer {SECRET}x"]
)
def test_a_wrong_token_is_refused_and_told(source: AlertSource, header: str) -> None:
    answer = post(source, body_of(), Authorization=header)

    assert answer.status_code == 401
    source.refresh_from_db()
    assert source.refused_why in ("wrong_secret", "no_secret")
    assert SECRET not in answer.content.decode()


def test_an_unknown_source_looks_like_a_wrong_secret(source: AlertSource) -> None:
    wrong = post(source, body_of(), Authorization="Bearer wrong")
    unknown = post(AlertSource(pk=uuid.uuid4()), body_of())

    assert (unknown.status_code, unknown.json()) == (wrong.status_code, wrong.json())


def test_a_platforms_intake_token_will_do(source: AlertSource, south: Platform, root: User) -> None:
    _row, own = tokens.issue(name="x", scopes=["intake"], by=root, platform=source.platform)
    _row, foreign = tokens.issue(name="x", scopes=["intake"], by=root, platform=south)
    _row, other = tokens.issue(name="y", scopes=["scrape"], by=root, platform=source.platform)

    assert [post(source, body_of(), Authorization=f"Bearer {text}").status_code for text in (own, foreign, other)] == [
        200, 401, 401,
    ]  # fmt: skip


def test_a_source_without_a_secret_takes_nothing(north: Platform) -> None:
    assert post(make_source(north, secret=""), body_of(), Authorization="Bearer ").status_code == 401


def test_a_switched_off_source_says_so_to_who_knows_its_secret(source: AlertSource) -> None:
    AlertSource.objects.update(is_enabled=False)

    assert post(source, body_of()).status_code == 403
    assert post(source, body_of(), Authorization="Bearer wrong").status_code == 401


def test_a_resting_platform_takes_nothing(source: AlertSource) -> None:
    Platform.objects.update(is_active=False)

    assert post(source, body_of()).status_code == 401


@pytest.mark.parametrize("name", ["g12_firing_one", "g12_mixed_group"])
def test_a_signature_is_checked_bit_by_bit(north: Platform, name: str) -> None:
    source = make_source(north, kind="grafana", auth="hmac")
    raw = captured(f"grafana/{name}")[1]
    header = source.signature_header

    assert sent(source, raw, {header: signed(raw)}).status_code == 200
    assert sent(source, raw, {header: "sha256=" + signed(raw).upper()}).status_code == 200
    assert sent(source, raw + b" ", {header: signed(raw)}).status_code == 401
    assert sent(source, raw, {header: signed(raw)[:-1] + "0"}).status_code in (200, 401)
    assert sent(source, raw, {header: signed(raw, secret="other")}).status_code == 401
    assert sent(source, raw, {}).status_code == 401
    assert sent(source, raw, {"Authorization": f"Bearer {SECRET}"}).status_code == 401


@pytest.mark.parametrize(
    ("age_s", "word"),
    [(0, ""), (299, ""), (-299, ""), (301, "old_time"), (-301, "old_time"), (86400, "old_time")],
)
def test_a_signed_time_is_within_five_minutes(north: Platform, age_s: int, word: str) -> None:
    source = AlertSource(platform=north, kind="grafana", auth="hmac_time", secret=SECRET)
    now = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
    timestamp = str(int(now.timestamp()) - age_s)
    headers = {
        source.signature_header: signed(b"{}", timestamp=timestamp), source.timestamp_header: timestamp,
    }  # fmt: skip

    assert doubt(source, headers, b"{}", now=now) == word
    assert doubt(source, headers | {source.timestamp_header: str(int(timestamp) + 1)}, b"{}", now=now) == (
        "wrong_signature"
    )
    assert doubt(source, {source.signature_header: signed(b"{}")}, b"{}", now=now) == "no_time"


@pytest.mark.parametrize(
    "name", ["g12_hmac_default", "g12_hmac_ts", "g12_bearer_extra_headers", "g12_basic_auth_put"]
)
def test_grafanas_own_proofs_are_taken(north: Platform, name: str) -> None:
    headers, raw = captured(f"grafana/{name}")
    kinds = {
        "g12_hmac_default": AlertSource(auth="hmac", secret="remosa-test-secret"),
        "g12_hmac_ts": AlertSource(
            auth="hmac_time", secret="remosa-test-secret", signature_header="X-Remosa-Signature"
        ),
        "g12_bearer_extra_headers": AlertSource(auth="bearer", secret="tok_test_0123"),
        "g12_basic_auth_put": AlertSource(auth="basic", username="remosa", secret="s3cret:пароль"),
    }
    source = kinds[name]
    then = datetime.fromtimestamp(1751880000, UTC) + timedelta(minutes=4)

    assert doubt(source, headers, raw, now=then) == ""
    source.secret = "another"
    assert doubt(source, headers, raw, now=then) != ""
    assert headers["method"] == ("PUT" if "put" in name else "POST")


def test_a_put_is_taken_and_a_get_is_not(source: AlertSource) -> None:
    headers = {"Authorization": f"Bearer {SECRET}"}

    assert sent(source, body_of(), headers, method="put").status_code == 200
    assert Client().get(f"/hooks/alerts/{source.pk}/", headers=headers).status_code == 405


# --- what ------------------------------------------------------------------------------------------


def test_every_fixture_is_taken_and_none_acts_by_itself(source: AlertSource, north: Platform) -> None:
    make_device(north, external_id="4711")
    for name, _wanted in CASES:
        assert post(source, captured(name)[1]).status_code == 200, name

    assert Alert.objects.filter(device__isnull=False).exists()
    doubtful = Alert.objects.filter(signal__in=["no_data", "error", "test"])
    assert {row.unmapped for row in doubtful} == {"not_needed"}
    assert Case.objects.count() == 0


def test_prometheus_posts_to_an_alertmanagers_path(source: AlertSource, north: Platform) -> None:
    player = make_device(north, mac="aa:bb:cc:dd:ee:02")
    raw = captured("alertmanager/prometheus242_post_api_v2_alerts")[1]

    answer = Client().post(
        f"/hooks/alerts/{source.pk}/api/v2/alerts", data=raw, content_type="application/json",
        headers={"Authorization": f"Bearer {SECRET}"},
    )  # fmt: skip

    assert answer.status_code == 200
    assert Alert.objects.get().device == player


def test_the_same_body_again_is_known(source: AlertSource, north: Platform) -> None:
    raw, now = body_of(offline(make_device(north), at=utcnow())), utcnow()

    first = intake.take(source, raw, stamp="1", now=now)
    again = [intake.take(source, raw, stamp="1", now=now) for _time in range(50)]

    assert (first.duplicate, first.changes) == (False, 1)
    assert {(each.duplicate, each.changes) for each in again} == {(True, 0)}
    assert (AlertDelivery.objects.count(), AlertChange.objects.count()) == (1, 1)


def test_what_a_repeat_is_depends_on_the_proof(north: Platform) -> None:
    now = datetime(2026, 11, 26, 12, 0, 30, tzinfo=UTC)
    signed_source = AlertSource(platform=north, auth="hmac")
    with_token = AlertSource(platform=north, auth="bearer")

    later = now + timedelta(minutes=1)
    assert stamp_of(signed_source, {}, now=now) == stamp_of(signed_source, {}, now=later), (
        "a replay, for ever"
    )
    assert stamp_of(with_token, {}, now=now) != stamp_of(with_token, {}, now=later), (
        "its sender says it again"
    )


def test_a_firing_alert_that_comes_after_its_end_is_history(source: AlertSource, north: Platform) -> None:
    player, at = make_device(north), utcnow() - timedelta(minutes=5)

    post(source, body_of(offline(player, at=at, state="resolved", ends=at)))
    post(source, body_of(offline(player, at=at)))

    assert Alert.objects.get().state == "resolved"
    assert [change.state for change in AlertChange.objects.all()] == ["resolved"]


def test_bad_alerts_are_set_aside_and_counted(source: AlertSource, north: Platform) -> None:
    good = offline(make_device(north), at=utcnow())

    answer = post(source, body_of({"status": "firing"}, good, 17))

    assert answer.status_code == 200
    assert (answer.json()["accepted"], answer.json()["rejected"]) == (1, 2)
    assert [row.reason for row in RejectedAlert.objects.all()] == ["wrong_shape", "wrong_shape"]


def test_only_the_newest_of_what_could_not_be_read_are_kept(source: AlertSource) -> None:
    for number in range(3):
        post(source, body_of(*[{"n": f"{number}-{index}"} for index in range(150)]))

    assert RejectedAlert.objects.count() == intake.KEEP_REJECTED
    assert "2-149" in RejectedAlert.objects.latest("pk").content


def test_alerts_left_out_by_the_sender_are_noted(source: AlertSource, north: Platform) -> None:
    player, other = make_device(north), make_device(north)
    post(source, body_of(offline(player, at=utcnow()), offline(other, at=utcnow())))

    answer = post(source, body_of(offline(player, at=utcnow()), truncatedAlerts=1))

    assert answer.json()["truncated"] == 1
    assert set(Alert.objects.filter(device=other).values_list("state", flat=True)) == {"firing"}


def test_labels_of_another_platform_mean_nobody(source: AlertSource, south: Platform) -> None:
    theirs = make_device(south)

    answer = post(source, body_of(offline(theirs, at=utcnow())))

    assert answer.json()["unmapped"] == 1
    assert Alert.objects.get().device is None
    assert Alert.objects.get().unmapped == "no_device"


def test_a_new_mapping_finds_what_was_quarantined(source: AlertSource, north: Platform) -> None:
    player = make_device(north, name="hall A")
    post(source, body_of(item({"alertname": "Dark", "hall": "A"}, at=utcnow())))
    assert Alert.objects.get().unmapped == "no_rule"

    AlertMapping.objects.create(source=source, position=3, by="name", template="hall {hall}")
    AlertSource.objects.update(version=2)
    source.refresh_from_db()

    assert map_again(source) == 1
    assert (Alert.objects.get().device, Alert.objects.get().unmapped) == (player, "")


# --- limits and trouble ------------------------------------------------------------------------------


def test_sizes_and_types_are_limited(source: AlertSource) -> None:
    headers = {"Authorization": f"Bearer {SECRET}"}
    bomb = gzip.compress(b" " * (9 * 1024 * 1024))
    packed = gzip.compress(body_of())

    assert sent(source, b" " * (8 * 1024 * 1024 + 1), headers).status_code == 413
    assert sent(source, bomb, headers | {"Content-Encoding": "gzip"}).status_code == 413
    assert sent(source, packed, headers | {"Content-Encoding": "gzip"}).status_code == 200
    assert sent(source, packed[:-9], headers | {"Content-Encoding": "gzip"}).status_code == 400
    assert sent(source, b"x", headers | {"Content-Encoding": "gzip"}).status_code == 400
    assert sent(source, body_of(), headers | {"Content-Encoding": "br"}).status_code == 415
    assert post(source, b"nonsense").status_code == 400
    assert Client().post(f"/hooks/alerts/{source.pk}/", {"a": "b"}, headers=headers).status_code == 415
    source.refresh_from_db()
    assert source.refused_why == "not_json"


def test_a_database_in_trouble_is_503(source: AlertSource, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any, **kwargs: Any) -> Any:
        raise OperationalError("gone")

    monkeypatch.setattr("automation.webhooks.take", broken)
    answer = post(source, body_of())

    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")


def test_old_rows_go(source: AlertSource, north: Platform) -> None:
    at = utcnow() - timedelta(days=100)
    player = make_device(north)
    intake.take(source, body_of(offline(player, at=at, state="resolved", ends=at)), stamp="", now=at)
    intake.take(source, body_of(offline(make_device(north), at=at)), stamp="", now=at)

    intake.forget_old(now=utcnow())

    assert AlertDelivery.objects.count() == 0
    assert [alert.state for alert in Alert.objects.all()] == ["firing"], "what still fires is no history"
