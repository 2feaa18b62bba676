"""Both pollers against a real server with every fault that we could think of: nobody becomes offline."""

import asyncio

import pytest
from aiohttp import web

from exporters.errors import AskError, BadSettings, Reason
from exporters.pollers.addreality import AddrealityPoller
from exporters.pollers.answers import (
    FAILURE_REASONS,
    MAX_TEXT,
    PATIENCE,
    Asker,
    check_settings,
    clean_text,
    each,
    reason_of_status,
)
from exporters.pollers.cubic import CubicPoller
from exporters.pollers.json_api import JsonPoller
from exporters.ports import PollSettings, Status, Target
from exporters.rounds import judge_round
from remosa.lib.http import REASONS as DOOR_REASONS
from remosa.lib.http import Door
from tests.exporters.cms import FAULTS, by_id, poll_once, running_cms, ways_that_fail

KINDS = {
    "cubic": (CubicPoller(), [Target(f"aa:bb:cc:dd:ee:{number:02x}") for number in range(4)]),
    "addreality": (AddrealityPoller(), [Target(str(4711 + number)) for number in range(4)]),
}
LISTED = {
    "path": "/devices", "list": "devices", "id": "id", "state": "state", "online": ["up"], "offline": ["offline"],
}  # fmt: skip
EACH = {**LISTED, "path": "/devices/{id}", "list": "@"}
KINDS |= {
    "json list": (JsonPoller(), [Target(str(number)) for number in range(4)]),
    "json each": (JsonPoller(), [Target(str(number)) for number in range(4)]),
}
CONFIG = {"json list": {"config": LISTED}, "json each": {"config": EACH}}
FAST = {"secret": "t", "timeout_s": 2.0, "concurrency": 4}


@pytest.fixture(autouse=True)
def loopback_is_allowed(settings):
    settings.EGRESS_ALLOW = ["127.0.0.0/8"]


async def rounds_under_faults(kinds):
    """{kind: {fault: (expected reason, round)}} for every fault and every way that fails, a few at a time:
    many of them are silence, and would wait for each other."""
    rounds = {kind: {} for kind in kinds}
    few = asyncio.Semaphore(8)

    async def under(kind, name, answer, reason, way=None):
        poller, targets = kinds[kind]
        async with few, running_cms(answer) as cms:
            base_url, how = cms.base_url, {}
            if way:
                base_url, how["resolver"], _reason = ways_that_fail(cms.base_url)[way]
            result = await poll_once(poller, base_url, targets, **FAST, **how, **CONFIG.get(kind, {}))
            rounds[kind][name] = (reason, result)

    async with asyncio.TaskGroup() as group:
        for kind in kinds:
            for name, (answer, reason) in FAULTS.items():
                group.create_task(under(kind, name, answer, reason))
            for name, (_url, _resolver, reason) in ways_that_fail("http://127.0.0.1:9").items():
                group.create_task(under(kind, name, FAULTS["http 500"][0], reason, way=name))
    return rounds


def test_no_fault_makes_a_device_offline(figure):
    kinds = asyncio.run(rounds_under_faults(KINDS))

    told = {
        (kind, fault): sorted({str(one.reason) for one in result.observations})
        for kind, rounds in kinds.items()
        for fault, (_, result) in rounds.items()
    }
    judged = [
        judge_round(result, {one.external_id: "online" for one in result.observations})
        for rounds in kinds.values()
        for _, result in rounds.values()
    ]
    zeros = sum(one.status is not Status.UNKNOWN for judgement in judged for one in judgement.observations)
    assert told == {
        (kind, fault): [reason] for kind, rounds in kinds.items() for fault, (reason, _) in rounds.items()
    }
    assert all(len(judgement.observations) == 4 for judgement in judged)
    assert not any(judgement.upstream_ok for judgement in judged)
    assert zeros == 0
    figure("cms faults", f"{len(kinds['cubic'])} kinds, {zeros} false zeros")


@pytest.mark.parametrize("kind", KINDS)
def test_a_failed_round_says_so_and_finds_nobody(kind):
    poller, targets = KINDS[kind]

    async def whole():
        async with running_cms(FAULTS["http 500"][0]) as cms:
            return await poll_once(poller, cms.base_url, targets, **FAST, **CONFIG.get(kind, {}))

    result = asyncio.run(whole())

    assert (result.upstream_ok, result.upstream_reason) == (False, Reason.HTTP_5XX)
    assert not result.complete
    assert result.found == ()
    assert set(result.errors) == {"http_5xx"}
    assert 0 < result.duration_s < 10


@pytest.mark.parametrize(
    "kind", [kind for kind in KINDS if kind != "json list"]
)  # which is asked for whoever is awaited in it
def test_a_round_without_targets_is_no_failure(kind):
    poller, _ = KINDS[kind]

    result = asyncio.run(
        poll_once(poller, "http://127.0.0.1:9", [], secret="t", discover=False, **CONFIG.get(kind, {}))
    )

    assert result.upstream_ok
    assert result.complete
    assert result.observations == ()


@pytest.mark.parametrize("kind", KINDS)
def test_a_round_ends_in_its_time_however_slow_the_cms_is(kind):
    poller, targets = KINDS[kind]

    async def whole():
        async with running_cms(FAULTS["no answer"][0]) as cms:
            settings = {"secret": "t", "timeout_s": 60, "concurrency": 1, "round_timeout_s": 0.3}
            settings |= CONFIG.get(kind, {})
            return await poll_once(poller, cms.base_url, targets, **settings), cms

    result, cms = asyncio.run(whole())

    assert {one.reason for one in result.observations} == {Reason.TIMEOUT}
    assert len(cms.asked) == 1
    assert 0.3 <= result.duration_s < 5


def test_after_a_429_the_round_asks_no_more():
    async def answer(request):
        if request.query["mac"].endswith("02"):
            return web.Response(status=429)
        return web.json_response([{"status": "online"}])

    async def whole():
        async with running_cms(answer) as cms:
            poller, targets = KINDS["cubic"]
            return await poll_once(poller, cms.base_url, targets, concurrency=1), cms

    result, cms = asyncio.run(whole())

    assert [str(one.reason or one.status) for one in result.observations] == ["online"] * 2 + ["http_429"] * 2
    assert len(cms.asked) == 3


def answering(answers):
    """A Cubic that answers the questions by ``answers(number of the question)``: online, or a 500."""
    counter = iter(range(10**6))

    async def answer(request):
        if answers(next(counter)):
            return web.json_response([{"status": "online"}])
        return web.Response(status=500)

    return answer


MANY = [Target(f"aa:bb:cc:dd:{number // 256:02x}:{number % 256:02x}") for number in range(200)]


@pytest.mark.parametrize(
    ("answers", "how", "asked"),
    [
        (lambda number: False, {}, PATIENCE),  # down: no use to ask on
        (lambda number: number % PATIENCE == 0, {}, 200),  # ill: an answer now and then
        (lambda number: False, {"is_cautious": True}, 1),  # was down already: one question tells
        (lambda number: True, {"is_cautious": True}, 200),  # and is back
    ],
)
def test_a_round_ends_when_the_cms_is_down_and_not_before(answers, how, asked):
    async def whole():
        async with running_cms(answering(answers)) as cms:
            return await poll_once(CubicPoller(), cms.base_url, MANY, concurrency=1, **how), cms

    result, cms = asyncio.run(whole())

    assert len(cms.asked) == asked
    assert len(result.observations) == 200
    assert {one.status for one in result.observations} <= {Status.ONLINE, Status.UNKNOWN}


def test_requests_are_as_rare_as_they_should_be():
    moments = []

    async def answer(request):
        moments.append(asyncio.get_running_loop().time())
        return web.json_response([{"status": "online"}])

    async def whole():
        async with running_cms(answer) as cms:
            return await poll_once(CubicPoller(), cms.base_url, MANY[:6], concurrency=6, rate_per_s=20)

    result = asyncio.run(whole())

    assert all(one.status == Status.ONLINE for one in result.observations)
    assert moments[-1] - moments[0] >= 5 / 20 - 0.06
    assert result.latency_s > 0


def test_a_rate_that_the_round_cannot_keep_leaves_the_rest_unknown():
    result = asyncio.run(_slow_round())

    assert [str(one.reason or one.status) for one in result.observations] == ["online"] * 2 + ["timeout"] * 4


async def _slow_round():
    async with running_cms(answering(lambda number: True)) as cms:
        settings = {"concurrency": 6, "rate_per_s": 2, "round_timeout_s": 0.9}
        return await poll_once(CubicPoller(), cms.base_url, MANY[:6], **settings)


def test_a_kept_connection_that_died_is_replaced():
    async def answer(request):
        if len(seen) == 1:
            request.transport.abort()
        seen.append(request.path_qs)
        return web.json_response([{"status": "online"}])

    async def whole():
        async with running_cms(answer) as cms:
            poller, targets = KINDS["cubic"]
            return await poll_once(poller, cms.base_url, targets, concurrency=1)

    seen = []
    result = asyncio.run(whole())

    assert {one.status for one in result.observations} == {Status.ONLINE}
    assert len(seen) == 5


def test_no_more_questions_at_once_than_allowed():
    async def answer(request):
        await asyncio.sleep(0.005)
        return web.json_response([{"status": "online"}])

    async def whole():
        async with running_cms(answer) as cms:
            targets = [Target(f"aa:bb:cc:dd:00:{number:02x}") for number in range(60)]
            return await poll_once(KINDS["cubic"][0], cms.base_url, targets, concurrency=7), cms

    result, cms = asyncio.run(whole())

    assert cms.most_at_once == 7
    assert {one.status for one in by_id(result).values()} == {Status.ONLINE}
    assert [one.external_id[-2:] for one in result.observations] == [f"{number:02x}" for number in range(60)]


@pytest.mark.parametrize(
    ("refused", "hint"),
    [
        (PollSettings("", secret="t"), "begin with http"),
        (PollSettings("ftp://cms.example", secret="t"), "begin with http"),
        (PollSettings("http://", secret="t"), "begin with http"),
        (PollSettings("http://[::1", secret="t"), "not a valid URL"),
        (PollSettings("http://cms.example:99999", secret="t"), "not a valid URL"),
        (PollSettings("http://cms.example:0", secret="t"), "begin with http"),
        (PollSettings("http://user:pw@cms.example", secret="t"), "password"),
        (PollSettings("http://cms.example/?x=1", secret="t"), "spaces"),
        (PollSettings("http://cms.example/\r\nX: 1", secret="t"), "spaces"),
        (PollSettings("http://cms.example", secret=""), "needs an API token"),
        (PollSettings("http://cms.example", secret="a\r\nX-Evil: 1"), "line breaks"),
        (PollSettings("http://cms.example", secret="ключ"), "non-Latin"),
        (PollSettings("http://cms.example", secret="t", timeout_s=0), "above 0 s"),
        (PollSettings("http://cms.example", secret="t", concurrency=0), "at least 1"),
    ],
)
def test_settings_that_no_request_can_be_made_of_are_refused_with_a_sentence(refused, hint):
    with pytest.raises(BadSettings, match=hint):
        check_settings(refused, needs_secret=True)
    with pytest.raises(BadSettings, match=hint):
        asyncio.run(KINDS["addreality"][0].poll(Door(), refused, []))


def test_a_secret_is_not_in_the_text_of_the_settings():
    assert "s3cret" not in repr(PollSettings("http://cms.example", secret="s3cret"))


def test_every_failure_of_the_door_has_a_reason():
    assert set(FAILURE_REASONS) == DOOR_REASONS


def test_every_status_is_a_success_or_has_a_reason():
    assert [status for status in range(100, 600) if reason_of_status(status) is None] == list(range(200, 300))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("Касса", "Касса"),
        ("  two\r\nlines ", "two  lines"),
        ("nul\x00", "nul"),
        ("half \ud83d", "half"),
        (4.2, "4.2"),
        (17, "17"),
        (True, ""),
        (None, ""),
        ([], ""),
        ({"a": 1}, ""),
        ("x" * 10_000, "x" * MAX_TEXT),
    ],
)
def test_texts_of_a_cms_become_one_short_storable_line(value, text):
    assert clean_text(value) == text


def test_answers_come_in_the_order_of_the_questions():
    async def slow_first(number):
        for _ in range(10 - number):
            await asyncio.sleep(0)
        return number

    assert asyncio.run(each(range(10), slow_first, PollSettings("", concurrency=4))) == list(range(10))
    assert asyncio.run(each([], slow_first, PollSettings("", concurrency=4))) == []


def test_an_asker_out_of_time_does_not_ask():
    async def whole():
        async with running_cms(FAULTS["http 500"][0]) as cms, Door() as door:
            asker = Asker(door, PollSettings(cms.base_url, round_timeout_s=1e-9), max_bytes=10)
            with pytest.raises(AskError, match="timeout"):
                await asker.ask("GET", "/")
            return cms

    assert asyncio.run(whole()).asked == []
