"""When the sender of alerts does not know itself, people hear of it, and nothing else happens."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import translation

from automation.models import Alert, AlertSource, Case
from devices.models import Command
from notifications.doubts import AGAIN_AFTER, notify_of_doubts
from notifications.models import Delivery, Notice
from notifications.rendering import details, sentence
from notifications.services import path_of
from platforms.models import Platform, User
from tests.automation.alerts import body_of, item, make_alert, make_source, post
from tests.automation.world import World
from tests.factories import NOW, make_device

pytestmark = [pytest.mark.django_db, pytest.mark.databases]
STORM = 1_000


@pytest.fixture
def source(north: Platform) -> AlertSource:
    return make_source(north, name="Grafana")


def doubt(source: AlertSource, number: int = 0, **fields: object) -> Alert:
    values = {"signal": "no_data", "fingerprint": f"{number:016x}", "name": "DatasourceNoData"}
    return make_alert(source, None, **values | fields)


def told() -> set[tuple[str, str]]:
    rows = Delivery.objects.filter(channel="console")
    return set(rows.values_list("notice__platform__name", "user__username"))


@pytest.mark.parametrize("signal", ["no_data", "error", "missing_series"])
def test_each_doubt_is_told_once_to_those_who_run_the_platform(
    source: AlertSource, alice: User, bob: User, charlie: User, root: User, signal: str
) -> None:
    doubt(source, signal=signal)

    assert [notify_of_doubts(now=NOW + timedelta(minutes=late)) for late in (0, 1, 90)] == [1, 0, 0]

    assert told() == {("north", "alice")}
    assert Notice.objects.get().severity == "warning"


def test_without_people_of_its_own_the_operator_is_told(source: AlertSource, root: User) -> None:
    doubt(source)

    notify_of_doubts(now=NOW)

    assert told() == {("north", "root")}


@pytest.mark.parametrize(
    ("fields", "notices"),
    [
        ({"signal": ""}, 0),
        ({"signal": "test"}, 0),
        ({"signal": "paused"}, 0),
        ({"state": "pending"}, 0),
        ({"state": "resolved"}, 0),  # the rule that had no data has some again
        ({"state": "resolved", "name": "PlayerOffline"}, 1),  # it "ended" only because there is no data
        ({"state": "resolved", "name": "PlayerOffline", "signal": "missing_series"}, 1),
        ({"received_at": NOW - timedelta(hours=25)}, 0),
    ],
)
def test_what_is_a_doubt_and_what_is_none(
    source: AlertSource, alice: User, fields: dict[str, object], notices: int
) -> None:
    doubt(source, **fields)

    assert notify_of_doubts(now=NOW) == notices


def test_an_alert_that_becomes_doubtful_later_is_told_of_then(source: AlertSource, alice: User) -> None:
    alert = doubt(source, signal="", name="PlayerOffline")
    assert notify_of_doubts(now=NOW) == 0

    Alert.objects.filter(pk=alert.pk).update(signal="error")

    assert notify_of_doubts(now=NOW + timedelta(minutes=1)) == 1


def test_a_storm_is_one_notice_and_what_comes_after_it_the_next(
    source: AlertSource, alice: User, figure: Callable[[str, str], None]
) -> None:
    for number in range(STORM):
        doubt(source, number)
    first = notify_of_doubts(now=NOW)
    doubt(source, STORM)
    soon = notify_of_doubts(now=NOW + AGAIN_AFTER - timedelta(seconds=1))
    later = notify_of_doubts(now=NOW + AGAIN_AFTER)

    assert (first, soon, later) == (1, 0, 1)
    counts = list(Notice.objects.order_by("created_at").values_list("data__count", flat=True))
    assert counts == [STORM, 1]
    assert not Alert.objects.filter(doubt_told_at=None).exists()
    figure("doubts", f"{STORM + 1} alerts without data, {len(counts)} notices")


def test_sources_and_platforms_do_not_silence_each_other(
    source: AlertSource, south: Platform, alice: User, charlie: User
) -> None:
    doubt(source)
    notify_of_doubts(now=NOW)
    doubt(make_source(south))

    assert notify_of_doubts(now=NOW) == 1
    assert told() == {("north", "alice"), ("south", "charlie")}


def test_the_words_name_the_device_the_rule_and_the_page(source: AlertSource, alice: User) -> None:
    player = make_device(source.platform, name="Hall")
    labels = {"alertname": "DatasourceError", "rulename": "Dark"}
    make_alert(source, player, signal="error", name="DatasourceError", labels=labels)
    notify_of_doubts(now=NOW)
    notice = Notice.objects.get()

    with translation.override("en"):
        assert sentence(notice.kind, notice.data) == "Grafana: 1 rule could not be evaluated"
        assert "nothing is switched because of it" in details(notice.kind, notice.data)
        assert "Hall (Dark)" in details(notice.kind, notice.data)
    with translation.override("ru"):
        assert sentence(notice.kind, notice.data) == "Grafana: не удалось вычислить 1 правило"
    client = Client()
    client.force_login(alice)
    page = client.get(path_of(notice))
    assert page.status_code == 200
    assert "DatasourceError" in page.content.decode()


def test_no_data_from_the_hook_to_the_person_switches_nothing() -> None:
    world = World(players=3, source="alert", hold_s=0)
    source = make_source(world.platform)
    labels = {"alertname": "DatasourceNoData", "rulename": "PlayerOffline", "mac": world.players[0].mac}

    assert post(source, body_of(item(labels, at=world.now))).status_code < 300
    world.turn()

    received = Alert.objects.get().received_at
    assert notify_of_doubts(now=received) == 1
    assert not Case.objects.exists()
    assert not Command.objects.exists()
