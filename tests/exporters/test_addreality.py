"""Addreality: what its answers mean, and the questions that it gets."""

import json
import random
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiohttp import web

from exporters.errors import ParseError, Reason
from exporters.pollers.addreality import MAX_ID, PAGE, AddrealityPoller, parse_devices, parse_time
from exporters.ports import Observation, Status, Target
from exporters.rounds import judge_round
from tests.exporters.cms import by_id, poll_against

FIXTURE = [
    json.loads(line)
    for line in (Path(__file__).parents[1] / "fixtures/cms/addreality.jsonl").read_text().splitlines()
]


@pytest.fixture(autouse=True)
def loopback_is_allowed(settings):
    settings.EGRESS_ALLOW = ["127.0.0.0/8"]


def make_row(number, **over):
    row = {
        "id": number,
        "name": f"Касса {number}",
        "connection_state": "online",
        "player_status": "playback",
        "last_online": "2025-07-07T09:15:40Z",
        "player_version": "4.2.1",
        "time_zone": "Europe/Moscow",
        "activation_state": True,
    }
    return row | over


def account(*rows, limit=PAGE):
    """An Addreality account that has ``rows``, honours the filter and cuts its lists at ``limit``."""

    async def answer(request):
        wanted = await request.json()
        chosen = [row for row in rows if not wanted["id"] or row["id"] in wanted["id"]]
        return web.json_response({"data": chosen[: min(limit, wanted["limit"])]})

    return answer


def poll(answer, ids, **settings):
    return poll_against(
        answer, AddrealityPoller(), [Target(str(number)) for number in ids], secret="t0ken", **settings
    )


def read(*rows):
    return parse_devices(json.dumps({"data": list(rows)}).encode())


@pytest.mark.parametrize("case", FIXTURE, ids=["three", "empty", "401", "one"])
def test_the_recorded_answers_are_read_as_recorded(case):
    async def answer(request):
        return web.json_response(case["body"], status=case["http_status"])

    ids = [4711, 4712, 4713]
    result, cms = poll(answer, ids, discover=False)

    online = [int(one.external_id) for one in result.observations if one.status == "online"]
    playing = [int(one.external_id) for one in result.observations if one.facts.get("player_status")]
    expect = case["expect"]
    assert online == expect.get("online", [4711] if expect.get("devices") else [])
    assert playing == expect.get("playing", online)
    for number, unix in expect.get("last_online_unix", {}).items():
        assert by_id(result)[number].facts["last_online_at"].timestamp() == unix
    assert all(one.status != "offline" for one in result.observations) is (expect.get("devices") != 3)
    [(method, path, headers, body)] = cms.asked
    assert (method, path) == (case["request"]["method"], case["request"]["path"])
    assert headers["X-API-Token"] == "t0ken"
    assert headers["Content-Type"] == "application/json"
    assert json.loads(body) == {"id": ids, "limit": 300}


def test_the_question_that_finds_players_is_the_recorded_one():
    result, cms = poll(account(make_row(1), make_row(2)), [])

    [(_, _, _, body)] = cms.asked
    assert json.loads(body) == FIXTURE[0]["request"]["body"]
    assert result.found == (Target("1", "Касса 1"), Target("2", "Касса 2"))
    assert result.observations == ()
    assert result.complete


def test_a_row_becomes_an_observation_with_its_facts():
    page = read(make_row(4711, last_online="2025-07-06T21:00:00.5+03:00", activation_state=False))

    assert page.devices[4711] == Observation(
        "4711",
        Status.ONLINE,
        {
            "name": "Касса 4711",
            "player_version": "4.2.1",
            "time_zone": "Europe/Moscow",
            "activation_state": "false",
            "player_status": 1,
            "last_online_at": datetime(2025, 7, 6, 18, 0, 0, 500_000, tzinfo=UTC),
        },
    )


@pytest.mark.parametrize("state", ["Online", "OFFLINE", "", "sleep", 0, 1, True, False, None, [], {}])
def test_any_other_word_of_connection_is_unknown(state):
    [seen] = read(make_row(1, connection_state=state)).devices.values()

    assert (seen.status, seen.reason) == (Status.UNKNOWN, Reason.UNKNOWN_STATUS)
    assert seen.facts["name"] == "Касса 1"


@pytest.mark.parametrize(
    ("playing", "value"),
    [("playback", 1), ("pause", 0), ("stop", 0), ("", 0), (None, None), (1, None), ([], None)],
)
def test_only_playback_plays(playing, value):
    assert read(make_row(1, player_status=playing)).devices[1].facts.get("player_status") == value


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2025-07-07T09:15:40Z", datetime(2025, 7, 7, 9, 15, 40, tzinfo=UTC)),
        ("2025-07-07T09:15:40.123456Z", datetime(2025, 7, 7, 9, 15, 40, 123456, tzinfo=UTC)),
        ("2025-07-07T09:15:40.123456789Z", datetime(2025, 7, 7, 9, 15, 40, 123456, tzinfo=UTC)),
        ("2025-07-06T21:00:00+03:00", datetime(2025, 7, 6, 18, tzinfo=UTC)),
        ("2025-07-06 21:00:00-0330", datetime(2025, 7, 7, 0, 30, tzinfo=UTC)),
        ("2025-07-07T09:15:40", None),
        ("2025-07-07", None),
        ("0001-01-01T00:00:00Z", None),
        ("0001-01-01T00:00:00+14:00", None),
        ("9999-12-31T23:59:59-14:00", None),
        ("1970-01-01T00:00:00Z", None),
        ("yesterday", None),
        ("", None),
        ("2" * 1000, None),
        (1751879740, None),
        (None, None),
    ],
)
def test_times_are_read_with_their_zone_or_not_at_all(text, moment):
    assert parse_time(text) == moment


@pytest.mark.parametrize("number", ["4711", "x", 1.5, True, None, 0, -1, MAX_ID + 1, [], {}])
def test_a_row_without_a_sound_id_spoils_only_itself(number):
    page = read(make_row(number), make_row(2))

    assert set(page.devices) == {2}
    assert page.errors == {"bad_id": 1}


@pytest.mark.parametrize("row", [None, "offline", 4711, [], [1]])
def test_a_row_that_is_no_object_spoils_only_itself(row):
    page = read(row, make_row(2))

    assert set(page.devices) == {2}
    assert page.errors == {"wrong_shape": 1}


@pytest.mark.parametrize(
    "answer", [[], "data", {"data": "offline"}, {"data": None}, {"data": {"id": 1}}, {}, {"devices": []}, 7]
)
def test_an_answer_without_a_list_is_refused(answer):
    with pytest.raises(ParseError, match="wrong_shape"):
        parse_devices(json.dumps(answer).encode())


def test_a_device_named_twice_alike_is_one_and_contradicted_is_unknown():
    page = read(
        make_row(1),
        make_row(1),
        make_row(2),
        make_row(2, connection_state="offline"),
        make_row(3, connection_state="offline"),
        make_row(3),
        make_row(3, connection_state="offline"),
    )

    assert [str(one.status) for one in page.devices.values()] == ["online", "unknown", "unknown"]
    assert page.devices[2].reason == Reason.UNKNOWN_STATUS


def test_a_missing_target_is_no_data_and_not_offline():
    result, _ = poll(account(make_row(1), make_row(2, connection_state="offline")), [1, 2, 3])

    assert [str(one.reason or one.status) for one in result.observations] == ["online", "offline", "no_data"]
    assert result.errors == {"no_data": 1}
    assert result.complete


def test_an_empty_list_is_not_an_outage_of_all_devices():
    result, _ = poll(account(), range(1, 21))

    judged = judge_round(result, {str(number): "online" for number in range(1, 21)})
    assert result.upstream_ok
    assert judged.suspicion == "empty_answer"
    assert judged.counts() == {"online": 0, "offline": 0, "unknown": 20}


def test_half_the_list_is_suspect_and_nobody_is_offline():
    result, _ = poll(account(*[make_row(number) for number in range(1, 10)]), range(1, 21))

    judged = judge_round(result, {str(number): "online" for number in range(1, 21)})
    assert judged.suspicion == "half_missing"
    assert judged.counts() == {"online": 9, "offline": 0, "unknown": 11}


def test_seven_hundred_targets_are_asked_for_by_id_and_all_answered():
    rows = [
        make_row(number, connection_state="offline" if number % 7 == 0 else "online")
        for number in range(1, 701)
    ]

    result, cms = poll(account(*rows), range(1, 701))

    asked = sorted(len(json.loads(body)["id"]) for _, _, _, body in cms.asked)
    assert asked == [0, 0, 100, 300, 300]  # the full list was asked on once, in vain
    assert all(
        one.status == ("offline" if int(one.external_id) % 7 == 0 else "online")
        for one in result.observations
    )
    assert result.found == ()
    assert not result.complete  # the question for everybody got exactly 300: there may be more
    assert result.is_truncated


@pytest.mark.parametrize(("count", "complete"), [(299, True), (300, False), (301, False)])
def test_a_full_list_of_found_players_may_be_cut(count, complete):
    result, _ = poll(account(*[make_row(number) for number in range(1, count + 1)]), [1])

    assert result.complete is complete
    assert len(result.found) == min(count, 300) - 1


@pytest.mark.parametrize(("count", "pages"), [(299, 1), (300, 2), (301, 2), (650, 3)])
def test_an_account_that_can_go_on_is_read_to_its_end(count, pages):
    rows = [make_row(number) for number in range(1, count + 1)]

    async def answer(request):
        wish = await request.json()
        start = wish.get("offset", 0)
        return web.json_response(
            {"data": rows[start : start + wish["limit"]] if not wish["id"] else rows[:1]}
        )

    result, cms = poll(answer, [1])

    assert len(result.found) == count - 1
    assert (result.is_truncated, result.complete) == (False, True)
    assert len([body for *_, body in cms.asked if not json.loads(body)["id"]]) == pages


def test_an_account_that_refuses_to_go_on_is_truncated_and_no_failure():
    rows = [make_row(number) for number in range(1, 301)]

    async def answer(request):
        wish = await request.json()
        return web.Response(status=400) if "offset" in wish else web.json_response({"data": rows})

    result, _ = poll(answer, [1])

    assert result.is_truncated
    assert result.upstream_ok
    assert (len(result.found), dict(result.errors)) == (299, {})


def test_a_further_page_that_fails_is_an_error_and_not_the_end():
    rows = [make_row(number) for number in range(1, 301)]

    async def answer(request):
        wish = await request.json()
        return web.Response(status=500) if "offset" in wish else web.json_response({"data": rows})

    result, _ = poll(answer, [1])

    assert (result.is_truncated, result.complete) == (True, False)
    assert dict(result.errors) == {"http_5xx": 1}
    assert result.observations[0].status == Status.ONLINE


def test_a_full_page_of_targets_hides_nothing():
    rows = [make_row(number) for number in range(1, 301)]

    result, _ = poll(account(*rows), range(1, 301), discover=False)

    assert result.complete
    assert {one.status for one in result.observations} == {Status.ONLINE}


def test_a_page_that_fails_leaves_the_other_pages_as_they_are():
    right = account(*[make_row(number) for number in range(1, 601)])

    async def answer(request):
        wanted = await request.json()
        return web.Response(status=502) if 1 in wanted["id"] else await right(request)

    result, _ = poll(answer, range(1, 601), discover=False)

    words = [str(one.reason or one.status) for one in result.observations]
    assert words == ["http_5xx"] * 300 + ["online"] * 300
    assert result.errors == {"http_5xx": 1}
    assert result.upstream_ok
    assert not result.complete
    assert judge_round(result, {}).upstream_ok


def test_a_cms_that_ignores_the_filter_is_read_all_the_same():
    rows = [make_row(number) for number in range(1, 11)]

    async def answer(request):
        return web.json_response({"data": rows})

    result, _ = poll(answer, [1, 2, 99], discover=False)

    assert [str(one.reason or one.status) for one in result.observations] == ["online", "online", "no_data"]
    assert [found.external_id for found in result.found] == [str(number) for number in range(3, 11)]


def test_targets_that_are_no_numbers_are_not_asked_for():
    ids = ["4711", "007", "x", "-1", "4711'", "٤٧", "9" * 400, ""]

    result, cms = poll(account(make_row(4711), make_row(7)), ids, discover=False)

    assert [json.loads(body)["id"] for _, _, _, body in cms.asked] == [[4711, 7]]
    words = [str(one.reason or one.status) for one in result.observations]
    assert words == ["online", "online"] + ["bad_id"] * 6
    assert [one.external_id for one in result.observations] == ids


def test_ten_thousand_rows_and_strange_texts_do_no_harm():
    rows = [
        make_row(number, name="\x00\ud83d" * 100, player_version=number, time_zone=[])
        for number in range(1, 10_001)
    ]

    page = read(*rows)

    assert len(page.devices) == 10_000
    assert page.is_full
    assert page.devices[5].facts["player_version"] == "5"
    assert "name" not in page.devices[5].facts


def test_random_bytes_are_read_or_refused():
    rng = random.Random(6)
    right = json.dumps({"data": [make_row(1), make_row(2)]}, ensure_ascii=False).encode()

    for _ in range(3000):
        broken = bytearray(right)
        for _ in range(rng.randrange(1, 6)):
            broken[rng.randrange(len(broken))] = rng.randrange(256)
        try:
            page = parse_devices(bytes(broken))
        except ParseError:
            continue
        assert all(one.status is not Status.OFFLINE for one in page.devices.values())


def test_an_id_is_stored_in_one_spelling():
    assert AddrealityPoller().normalise_id(" 04711\t") == "4711"
    for text in ("x", "", "-5", "1.5", "0", "9" * 30):
        with pytest.raises(ValueError, match="whole number"):
            AddrealityPoller().normalise_id(text)
