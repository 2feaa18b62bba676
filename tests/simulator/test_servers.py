"""The HTTP faces, over real sockets of the loopback, against the formats of the real services."""

import http.client
import json
import re
from urllib.parse import quote, urlsplit

import pytest

from remosa.simulator.fleet import demo_fleet
from remosa.simulator.thread import SimulatorThread
from remosa.simulator.world import World

FLEET = demo_fleet()
CUBIC = FLEET.players_in("cubic")
ADDREALITY = FLEET.players_in("addreality")
TOKEN = {"X-API-Token": "demo-addreality-token"}
KEY = {"Authorization": "demo-sms-key"}
SOCKET = FLEET.sockets[0]


def call(simulator, method, path, *, headers=None, content=None, timeout_s=5.0):
    """(status, body text, content type) of one request on a fresh connection."""
    url = urlsplit(simulator.base_url)
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=timeout_s)
    try:
        body = None if content is None else content if isinstance(content, str) else json.dumps(content)
        connection.request(method, path, body=body, headers=headers or {})
        response = connection.getresponse()
        return (
            response.status,
            response.read().decode("utf-8", "replace"),
            response.headers.get_content_type(),
        )
    finally:
        connection.close()


def cubic(simulator, mac):
    return call(simulator, "GET", f"/cubic/api/v0.1/players/status-check?mac={quote(mac)}")


def addreality(simulator, content=None, headers=TOKEN):
    content = {"id": [], "limit": 300} if content is None else content
    return call(simulator, "POST", "/addreality/public/v1/device/list", headers=headers, content=content)


def send(simulator, number=SOCKET.msisdn, text="#07#", headers=KEY):
    return call(simulator, "POST", f"/sms/send?number={quote(number)}&text={quote(text)}", headers=headers)


def inbox(simulator):
    status, body, _ = call(simulator, "GET", "/sms/sms", headers=KEY)
    assert status == 200
    return json.loads(body)


def control(simulator, path, content=None):
    status, body, _ = call(simulator, "POST", f"/control/{path}", content={} if content is None else content)
    return status, json.loads(body)


# --- Cubic ------------------------------------------------------------------------------------------


def test_cubic_tells_one_player_as_a_list(simulator):
    player = CUBIC[0]

    status, body, kind = cubic(simulator, player.id)

    assert (status, kind) == (200, "application/json")
    assert json.loads(body) == [
        {"status": "online", "name": player.name, "ip": player.ip, "outIp": player.outip}
    ]


@pytest.mark.parametrize(
    "spell", [str.upper, lambda mac: mac.replace(":", "-"), lambda mac: mac.replace(":", "")]
)
def test_cubic_knows_a_mac_in_any_spelling(simulator, spell):
    assert len(json.loads(cubic(simulator, spell(CUBIC[0].id))[1])) == 1


@pytest.mark.parametrize("mac", ["00:00:00:00:00:00", ADDREALITY[0].id, "junk"])
def test_cubic_answers_an_unknown_player_with_an_empty_list(simulator, mac):
    assert cubic(simulator, mac)[:2] == (200, "[]")


def test_cubic_shows_a_hung_player_offline(simulator):
    control(simulator, f"players/{CUBIC[0].id}/hang")

    assert json.loads(cubic(simulator, CUBIC[0].id)[1])[0]["status"] == "offline"
    assert json.loads(cubic(simulator, CUBIC[1].id)[1])[0]["status"] == "online"


# --- Addreality -------------------------------------------------------------------------------------


def test_addreality_lists_every_device_in_its_own_words(simulator):
    status, body, _ = addreality(simulator)

    devices = json.loads(body)["data"]
    assert status == 200
    assert [device["id"] for device in devices] == [int(player.id) for player in ADDREALITY]
    assert devices[0] == {
        "id": int(ADDREALITY[0].id),
        "name": ADDREALITY[0].name,
        "connection_state": "online",
        "player_status": "playback",
        "last_online": "2025-07-07T09:00:00Z",
        "player_version": ADDREALITY[0].version,
        "time_zone": ADDREALITY[0].time_zone,
        "activation_state": True,
    }


def test_addreality_filters_by_id(simulator):
    wanted = [int(ADDREALITY[3].id), int(ADDREALITY[5].id)]

    body = addreality(simulator, {"id": [*wanted, 99999], "limit": 300})[1]

    assert [device["id"] for device in json.loads(body)["data"]] == wanted


def test_addreality_limits_and_pages(simulator):
    first = json.loads(addreality(simulator, {"id": [], "limit": 15})[1])["data"]
    second = json.loads(addreality(simulator, {"id": [], "limit": 15, "offset": 15})[1])["data"]

    assert (len(first), len(second)) == (15, 5)
    assert {device["id"] for device in first + second} == {int(player.id) for player in ADDREALITY}


@pytest.mark.parametrize("headers", [{}, {"X-API-Token": "wrong"}])
def test_addreality_refuses_a_wrong_token(simulator, headers):
    status, body, _ = addreality(simulator, headers=headers)

    assert (status, json.loads(body)) == (401, {"error": "unauthorized"})


@pytest.mark.parametrize(
    "content", ["{", "[]", {"id": "all"}, {"limit": 0}, {"limit": "many"}, {"offset": -1}]
)
def test_addreality_refuses_a_malformed_wish(simulator, content):
    assert addreality(simulator, content)[0] == 400


# --- outages of the CMS -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "status", "body", "kind"),
    [
        ("500", 500, "Internal Server Error", "text/plain"),
        ("401", 401, '{"error": "unauthorized"}', "application/json"),
        ("html", 200, "<!doctype html>", "text/html"),
        ("blank", 200, "", "application/json"),
        ("broken", 200, '[{"status": "onl', "application/json"),
    ],
)
def test_cms_in_trouble_answers_alike_on_both_apis(simulator, mode, status, body, kind):
    assert control(simulator, "faults", {"cms": mode})[0] == 200

    for answer in (cubic(simulator, CUBIC[0].id), addreality(simulator)):
        assert (answer[0], answer[2]) == (status, kind)
        assert answer[1].startswith(body)


def test_cms_empty_list_names_nobody(simulator):
    control(simulator, "faults", {"cms": "empty"})

    assert cubic(simulator, CUBIC[0].id)[:2] == (200, "[]")
    assert json.loads(addreality(simulator)[1]) == {"data": []}


def test_cms_half_leaves_out_every_second_player(simulator):
    control(simulator, "faults", {"cms": "half"})

    answered = [player for player in CUBIC if cubic(simulator, player.id)[1] != "[]"]
    assert len(answered) == 20
    assert len(json.loads(addreality(simulator)[1])["data"]) == 10


def test_cms_all_offline_lies_about_living_players(simulator):
    control(simulator, "faults", {"cms": "all_offline"})

    assert json.loads(cubic(simulator, CUBIC[0].id)[1])[0]["status"] == "offline"
    assert {d["connection_state"] for d in json.loads(addreality(simulator)[1])["data"]} == {"offline"}
    assert simulator.world.describe()["not_up"] == []


def test_cms_dark_site_shows_only_its_players_offline(simulator):
    control(simulator, "faults", {"cms": "site_dark:rechnoy"})

    offline = {p.site for p in CUBIC if json.loads(cubic(simulator, p.id)[1])[0]["status"] == "offline"}
    assert offline == {"rechnoy"}


@pytest.mark.parametrize("mode", ["timeout", "reset"])
def test_cms_that_breaks_off_gives_no_answer(simulator, mode):
    control(simulator, "faults", {"cms": mode, "timeout_s": 0.05})

    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        cubic(simulator, CUBIC[0].id)


def test_stop_does_not_wait_for_answers_that_hang(world):
    with SimulatorThread(world) as simulator:
        control(simulator, "faults", {"cms": "timeout", "timeout_s": 3600})
        with pytest.raises(TimeoutError):
            call(simulator, "GET", "/cubic/api/v0.1/players/status-check?mac=a", timeout_s=0.2)

    assert not simulator._thread.is_alive()


# --- SMS gateway ------------------------------------------------------------------------------------


def test_gateway_takes_an_sms_and_later_has_the_reply(simulator, clock):
    answer = send(simulator, text="#12#0#1#1#")
    clock.now += 60

    box = inbox(simulator)

    assert answer[:2] == (200, "OK")
    assert box["status"] == "ok"
    assert box["sms_messages"][0]["from"] == SOCKET.msisdn
    assert box["sms_messages"][0]["message"] == "OUT1 OFF 1 MIN"
    assert re.fullmatch(r"2025-07-07 09:00:0\d", box["sms_messages"][0]["timestamp"])


def test_gateway_inbox_is_empty_after_reading(simulator, clock):
    send(simulator)
    clock.now += 60
    inbox(simulator)

    assert inbox(simulator) == {"status": "No new SMS", "sms_messages": []}


def test_gateway_takes_a_number_without_its_plus(simulator):
    send(simulator, number=SOCKET.msisdn.lstrip("+"))

    assert simulator.world.ledger()[0].number == SOCKET.msisdn


@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": "Bearer demo-sms-key"}, {"Authorization": "wrong"}]
)
def test_gateway_refuses_a_wrong_key(simulator, headers):
    assert send(simulator, headers=headers)[0] == 401
    assert call(simulator, "GET", "/sms/sms", headers=headers)[0] == 401
    assert simulator.world.ledger() == []


@pytest.mark.parametrize(("number", "text"), [("", "#07#"), (SOCKET.msisdn, "")])
def test_gateway_refuses_an_incomplete_sms(simulator, number, text):
    assert send(simulator, number=number, text=text)[0] == 400
    assert simulator.world.ledger() == []


@pytest.mark.parametrize("mode", ["400", "401", "429", "500", "307"])
def test_gateway_that_refuses_takes_nothing(simulator, mode):
    control(simulator, "faults", {"sms": mode})

    assert send(simulator)[0] == int(mode)
    assert simulator.world.ledger() == []


@pytest.mark.parametrize("mode", ["timeout", "reset"])
def test_gateway_that_breaks_off_before_reading_takes_nothing(simulator, mode):
    control(simulator, "faults", {"sms": mode, "timeout_s": 0.05})

    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        send(simulator)
    assert simulator.world.ledger() == []


@pytest.mark.parametrize("mode", ["timeout_after", "reset_after"])
def test_gateway_that_breaks_off_afterwards_has_taken_it(simulator, mode):
    control(simulator, "faults", {"sms": mode, "timeout_s": 0.05})

    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        send(simulator)
    assert len(simulator.world.ledger()) == 1


@pytest.mark.parametrize(("mode", "status"), [("500_after", 500), ("garbage_after", 200)])
def test_gateway_that_answers_wrongly_afterwards_has_taken_it(simulator, mode, status):
    control(simulator, "faults", {"sms": mode})

    answer = send(simulator)

    assert (answer[0], answer[1] == "OK") == (status, False)
    assert len(simulator.world.ledger()) == 1


def test_gateway_whose_inbox_fails_keeps_the_messages(simulator):
    control(simulator, "inbox", {"from": "+79000000777", "message": "привет"})
    control(simulator, "faults", {"inbox": "500"})
    failed = call(simulator, "GET", "/sms/sms", headers=KEY)[0]

    control(simulator, "faults", {"inbox": "ok"})

    assert failed == 500
    assert [m["message"] for m in inbox(simulator)["sms_messages"]] == ["привет"]


# --- control ----------------------------------------------------------------------------------------


def test_control_state_describes_the_world(simulator):
    control(simulator, f"players/{CUBIC[0].id}/hang")

    state = json.loads(call(simulator, "GET", "/control/state")[1])

    assert (len(state["players"]), len(state["sockets"])) == (60, 20)
    assert state["not_up"] == [CUBIC[0].id]
    assert state["faults"]["cubic"] == "ok"


def test_control_ledger_lists_what_was_sent(simulator):
    send(simulator, text="#07#")
    send(simulator, text="#01#0#")

    ledger = json.loads(call(simulator, "GET", "/control/ledger")[1])

    assert [(row["n"], row["number"], row["text"]) for row in ledger] == [
        (1, SOCKET.msisdn, "#07#"),
        (2, SOCKET.msisdn, "#01#0#"),
    ]


def test_control_socket_cuts_the_mains_and_changes_the_administrator(simulator):
    status, socket = control(simulator, f"sockets/{SOCKET.msisdn}", {"mains": False, "admin": None})

    assert (status, socket["mains"], socket["admin"]) == (200, False, None)
    assert len(simulator.world.describe()["not_up"]) == 3


def test_control_hangs_switches_the_random_hangs(simulator):
    assert control(simulator, "hangs", {"by_itself": True}) == (200, {"hangs_by_itself": True})
    assert simulator.world.hangs_by_itself is True


@pytest.mark.parametrize(
    ("path", "content", "status", "sentence"),
    [
        ("players/nobody/hang", {}, 404, "no player 'nobody'"),
        ("sockets/+7123", {"mains": False}, 404, "no socket"),
        (f"players/{CUBIC[0].id}/recover", {}, 409, "only a hung one"),
        ("faults", {"cms": "sleepy"}, 400, "cannot be 'sleepy'"),
        ("faults", "{", 400, "must be JSON"),
        ("faults", "[]", 400, "must be a JSON object"),
        ("hangs", {"by_itself": "yes"}, 400, "true or false"),
        ("inbox", {"from": 7}, 400, "must be strings"),
        (f"sockets/{SOCKET.msisdn}", {"mains": "off"}, 400, "true or false"),
        (f"sockets/{SOCKET.msisdn}", {"admin": 7}, 400, "number or null"),
    ],
)
def test_control_says_what_is_wrong(simulator, path, content, status, sentence):
    answer = control(simulator, path, content)

    assert answer[0] == status
    assert sentence in answer[1]["error"]


def test_whole_story_over_http(simulator, clock):
    player = FLEET.players_of(SOCKET.msisdn)[0]
    control(simulator, f"players/{player.id}/hang")

    send(simulator, text="#12#0#1#1#")
    clock.now += 300

    assert json.loads(cubic(simulator, player.id)[1])[0]["status"] == "online"
    assert isinstance(simulator.world, World)
