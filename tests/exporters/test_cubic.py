"""Cubic: what its answers mean, and the questions that it gets."""

import gzip
import json
import random
from pathlib import Path

import pytest
from aiohttp import web

from exporters.errors import DEVICE_REASONS, ParseError, Reason
from exporters.pollers.cubic import CubicPoller, parse_status
from exporters.ports import Observation, Status, Target
from exporters.rounds import judge_round
from tests.exporters.cms import by_id, poll_against

MAC = "aa:bb:cc:dd:ee:00"
FIXTURE = [
    json.loads(line)
    for line in (Path(__file__).parents[1] / "fixtures/cms/cubic.jsonl").read_text().splitlines()
]


@pytest.fixture(autouse=True)
def loopback_is_allowed(settings):
    settings.EGRESS_ALLOW = ["127.0.0.0/8"]


def targets(count):
    return [Target(f"aa:bb:cc:dd:{number >> 8:02x}:{number & 255:02x}") for number in range(count)]


def test_the_recorded_answers_are_read_as_recorded():
    recorded = {row["request"].split("mac=")[1]: row for row in FIXTURE}

    async def answer(request):
        row = recorded[request.query["mac"]]
        text = row.get("body_text") or json.dumps(row["body"], ensure_ascii=False)
        return web.Response(status=row["http_status"], text=text, content_type="application/json")

    result, cms = poll_against(
        answer, CubicPoller(), [Target(mac) for mac in [*recorded][:2] + [*recorded][3:]]
    )

    seen = by_id(result)
    facts = {"name": "Холл 1 этаж", "ip": "192.168.1.10", "outip": "203.0.113.7"}
    assert seen["aa:bb:cc:dd:ee:01"] == Observation("aa:bb:cc:dd:ee:01", Status.ONLINE, facts)
    assert seen["aa:bb:cc:dd:ee:02"] == Observation("aa:bb:cc:dd:ee:02", Status.OFFLINE, facts)
    assert seen["aa:bb:cc:dd:ee:03"] == Observation("aa:bb:cc:dd:ee:03", Status.UNKNOWN, {}, Reason.HTTP_5XX)
    paths = {f"{method} {path}".replace("%3A", ":") for method, path, _, _ in cms.asked}
    assert paths == {row["request"] for row in FIXTURE} - {FIXTURE[2]["request"]}
    assert result.errors == {"http_5xx": 1}
    assert result.upstream_ok
    assert not result.complete


def test_an_empty_list_is_no_data_and_not_offline():
    assert parse_status(b"[]", external_id=MAC) == Observation(MAC, Status.UNKNOWN, {}, Reason.NO_DATA)


@pytest.mark.parametrize(
    "status", ["Online", "OFFLINE", "off", "", " offline", 0, 1, True, False, None, [], {}, ["offline"]]
)
def test_any_other_word_is_unknown(status):
    seen = parse_status(json.dumps([{"status": status, "name": "n"}]).encode(), external_id=MAC)

    assert (seen.status, seen.reason) == (Status.UNKNOWN, Reason.UNKNOWN_STATUS)
    assert seen.facts == {"name": "n"}


def test_a_missing_status_is_unknown():
    assert parse_status(b'[{"name": "n"}]', external_id=MAC).reason == Reason.UNKNOWN_STATUS


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"status": "offline"}', Reason.WRONG_SHAPE),
        (b'["offline"]', Reason.WRONG_SHAPE),
        (b"[[]]", Reason.WRONG_SHAPE),
        (b"[null]", Reason.WRONG_SHAPE),
        (b'"offline"', Reason.WRONG_SHAPE),
        (b"[" * 100_000, Reason.WRONG_SHAPE),
        (b'[{"status": "offline"', Reason.NOT_JSON),
        (b"offline", Reason.NOT_JSON),
        (b'[{"status": "offline", "mac": "02:00:00:00:00:99"}]', Reason.WRONG_SHAPE),
    ],
)
def test_an_answer_of_another_shape_is_refused(body, reason):
    with pytest.raises(ParseError) as refusal:
        parse_status(body, external_id=MAC)

    assert refusal.value.reason == reason


def test_an_answer_that_names_the_same_mac_is_taken():
    assert parse_status(b'[{"status": "online", "mac": "AABBCCDDEE00"}]', external_id=MAC).status == "online"
    assert parse_status(b'[{"status": "online", "mac": null}]', external_id=MAC).status == "online"


def test_facts_of_strange_types_do_no_harm():
    body = json.dumps([{"status": "online", "name": ["x"], "ip": None, "outIp": 7, "new": {}}]).encode()

    assert parse_status(body, external_id=MAC).facts == {"outip": "7"}


def test_half_an_emoji_in_a_name_does_not_hide_the_status():
    seen = parse_status(b'[{"status": "online", "name": "TV \\ud83d", "ip": "\\u0000"}]', external_id=MAC)

    assert seen == Observation(MAC, Status.ONLINE, {"name": "TV"})


def test_random_bytes_are_read_or_refused():
    rng = random.Random(5)
    right = json.dumps([{"status": "online", "name": "Касса", "ip": "10.0.0.1"}], ensure_ascii=False).encode()

    for _ in range(5000):
        broken = bytearray(right)
        for _ in range(rng.randrange(1, 6)):
            broken[rng.randrange(len(broken))] = rng.randrange(256)
        try:
            seen = parse_status(bytes(broken), external_id=MAC)
        except ParseError:
            continue
        assert seen.status is not Status.OFFLINE


def test_a_target_that_is_no_mac_is_not_asked_for():
    async def answer(request):
        return web.json_response([{"status": "offline"}])

    result, cms = poll_against(answer, CubicPoller(), [Target("../../x?mac=1"), Target(MAC)])

    assert by_id(result)["../../x?mac=1"].reason == Reason.BAD_ID
    assert by_id(result)[MAC].status == "offline"
    assert len(cms.asked) == 1


def test_one_empty_answer_and_one_outage_leave_the_others_as_they_are():
    async def answer(request):
        match request.query["mac"][-1]:
            case "0":
                return web.json_response([])
            case "1":
                return web.Response(status=500)
            case "2":
                return web.json_response([{"status": "offline"}])
            case _:
                return web.json_response([{"status": "online"}])

    result, _ = poll_against(answer, CubicPoller(), targets(6))

    words = [str(one.reason or one.status) for one in result.observations]
    assert words == ["no_data", "http_5xx", "offline", "online", "online", "online"]
    assert result.errors == {"no_data": 1, "http_5xx": 1}
    assert judge_round(result, {}).trustworthy


def test_every_answer_empty_is_suspect_and_nobody_is_offline():
    async def answer(request):
        return web.json_response([])

    result, _ = poll_against(answer, CubicPoller(), targets(20))

    judged = judge_round(result, {one.external_id: "online" for one in targets(20)})
    assert result.upstream_ok
    assert result.complete
    assert judged.suspicion == "empty_answer"
    assert judged.counts() == {"online": 0, "offline": 0, "unknown": 20}


def test_a_compressed_answer_is_read():
    async def answer(request):
        assert request.headers["Accept-Encoding"] == "gzip"
        body = gzip.compress(b'[{"status": "offline"}]')
        return web.Response(body=body, headers={"Content-Encoding": "gzip"})

    result, _ = poll_against(answer, CubicPoller(), targets(3))

    assert {one.status for one in result.observations} == {Status.OFFLINE}


def test_a_thousand_players_are_polled_over_few_connections():
    async def answer(request):
        ports.add(request.transport.get_extra_info("peername"))
        return web.json_response([{"status": "online", "name": request.query["mac"]}])

    ports = set()
    result, cms = poll_against(answer, CubicPoller(), targets(1000), concurrency=16)

    assert len(cms.asked) == 1000
    assert len(ports) <= 16
    assert all(one.facts["name"] == one.external_id for one in result.observations)
    assert result.complete


def test_a_base_address_may_have_a_path_and_a_slash():
    async def answer(request):
        assert request.path == "/cms/api/v0.1/players/status-check"
        return web.json_response([{"status": "online"}])

    result, _ = poll_against(answer, CubicPoller(), targets(1), under="/cms/")

    assert result.observations[0].status == "online"


def test_an_id_is_stored_in_one_spelling():
    assert CubicPoller().normalise_id(" AABB.CCDD.EE00 ") == MAC
    with pytest.raises(ValueError, match="12 hexadecimal digits"):
        CubicPoller().normalise_id("4711")


def test_the_reasons_that_blame_a_device_are_those_that_name_it():
    assert {"no_data", "unknown_status", "bad_id"} == DEVICE_REASONS
