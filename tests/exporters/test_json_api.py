"""A CMS that is described instead of programmed: what is asked, what is read, and what is refused."""

import json
from datetime import UTC, datetime

import pytest
from aiohttp import web

from exporters.errors import BadSettings, ParseError, Reason
from exporters.exposition import DeviceRow, exposition, render_fragments, shape_of
from exporters.mapping import BadMapping, expression_fault, number, read_mapping, word
from exporters.pollers.json_api import JsonPoller, parse_device, parse_list
from exporters.ports import Status, Target, Trace
from tests.exporters.cms import by_id, poll_against

CONFIG = {
    "method": "GET",
    "path": "/api/screens",
    "headers": {"Authorization": "Key {secret}"},
    "list": "result.screens",
    "id": "serial",
    "name": "title",
    "state": "link.up",
    "last_online": "seen",
    "online": [True],
    "offline": [False],
    "facts": {"ip": "net.ip", "model": "hw.model"},
    "gauges": [
        {"name": "temperature", "unit": "celsius", "path": "env.t"},
        {"name": "disk_free", "unit": "bytes", "path": "disk"},
    ],
}


@pytest.fixture(autouse=True)
def loopback_is_allowed(settings):
    settings.EGRESS_ALLOW = ["127.0.0.0/8"]


def screen(serial, up=True, **over):
    row = {
        "serial": serial, "title": f"Экран {serial}", "link": {"up": up}, "net": {"ip": "10.0.0.1"},
        "hw": {"model": "X1"}, "env": {"t": 41.5}, "disk": "1024", "seen": 1751879740,
    }  # fmt: skip
    return row | over


def of_screens(*rows):
    return json.dumps({"result": {"screens": list(rows)}}).encode()


def poll(answer, ids, config=CONFIG, **settings):
    targets = [Target(str(one)) for one in ids]
    return poll_against(answer, JsonPoller(), targets, config=config, secret="s3cret", **settings)


# --- a list in one answer ------------------------------------------------------------------------------


def test_a_row_becomes_an_observation_with_its_facts_and_numbers():
    listing = parse_list(of_screens(screen("A-1"), screen("A-2", up=False)), read_mapping(CONFIG))

    assert listing.devices["A-1"].status == Status.ONLINE
    assert listing.devices["A-2"].status == Status.OFFLINE
    assert listing.devices["A-1"].facts == {
        "name": "Экран A-1", "ip": "10.0.0.1", "model": "X1", "temperature_celsius": 41.5,
        "disk_free_bytes": 1024.0, "last_online_at": datetime(2025, 7, 7, 9, 15, 40, tzinfo=UTC),
    }  # fmt: skip


def test_targets_are_found_in_the_list_and_the_rest_is_reported():
    async def answer(request):
        return web.json_response(
            {"result": {"screens": [screen("1"), screen("AA-BB-CC-00-11-22"), screen("3")]}}
        )

    result, cms = poll(answer, ["1", "aa:bb:cc:00:11:22", "9"])

    seen = by_id(result)
    assert [str(one.status) for one in seen.values()] == ["online", "online", "unknown"]
    assert seen["9"].reason == Reason.NO_DATA
    assert result.found == (Target("3", "Экран 3"),)
    assert len(cms.asked) == 1
    assert cms.asked[0][2]["Authorization"] == "Key s3cret"


@pytest.mark.parametrize("state", [None, "standby", "", 2, [], {}, "offline?"])
def test_any_other_word_is_unknown_and_never_offline(state):
    listing = parse_list(of_screens(screen("1", link={"up": state})), read_mapping(CONFIG))

    assert listing.devices["1"].status == Status.UNKNOWN
    assert listing.devices["1"].reason == Reason.UNKNOWN_STATUS


def test_a_state_that_stands_elsewhere_is_unknown():
    listing = parse_list(of_screens({"serial": "1"}), read_mapping(CONFIG))

    assert listing.devices["1"].status == Status.UNKNOWN


@pytest.mark.parametrize("serial", [None, True, 1.5, [], "", "a b", "x" * 101, "a\x00b"])
def test_a_row_without_an_id_spoils_only_itself(serial):
    listing = parse_list(of_screens(screen(serial), screen("2")), read_mapping(CONFIG))

    assert list(listing.devices) == ["2"]
    assert listing.errors == {Reason.BAD_ID: 1}


def test_two_rows_that_contradict_each_other_prove_nothing():
    listing = parse_list(of_screens(screen("1"), screen("1", up=False)), read_mapping(CONFIG))

    assert listing.devices["1"].status == Status.UNKNOWN


@pytest.mark.parametrize("body", [b"{}", b"[]", b'{"result": null}', b'{"result": {"screens": {}}}', b"1"])
def test_an_answer_without_the_list_is_refused(body):
    with pytest.raises(ParseError):
        parse_list(body, read_mapping(CONFIG))


def test_an_empty_list_is_no_data_and_not_offline():
    async def answer(request):
        return web.json_response({"result": {"screens": []}})

    result, _ = poll(answer, ["1", "2"])

    assert {one.reason for one in result.observations} == {Reason.NO_DATA}


# --- page by page ----------------------------------------------------------------------------------------


def paged(rows, most, *, ignores=False):
    async def answer(request):
        wish = await request.json()
        start = 0 if ignores else wish["from"]
        return web.json_response({"result": {"screens": rows[start : start + most]}})

    return answer


PAGED = CONFIG | {"method": "POST", "body": {"from": "{offset}", "count": "{limit}"}, "page_size": 10}


@pytest.mark.parametrize(("count", "pages"), [(9, 1), (10, 2), (25, 3)])
def test_pages_are_asked_for_until_one_is_not_full(count, pages):
    rows = [screen(str(number)) for number in range(count)]

    result, cms = poll(paged(rows, 10), range(count), PAGED)

    assert {one.status for one in result.observations} == {Status.ONLINE}
    assert [json.loads(body) for *_, body in cms.asked] == [
        {"from": 10 * page, "count": 10} for page in range(pages)
    ]
    assert not result.is_truncated


def test_an_api_that_repeats_its_page_is_truncated():
    rows = [screen(str(number)) for number in range(10)]

    result, _ = poll(paged(rows, 10, ignores=True), range(10), PAGED)

    assert (result.is_truncated, result.complete) == (True, False)
    assert {one.status for one in result.observations} == {Status.ONLINE}


# --- one request per device ------------------------------------------------------------------------------


EACH = CONFIG | {"path": "/api/screens/{id}", "list": "@"}


def test_each_device_is_asked_for_under_its_own_quoted_path():
    async def answer(request):
        return web.json_response(screen(request.path.rpartition("/")[2]))

    result, cms = poll(answer, ["1", "hall/a?b"], EACH)

    assert {path for _, path, *_ in cms.asked} == {"/api/screens/1", "/api/screens/hall%2Fa%3Fb"}
    assert by_id(result)["1"].status == Status.ONLINE


def test_an_answer_about_another_device_is_refused():
    with pytest.raises(ParseError):
        parse_device(json.dumps(screen("2")).encode(), read_mapping(EACH), external_id="1")


def test_an_answer_without_an_id_is_taken_for_the_one_asked_for():
    row = {"link": {"up": False}}

    seen = parse_device(json.dumps(row).encode(), read_mapping(EACH), external_id="1")

    assert seen.status == Status.OFFLINE


# --- the settings ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("over", "field"),
    [
        ({"path": "api"}, "path"),
        ({"path": "/api?key=1"}, "path"),
        ({"path": "/api/{secret}"}, "path"),
        ({"query": {"key": "{secret}"}}, "query"),
        ({"path": "/api/{mac}"}, "path"),
        ({"method": "DELETE"}, "method"),
        ({"body": {"a": 1}}, "body"),
        ({"headers": {"Host": "169.254.169.254"}}, "headers"),
        ({"headers": {"X-A": "a\r\nX-B: b"}}, "headers"),
        ({"headers": {"X-Id": "{id}"}}, "headers"),
        ({"list": "a..b"}, "list"),
        ({"id": ""}, "id"),
        ({"state": "[a, b]"}, "state"),
        ({"state": "{a: b}"}, "state"),
        ({"state": "sort_by(@, &x)"}, "state"),
        ({"state": "x" * 201}, "state"),
        ({"online": []}, "online"),
        ({"offline": ["TRUE"]}, "offline"),
        ({"facts": {"name": "x"}}, "facts"),
        ({"facts": {"IP": "x"}}, "facts"),
        ({"facts": {"ip": "("}}, "facts"),
        ({"gauges": [{"name": "x", "unit": "parsec", "path": "x"}]}, "gauges"),
        ({"gauges": [{"name": "device_status", "path": "x"}]}, "gauges"),
        ({"gauges": [{"name": "x_total", "path": "x"}]}, "gauges"),
        ({"gauges": [{"name": "x", "path": "x"}, {"name": "x", "path": "y"}]}, "gauges"),
        ({"page_size": 0}, "page_size"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_settings_that_cannot_work_are_refused_where_they_stand(over, field):
    with pytest.raises(BadMapping) as refused:
        read_mapping(CONFIG | over)

    assert set(refused.value.faults) == {field}
    assert refused.value.faults[field]


@pytest.mark.parametrize(
    "expression",
    [
        "a.b.c",
        "a[0].b",
        "a[*].b",
        "devices[?type=='player']",
        "a || b",
        "not_null(a, b)",
        "contains(tags, 'on')",
        "@",
    ],
)
def test_what_people_need_is_allowed(expression):
    assert expression_fault(expression) == ""


def test_a_round_with_bad_settings_says_so():
    with pytest.raises(BadSettings):
        poll(None, ["1"], {**CONFIG, "state": ""})


@pytest.mark.parametrize(
    ("value", "same"), [(True, "true"), (" ONLINE ", "online"), (1, "1"), (None, ""), ([], "")]
)
def test_words_are_compared_as_people_write_them(value, same):
    assert word(value) == same


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (1, 1.0),
        ("41,5", 41.5),
        (True, 1.0),
        ("nan", None),
        (float("inf"), None),
        ("x", None),
        (None, None),
        (10**400, None),
    ],
)
def test_numbers_are_finite_or_absent(value, read):
    assert number(value) == read


# --- what Prometheus gets ----------------------------------------------------------------------------------


def test_numbers_become_series_of_their_own_and_facts_labels():
    rows = [
        DeviceRow("1", "online", {"name": "Экран", "ip": "10.0.0.1", "temperature_celsius": 41.5}),
        DeviceRow("2", "unknown", {"name": "Табло", "temperature_celsius": 20.0}),
    ]

    text = exposition(render_fragments("json", rows, platform_id=1, exporter_id=2, config=CONFIG))

    ids = 'platform_id="1",exporter_id="2",device_id='
    assert f'remosa_exporter_json_device_status{{{ids}"1"}} 1\n' in text
    assert f'remosa_exporter_json_temperature_celsius{{{ids}"1"}} 41.5\n' in text
    assert f'remosa_exporter_json_device_info{{{ids}"1",name="Экран",ip="10.0.0.1",model=""}} 1\n' in text
    assert text.count("temperature_celsius{") == 1  # of what is unknown there is no value
    assert "# TYPE remosa_exporter_json_temperature_celsius gauge\n" in text


def test_settings_that_cannot_be_read_show_nothing():
    assert shape_of("json", {}) is None


def test_a_trial_sees_the_answer_and_the_words_that_nobody_explained():
    async def answer(request):
        return web.json_response({"result": {"screens": [screen("1", link={"up": "standby"})]}})

    trace = Trace()
    poll(answer, ["1"], trace=trace)

    assert trace.answer == "HTTP 200"
    assert b"standby" in trace.body
    assert trace.notes == ["standby"]
    assert "s3cret" not in trace.request
