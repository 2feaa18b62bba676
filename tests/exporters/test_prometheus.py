"""Debian's Prometheus against the real server: it finds a platform, scrapes it, and reads what we meant."""

import asyncio
from collections import Counter
from datetime import timedelta

import pytest

from exporters.ports import Observation, RoundResult, Status
from exporters.prometheus_files import dashboard
from exporters.services import store_round
from platforms import tokens
from remosa.lib.clock import utcnow
from remosa.lib.http import Door
from tests.factories import make_device, make_exporter, make_target
from tests.servers.prometheus import PromtoolComplaint

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.databases]

SELF_METRICS = {
    "remosa_exporter_up",
    "remosa_exporter_last_success_timestamp_seconds",
    "remosa_exporter_poll_duration_seconds",
    "remosa_exporter_snapshot_age_seconds",
    "remosa_exporter_targets",
    "remosa_exporter_poll_errors_total",
}
CUBIC = {"remosa_exporter_cubic_device_status", "remosa_exporter_cubic_device_info"}
ADDREALITY = {
    "remosa_exporter_addreality_device_status",
    "remosa_exporter_addreality_player_status",
    "remosa_exporter_addreality_last_online_timestamp_seconds",
    "remosa_exporter_addreality_device_info",
}
NAME = 'Касса №1 «Юг» \\ "угол"'


def store(exporter, *observations, at=None):
    errors = Counter(str(one.reason) for one in observations if one.reason)
    moment = at or utcnow()
    store_round(
        exporter_id=exporter.pk,
        result=RoundResult(observations, (), errors, True, "", True, 0.1),
        started_at=moment,
        finished_at=moment,
    )


@pytest.fixture
def cubic(north):
    """Three players: online, offline, and one that the CMS does not know."""
    exporter = make_exporter(north, interval_s=3600)
    for number, name in enumerate((NAME, "Вход", "Склад"), start=1):
        mac = f"02:00:00:00:00:0{number}"
        make_target(exporter, make_device(north, mac=mac, name=name), external_id=mac)
    store(
        exporter,
        Observation("02:00:00:00:00:01", Status.ONLINE, {"name": NAME, "ip": "10.0.0.1", "outip": "1.2.3.4"}),
        Observation("02:00:00:00:00:02", Status.OFFLINE, {"name": "Вход"}),
        Observation("02:00:00:00:00:03", Status.UNKNOWN, {}, "no_data"),
    )
    return exporter


@pytest.fixture
def addreality(north):
    exporter = make_exporter(north, kind="addreality", secret="t", interval_s=3600)
    make_target(exporter, make_device(north, mac="", external_id="4711"), external_id="4711")
    facts = {"name": "Табло", "player_status": 1, "last_online_at": utcnow() - timedelta(minutes=1)}
    facts |= {"player_version": "7.1", "time_zone": "Europe/Moscow", "activation_state": "true"}
    store(exporter, Observation("4711", Status.ONLINE, facts), Observation("4712", Status.ONLINE))
    return exporter


@pytest.fixture
def token(north):
    _row, text = tokens.issue(name="prometheus", scopes=["scrape"], by=None, platform=north)
    return text


@pytest.fixture
def server(live_server, settings):
    """The address of the running server, as PUBLIC_URL knows it."""
    settings.PUBLIC_URL = live_server.url
    settings.EGRESS_ALLOW = ["127.0.0.0/8", "::1/128"]
    return live_server.url


def config(server, token, platform):
    credentials = {"credentials": token}
    return {
        "global": {"scrape_interval": "500ms", "scrape_timeout": "500ms"},
        "scrape_configs": [
            {
                "job_name": "remosa",
                "http_sd_configs": [
                    {
                        "url": f"{server}/platforms/{platform.pk}/sd",
                        "refresh_interval": "1s",
                        "authorization": credentials,
                    }
                ],
                "authorization": credentials,
            }
        ],
    }


def test_prometheus_finds_the_platform_and_reads_its_series(
    north, south, cubic, addreality, token, server, run_prometheus
):
    prometheus = run_prometheus(config(server, token, north))

    prometheus.wait_for("remosa_exporter_addreality_device_info", deadline_s=30)

    (target,) = prometheus.targets()
    assert (target["health"], target["lastError"]) == ("up", "")
    names = set(prometheus.get("label/__name__/values"))
    assert {name for name in names if name.startswith("remosa_")} == SELF_METRICS | CUBIC | ADDREALITY
    assert labels_of(prometheus, "remosa_exporter_cubic_device_status") == {
        ("02:00:00:00:00:01", str(north.pk), str(cubic.pk)): "1",
        ("02:00:00:00:00:02", str(north.pk), str(cubic.pk)): "0",
    }
    info = {
        sample["metric"]["mac"]: sample["metric"]
        for sample in prometheus.query("remosa_exporter_cubic_device_info")
    }
    assert without_scrape(info["02:00:00:00:00:01"]) == {
        "platform_id": str(north.pk), "exporter_id": str(cubic.pk), "mac": "02:00:00:00:00:01",
        "name": NAME, "ip": "10.0.0.1", "outip": "1.2.3.4",
    }  # fmt: skip
    assert info["02:00:00:00:00:03"]["name"] == "Склад"
    (board,) = prometheus.query("remosa_exporter_addreality_device_info")
    assert without_scrape(board["metric"]) == {
        "platform_id": str(north.pk), "exporter_id": str(addreality.pk), "device_id": "4711", "name": "Табло",
        "player_version": "7.1", "time_zone": "Europe/Moscow", "activation_state": "true",
    }  # fmt: skip
    assert not [name for name in prometheus.get("labels") if name.startswith("exported_")]
    types = {name: meta[0]["type"] for name, meta in prometheus.get("metadata").items()}
    assert types["remosa_exporter_poll_errors"] == "counter"  # OpenMetrics names the family without _total
    assert types["remosa_exporter_cubic_device_status"] == "gauge"


def labels_of(prometheus, name):
    """{(mac, platform_id, exporter_id): value}"""
    return {
        (s["metric"]["mac"], s["metric"]["platform_id"], s["metric"]["exporter_id"]): s["value"][1]
        for s in prometheus.query(name)
    }


def without_scrape(labels):
    return {key: value for key, value in labels.items() if key not in ("__name__", "job", "instance")}


def test_an_outage_is_absence_in_prometheus_and_never_zero(north, cubic, token, server, run_prometheus):
    prometheus = run_prometheus(config(server, token, north))
    prometheus.wait_for("remosa_exporter_cubic_device_status == 1", deadline_s=30)

    store(
        cubic,
        *(Observation(f"02:00:00:00:00:0{number}", Status.UNKNOWN, {}, "timeout") for number in (1, 2, 3)),
    )
    prometheus.wait_for("remosa_exporter_up == 0", deadline_s=30)

    assert prometheus.query("remosa_exporter_cubic_device_status") == []
    assert len(prometheus.query("remosa_exporter_cubic_device_info")) == 3
    errors = prometheus.query('remosa_exporter_poll_errors_total{reason="timeout"}')
    assert [sample["value"][1] for sample in errors] == ["3"]


def test_a_wrong_token_and_a_foreign_one_find_nothing(north, south, cubic, server, run_prometheus):
    _row, foreign = tokens.issue(name="t", scopes=["scrape"], by=None, platform=south)
    make_exporter(south)
    own = config(server, foreign, south)
    job = own["scrape_configs"][0]
    static = {"targets": [server.removeprefix("http://")]}
    own["scrape_configs"] += [
        {**job, "job_name": "foreign", "http_sd_configs": [], "static_configs": [static],
         "metrics_path": f"/platforms/{north.pk}/metrics"},
        {**job, "job_name": "wrong", "http_sd_configs": [], "static_configs": [static],
         "metrics_path": f"/platforms/{north.pk}/metrics", "authorization": {"credentials": "rms_wrong"}},
    ]  # fmt: skip
    prometheus = run_prometheus(own)

    prometheus.wait_for('up{job="remosa"} == 1 and on() (count(up == 0) == 2)', deadline_s=30)

    errors = {target["labels"]["job"]: target["lastError"] for target in prometheus.targets()}
    assert "404" in errors["foreign"]
    assert "401" in errors["wrong"]
    assert prometheus.query(f'{{platform_id="{north.pk}"}}') == []


def test_promtool_has_no_complaint(north, cubic, addreality, token, server, run_promtool):
    text = fetch(f"{server}/platforms/{north.pk}/metrics", token)

    run_promtool("check", "metrics", stdin=text)  # raises what promtool says

    assert "Касса" in text
    assert text.count("# TYPE") == len(SELF_METRICS | CUBIC | ADDREALITY)


def test_promtool_objects_to_a_double_family(north, cubic, token, server, run_promtool):
    """So that its silence above means something."""
    text = fetch(f"{server}/platforms/{north.pk}/metrics", token)

    with pytest.raises(PromtoolComplaint):
        run_promtool("check", "metrics", stdin=text + text)


def fetch(url, token):
    """One GET through the product's own door."""

    async def whole():
        async with Door() as door:
            headers = {"Authorization": f"Bearer {token}"}
            return await door.request("GET", url, headers=headers, deadline_s=10, max_bytes=2**20)

    response = asyncio.run(whole())
    assert response.status == 200
    return response.text


def test_every_query_of_the_dashboard_answers_on_prometheus(
    north, cubic, addreality, token, server, run_prometheus, figure
):
    make_target(addreality, make_device(north, mac="", external_id="4713"), external_id="4713")
    store(addreality, Observation("4711", Status.ONLINE), Observation("4713", Status.UNKNOWN, {}, "no_data"))
    prometheus = run_prometheus(config(server, token, north))
    panels = dashboard(north.pk, "north")["panels"]

    found = {}
    for panel in panels:
        for target in panel["targets"]:
            found[panel["title"]] = prometheus.wait_for(target["expr"], deadline_s=30)

    assert {title: found[title][0]["value"][1] for title in ("Online", "Offline", "No data", "CMS that answer")} == {
        "Online": "2", "Offline": "1", "No data": "2", "CMS that answer": "2",
    }  # fmt: skip
    assert [sample["metric"]["mac"] for sample in found["Offline now"]] == ["02:00:00:00:00:02"]
    figure("dashboard", f"{len(found)} panels, each query answered by Prometheus")
