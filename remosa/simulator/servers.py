"""HTTP faces of the simulated world, on one port of the loopback.

    /cubic/api/v0.1/players/status-check?mac=      the Cubic API
    /addreality/public/v1/device/list              the Addreality API (X-API-Token)
    /sms/send  /sms/sms                            the existing SMS gateway (bare key in Authorization)
    /control/…                                     state, ledger and faults, for tests and visitors

Only translation lives here: what is true is the world's business, what goes wrong is ``Faults``.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from remosa.simulator.faults import SITE_DARK, BadWish
from remosa.simulator.fleet import ADDREALITY, ADDREALITY_TOKEN, CUBIC, SMS_KEY, PlayerSpec
from remosa.simulator.world import InboxMessage, NotNow, Stranger, World

ADDREALITY_LIMIT = 300
MAX_BODY = 64 * 1024
LOGIN_PAGE = "<!doctype html><html><head><title>Вход</title></head><body><form>Логин</form></body></html>"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Credentials:
    """What the simulated servers ask for."""

    addreality_token: str = ADDREALITY_TOKEN
    sms_key: str = SMS_KEY


class SimulatorServer:
    """All faces of one world on one port; ``port`` 0 takes a free one. ``start`` and ``stop`` pair up."""

    def __init__(
        self,
        world: World,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        credentials: Credentials | None = None,
    ) -> None:
        self.world, self.credentials = world, credentials or Credentials()
        self._host, self._port = host, port
        self._closing = asyncio.Event()
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listen; raises OSError when the port is taken."""
        self._runner = web.AppRunner(self.application(), access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port).start()
        except OSError:
            await self.stop()
            raise
        self._port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Let go of the port; answers that hang on purpose are dropped."""
        self._closing.set()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    @property
    def base_url(self) -> str:
        return f"http://{self._host}:{self._port}"

    @property
    def cubic_url(self) -> str:
        return f"{self.base_url}/cubic"

    @property
    def addreality_url(self) -> str:
        return f"{self.base_url}/addreality"

    @property
    def sms_url(self) -> str:
        return f"{self.base_url}/sms"

    def application(self) -> web.Application:
        """The aiohttp application with every route."""
        app = web.Application(client_max_size=MAX_BODY, middlewares=[plain_errors])
        app.add_routes(
            [
                web.get("/cubic/api/v0.1/players/status-check", self.cubic_status),
                web.post("/addreality/public/v1/device/list", self.addreality_list),
                web.post("/sms/send", self.sms_send),
                web.get("/sms/sms", self.sms_inbox),
                web.get("/control/state", self.control_state),
                web.get("/control/ledger", self.control_ledger),
                web.post("/control/faults", self.control_faults),
                web.post("/control/hangs", self.control_hangs),
                web.post("/control/inbox", self.control_inbox),
                web.post("/control/players/{id}/hang", self.control_player_hang),
                web.post("/control/players/{id}/recover", self.control_player_recover),
                web.post("/control/sockets/{msisdn}", self.control_socket),
            ]
        )
        return app

    # --- CMS ------------------------------------------------------------------------------------
    async def cubic_status(self, request: web.Request) -> web.StreamResponse:
        """One player by MAC, as a list; an unknown one is an empty list."""
        mode = self.world.faults.cubic
        broken = await self._broken(request, mode, empty="[]")
        if broken is not None:
            return broken
        mac = request.query.get("mac", "")
        if not mac:
            return web.json_response({"error": "mac is required"}, status=400)
        spec = self.world.fleet.players_by_id.get(_plain_mac(mac))
        if spec is None or spec.cms != CUBIC or self._is_withheld(spec, mode):
            return web.json_response([])
        status = "online" if self._shown_online(spec, mode) else "offline"
        return _json([{"status": status, "name": spec.name, "ip": spec.ip, "outIp": spec.outip}])

    async def addreality_list(self, request: web.Request) -> web.StreamResponse:
        """The devices asked for by ``id`` (all for an empty list), at most 300 from ``offset``."""
        mode = self.world.faults.addreality
        broken = await self._broken(request, mode, empty='{"data": []}')
        if broken is not None:
            return broken
        if request.headers.get("X-API-Token") != self.credentials.addreality_token:
            return web.json_response({"error": "unauthorized"}, status=401)
        wish = await _body_object(request)
        ids, limit, offset = wish.get("id") or [], wish.get("limit", ADDREALITY_LIMIT), wish.get("offset", 0)
        if not isinstance(ids, list) or not _is_count(limit) or not _is_count(offset) or limit == 0:
            return web.json_response({"error": "bad request"}, status=400)
        wanted = {str(device_id) for device_id in ids}
        found = [
            self._addreality_device(spec, mode)
            for spec in self.world.fleet.players_in(ADDREALITY)
            if (not wanted or spec.id in wanted) and not self._is_withheld(spec, mode)
        ]
        return _json({"data": found[offset : offset + min(limit, ADDREALITY_LIMIT)]})

    def _addreality_device(self, spec: PlayerSpec, mode: str) -> dict[str, Any]:
        online = self._shown_online(spec, mode)
        return {
            "id": int(spec.id),
            "name": spec.name,
            "connection_state": "online" if online else "offline",
            "player_status": "playback" if online else "pause",
            "last_online": _zulu(self.world.last_online_at(spec.id)),
            "player_version": spec.version,
            "time_zone": spec.time_zone,
            "activation_state": True,
        }

    def _shown_online(self, spec: PlayerSpec, mode: str) -> bool:
        if mode == "all_offline" or mode == f"{SITE_DARK}:{spec.site}":
            return False
        return self.world.is_online(spec.id)

    def _is_withheld(self, spec: PlayerSpec, mode: str) -> bool:
        """Whether "half the list" leaves this player out: every second one of its CMS."""
        return mode == "half" and self.world.fleet.players_in(spec.cms).index(spec) % 2 == 1

    async def _broken(self, request: web.Request, mode: str, *, empty: str = "") -> web.StreamResponse | None:
        """The answer of a server in trouble, or None when it answers properly."""
        if mode == "timeout":
            return await self._hang(request)
        if mode == "reset":
            return _reset(request)
        if mode == "500":
            return web.Response(status=500, text="Internal Server Error")
        if mode == "401":
            return web.json_response({"error": "unauthorized"}, status=401)
        if mode == "html":
            return web.Response(text=LOGIN_PAGE, content_type="text/html")
        bodies = {"empty": empty, "blank": "", "broken": '[{"status": "onl'}
        if mode in bodies:
            return web.Response(text=bodies[mode], content_type="application/json")
        return None

    async def _hang(self, request: web.Request) -> web.StreamResponse:
        """Say nothing for ``timeout_s`` real seconds, then break the connection."""
        with suppress(TimeoutError):  # when the time is up, break off like a proxy that gives up
            await asyncio.wait_for(self._closing.wait(), self.world.faults.timeout_s)
        return _reset(request)

    # --- SMS gateway ----------------------------------------------------------------------------
    async def sms_send(self, request: web.Request) -> web.StreamResponse:
        """Take one SMS; the ``*_after`` faults take it and answer wrongly."""
        mode = self.world.faults.sms
        refused = await self._refused_send(request, mode)
        if refused is not None:
            return refused
        if not self._knows_key(request):
            return web.Response(status=401, text="unauthorized")
        number, text = request.query.get("number", "").strip(), request.query.get("text", "")
        if not number or not text:
            return web.Response(status=400, text="number and text are required")
        self.world.accept_sms(number if number.startswith("+") else f"+{number}", text)
        if mode == "500_after":
            return web.Response(status=500, text="modem not ready")
        if mode == "garbage_after":
            return web.Response(body=b"\x00\xff\xfe<<<", content_type="application/octet-stream")
        if mode == "reset_after":
            return _reset(request)
        if mode == "timeout_after":
            return await self._hang(request)
        return web.Response(text="OK")

    async def _refused_send(self, request: web.Request, mode: str) -> web.StreamResponse | None:
        texts = {"400": "bad number", "401": "unauthorized", "429": "too many", "500": "modem not ready"}
        if mode in texts:
            headers = {"Retry-After": "1"} if mode == "429" else None
            return web.Response(status=int(mode), text=texts[mode], headers=headers)
        if mode == "307":
            return web.Response(status=307, headers={"Location": f"{self.base_url}/sms/elsewhere"})
        return await self._broken(request, mode)

    async def sms_inbox(self, request: web.Request) -> web.StreamResponse:
        """What has arrived; reading empties the inbox."""
        broken = await self._broken(request, self.world.faults.inbox)
        if broken is not None:
            return broken
        if not self._knows_key(request):
            return web.Response(status=401, text="unauthorized")
        messages = [_inbox_row(message) for message in self.world.read_inbox()]
        return _json({"status": "ok" if messages else "No new SMS", "sms_messages": messages})

    def _knows_key(self, request: web.Request) -> bool:
        return request.headers.get("Authorization") == self.credentials.sms_key

    # --- control --------------------------------------------------------------------------------
    async def control_state(self, request: web.Request) -> web.StreamResponse:
        """Everything that there is to know about the world."""
        return _json(self.world.describe())

    async def control_ledger(self, request: web.Request) -> web.StreamResponse:
        """Every SMS that the gateway accepted, oldest first."""
        return _json([asdict(entry) for entry in self.world.ledger()])

    async def control_faults(self, request: web.Request) -> web.StreamResponse:
        """Change faults by a JSON object of the fields of ``Faults``; ``cms`` sets both CMS."""
        return _json(asdict(self.world.change_faults(await _body_object(request))))

    async def control_hangs(self, request: web.Request) -> web.StreamResponse:
        """``{"by_itself": false}`` stops the random hangs, true starts them."""
        by_itself = (await _body_object(request)).get("by_itself")
        if not isinstance(by_itself, bool):
            raise BadWish("by_itself must be true or false.")
        self.world.let_hang(by_itself)
        return _json({"hangs_by_itself": by_itself})

    async def control_inbox(self, request: web.Request) -> web.StreamResponse:
        """Put an SMS from anybody into the gateway's inbox: ``{"from": …, "message": …}``."""
        wish = await _body_object(request)
        sender, text = wish.get("from"), wish.get("message")
        if not isinstance(sender, str) or not isinstance(text, str) or not sender:
            raise BadWish("from and message must be strings.")
        self.world.put_in_inbox(sender, text)
        return _json({"status": "ok"})

    async def control_player_hang(self, request: web.Request) -> web.StreamResponse:
        """Freeze a player that is up."""
        player_id = _plain_mac(request.match_info["id"])
        self.world.hang(player_id)
        return _json(self.world.describe_player(player_id))

    async def control_player_recover(self, request: web.Request) -> web.StreamResponse:
        """Let a hung player come back without help."""
        player_id = _plain_mac(request.match_info["id"])
        self.world.recover(player_id)
        return _json(self.world.describe_player(player_id))

    async def control_socket(self, request: web.Request) -> web.StreamResponse:
        """``{"mains": false}`` cuts the mains, ``{"admin": "+7…"|null}`` changes whom it obeys."""
        wish = await _body_object(request)
        msisdn = request.match_info["msisdn"]
        self.world.describe_socket(msisdn)
        if "mains" in wish:
            if not isinstance(wish["mains"], bool):
                raise BadWish("mains must be true or false.")
            self.world.set_mains(msisdn, wish["mains"])
        if "admin" in wish:
            if wish["admin"] is not None and not isinstance(wish["admin"], str):
                raise BadWish("admin must be a number or null.")
            self.world.set_admin(msisdn, wish["admin"])
        return _json(self.world.describe_socket(msisdn))


@web.middleware
async def plain_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Bad input to a handler becomes 400, a stranger 404, a wrong moment 409, each with a sentence."""
    try:
        return await handler(request)
    except Stranger as exc:
        return _json({"error": str(exc)}, status=404)
    except NotNow as exc:
        return _json({"error": str(exc)}, status=409)
    except BadWish as exc:
        return _json({"error": str(exc)}, status=400)


async def _body_object(request: web.Request) -> Mapping[str, Any]:
    try:
        wish = json.loads(await request.text() or "{}")
    except ValueError as exc:
        raise BadWish("The body must be JSON.") from exc
    if not isinstance(wish, dict):
        raise BadWish("The body must be a JSON object.")
    return wish


def _json(content: Any, *, status: int = 200) -> web.Response:
    return web.json_response(
        content, status=status, dumps=lambda value: json.dumps(value, ensure_ascii=False)
    )


def _reset(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)  # nobody is there to read it


def _plain_mac(text: str) -> str:
    """A MAC in any spelling as ``aa:bb:…``; anything else unchanged."""
    digits = "".join(char for char in text.lower() if char not in ":-. ")
    if len(digits) != 12:
        return text
    return ":".join(digits[i : i + 2] for i in range(0, 12, 2))


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _zulu(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _inbox_row(message: InboxMessage) -> dict[str, str]:
    stamp = message.at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
    return {"from": message.sender, "message": message.text, "timestamp": stamp}
