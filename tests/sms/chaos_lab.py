"""Random kills of every process that sends and hears SMS, and of PostgreSQL; a judge that looks all the while.

The processes are those of the product: two outboxes, the modem's process, the web server that takes the
callbacks; and a producer. The gateways, the modem on its terminal and the phones that answer live in the test,
with a ledger of what really left. The judge reads the database by SQL of its own.
"""

import http.client
import itertools
import json
import os
import random
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import psycopg

from sms import pdu
from tests.servers import process
from tests.servers.ports import free_port
from tests.servers.postgres import PostgresServer
from tests.sms.fake_modem import PtyModem, Script
from tests.sms.gateway_server import GatewayServer, Seen
from tests.sms.kill_lab import ROOT

MODES = ("ok", "reset_after", "hang_after", "500_after", "429")
LEASE_S, DEADLINE_S, POLL_S = 3.0, 0.8, 0.5
SLOW_S = 0.25  # a gateway that answers at once would seldom be on the wire when a process dies
MAY_HAVE_LEFT = {"sending", "sent", "unknown", "delivered", "undelivered", "cancelled:delivered_after_all"}
UNFINISHED = ("queued", "claimed", "sending")


class SlowGateway(GatewayServer):
    """Takes the SMS, then thinks a while before it says so."""

    def _answer(self, peer: Any, request: Seen | None) -> None:
        if request is None:
            return
        if self.mode != "ok":
            super()._answer(peer, request)
            return
        with self._lock:
            self.seen.append(request)
            self.taken.append(request)
            number = len(self.taken)
        self._stop.wait(SLOW_S)
        body = json.dumps({"id": f"id-{self.url[-5:]}-{number}"}).encode()
        peer.sendall(
            b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
        )


@dataclass
class Part:
    """One process that may be killed, and how it is started again."""

    name: str
    start: Callable[[], process.Child]
    child: process.Child | None = None


@dataclass
class Judged:
    """What was found, each with the row that shows it."""

    looks: int = 0
    duplicates: set[str] = field(default_factory=set)
    lies: set[str] = field(default_factory=set)
    lost: set[str] = field(default_factory=set)
    twice_heard: set[str] = field(default_factory=set)

    @property
    def is_clean(self) -> bool:
        return not (self.duplicates or self.lies or self.lost or self.twice_heard)


class ChaosLab:
    """``with ChaosLab(server, folder) as lab``: everything runs; ``lab.kills`` counts who died."""

    def __init__(self, server: PostgresServer, folder: Path, *, seed: int, pump: str = "honest") -> None:
        self.server, self.folder, self.dice, self.pump = server, folder, random.Random(seed), pump
        self.kills: Counter[str] = Counter()
        self.judged = Judged()
        self.acknowledged: set[str] = set()
        self._over = threading.Event()
        self._port = free_port()
        self._names = itertools.count(1)

    def __enter__(self) -> Self:
        self._stack = ExitStack()
        self.gateways = {mode: self._stack.enter_context(SlowGateway(mode)) for mode in MODES}
        self.script = Script()
        self.modem = self._stack.enter_context(PtyModem(self.script))
        self.env = {
            "PATH": os.environ["PATH"], "PYTHONUNBUFFERED": "1", "DATABASE_URL": self.server.url,
            "SECRET_KEY": "chaos-" + "0" * 50,
            "FIELD_ENCRYPTION_KEYS": "ZGV2ZWxvcG1lbnQtb25seS1maWVsZC1rZXktMDAwMDA=",
            "AUDIT_KEYS": "chaos-audit-" + "0" * 50, "EGRESS_ALLOW": "127.0.0.0/8",
            "ALLOWED_HOSTS": "127.0.0.1", "LOG_LEVEL": "CRITICAL",
            "OUTBOX_LEASE_S": str(LEASE_S), "OUTBOX_SEND_DEADLINE_S": str(DEADLINE_S), "OUTBOX_POLL_S": str(POLL_S),
            "MODEM_SEND_DEADLINE_S": "2", "OUTBOX_HAND_OVER_S": "8", "MODEM_PORTS": "/dev/pts/*",
            "SMS_SPOOL_DIR": str(self.folder / "spool"), "PUBLIC_URL": f"http://127.0.0.1:{self._port}",
        }  # fmt: skip
        told = self.folder / "lab.json"
        urls = {mode: gateway.url for mode, gateway in self.gateways.items()}
        told.write_text(json.dumps({"gateways": urls, "modem": self.modem.path}), encoding="utf-8")
        try:
            setup = self._run("setup", self._child("setup", told))
            assert setup.wait(deadline_s=180) == 0, setup.output()
        except BaseException:
            self._stack.close()
            raise
        self.hooks = json.loads(told.read_text(encoding="utf-8"))["hooks"]
        self.parts = self._parts()
        for part in self.parts:
            part.child = part.start()
        self._threads = [threading.Thread(target=self._phones), threading.Thread(target=self._look_on)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *details: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()
        for part in self.parts:
            if part.child is not None:
                part.child.kill_9()
        self._stack.close()

    # --- the processes --------------------------------------------------------------------------------
    def _parts(self) -> list[Part]:
        manage = [sys.executable, ROOT / "manage.py"]
        outbox = [*manage, "outbox"] if self.pump == "honest" else self._child("outbox", self.pump)
        web = [
            Path(sys.executable).with_name("granian"), "--interface", "wsgi", "--host", "127.0.0.1",
            "--port", str(self._port), "remosa.wsgi:application",
        ]  # fmt: skip
        argv = {
            "outbox 1": outbox, "outbox 2": outbox, "modem": [*manage, "modem"], "web": web,
            "producer": self._child("produce"),
        }  # fmt: skip
        return [Part(name, lambda name=name, line=line: self._run(name, line)) for name, line in argv.items()]

    def _child(self, job: str, *arguments: object) -> list[Any]:
        return [sys.executable, ROOT / "tests" / "sms" / "chaos_child.py", job, *arguments]

    def _run(self, name: str, argv: list[Any]) -> process.Child:
        log = self.folder / f"{name.replace(' ', '-')}-{next(self._names)}.log"
        return process.start(argv, log=log, env=self.env, cwd=ROOT)

    def part(self, name: str) -> Part:
        return next(part for part in self.parts if part.name == name)

    def kill(self, part: Part) -> None:
        """Kill -9, and start it again at once, as a supervisor does."""
        assert part.child is not None
        part.child.kill_9()
        self.kills[part.name.partition(" ")[0]] += 1
        if part.name == "modem":
            self.modem.let_go()
        part.child = part.start()

    def crash_database(self) -> None:
        """An immediate stop: what was not committed is gone, connections are cut."""
        self.server.crash()
        self.kills["postgresql"] += 1
        self.server.resume()

    def wait_until_busy(self) -> None:
        """Everybody is at work: SMS leave, and replies are taken in."""
        process.wait_until(
            lambda: self.acknowledged and self.script.taken and sum(self.taken().values()) > 10,
            deadline_s=120, what="SMS that leave, and replies",
        )  # fmt: skip

    def rage(self, *, for_s: float, pause_s: tuple[float, float] = (0.3, 3.0)) -> None:
        """Kill at random for a while. Each part dies at least once, the database among them."""
        ends = time.monotonic() + for_s
        first = [*self.parts, None]
        self.dice.shuffle(first)
        while time.monotonic() < ends or first:
            self._over.wait(self.dice.uniform(*pause_s))
            victim = first.pop() if first else self.dice.choice([*self.parts, *self.parts, None])
            if victim is None:
                self.crash_database()
            else:
                self.kill(victim)

    # --- the phones that answer -----------------------------------------------------------------------
    def _phones(self) -> None:
        """Push incoming SMS until each is acknowledged; sometimes again, with a new id."""
        for number in itertools.count(1):
            if self._over.is_set():
                return
            text, sent = f"reply {number}", time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            for _try in range(400):
                if self._over.is_set() or self._push(text, sent, number):
                    break
                self._over.wait(0.1)
            self._over.wait(0.1)

    def _push(self, text: str, sent: str, number: int) -> bool:
        """One push; a gateway that got no answer gives it a new id when it repeats."""
        item = {
            "id": str(uuid.uuid4()),
            "from": f"+7900001{number % 12:04d}",
            "message": text,
            "timestamp": sent,
        }
        try:
            line = http.client.HTTPConnection("127.0.0.1", self._port, timeout=5)
            line.request(
                "POST", f"/hooks/sms/{self.hooks['ok']}/inbound/", json.dumps(item),
                {"Content-Type": "application/json", "Authorization": "Bearer chaos-hook-secret"},
            )  # fmt: skip
            is_taken = line.getresponse().status == 200
            line.close()
        except (OSError, http.client.HTTPException):
            return False
        if is_taken:
            self.acknowledged.add(text)
        return is_taken

    # --- the judge ------------------------------------------------------------------------------------
    def taken(self) -> Counter[str]:
        """How often each message became an SMS: by our id, or by the number that the modem called."""
        by_ref = Counter(
            request.json["ref"] for server in self.gateways.values() for request in list(server.taken)
        )
        return by_ref + Counter(pdu.decode(raw).to for raw in list(self.script.taken))

    def _look_on(self) -> None:
        while not self._over.wait(1.0):
            self.look()

    def look(self, *, at_rest: bool = False) -> bool:
        """Hold the database against the ledgers; False when it does not answer just now.

        The ledgers are read first: what had left by then must not be called unsent afterwards.
        """
        taken, heard = self.taken(), set(self.acknowledged)
        try:
            with psycopg.connect(self.server.url, connect_timeout=3) as line:
                messages = line.execute(
                    "SELECT m.id::text, m.to, m.state, m.reason, g.kind FROM sms_smsmessage m "
                    "LEFT JOIN sms_gateway g ON g.id = m.gateway_id"
                ).fetchall()
                texts = line.execute("SELECT body, state FROM sms_inboundsms").fetchall()
        except psycopg.Error:
            return False
        self.judged.looks += 1
        self._judge_sent(messages, taken, at_rest=at_rest)
        counted = Counter(body for body, state in texts if state != "ignored")
        self.judged.lost |= {f"incoming {text}" for text in heard if not counted[text]}
        self.judged.twice_heard |= {text for text, times in counted.items() if times > 1}
        return True

    def _judge_sent(self, messages: list[Any], taken: Counter[str], *, at_rest: bool) -> None:
        known = {row[0] for row in messages} | {row[1] for row in messages}
        self.judged.lost |= {f"sent without a row: {ref}" for ref in taken if ref not in known}
        for pk, to, state, reason, kind in messages:
            sends = taken[to] if kind == "modem" else taken[pk]
            seen = f"{pk} {state} ({reason}) by {kind}: {sends} sent"
            if sends > 1:
                self.judged.duplicates.add(seen)
            if sends and not {state, f"{state}:{reason}"} & MAY_HAVE_LEFT:
                self.judged.lies.add(seen)
            if at_rest and not sends and state in ("sent", "delivered"):
                self.judged.lies.add(seen)
            if at_rest and state in UNFINISHED:
                self.judged.lost.add(seen)

    def count(self, where: str, *arguments: object) -> int:
        """Messages that fit an SQL condition; 0 while the database does not answer."""
        try:
            with psycopg.connect(self.server.url, connect_timeout=3) as line:
                found = line.execute(
                    f"SELECT count(*) FROM sms_smsmessage WHERE {where}",  # noqa: S608  our own text
                    arguments,
                ).fetchone()
        except psycopg.Error:
            return 0
        return found[0] if found else 0

    def usage_faults(self) -> list[Any]:
        """Platforms whose counters are not the sum of their reservations."""
        with psycopg.connect(self.server.url) as line:
            return line.execute(
                "SELECT u.platform_id, u.reserved, u.used, r.reserved, r.used FROM platforms_usage u JOIN ("
                " SELECT platform_id, period, coalesce(sum(units) FILTER (WHERE state = 'reserved'), 0) AS reserved,"
                " coalesce(sum(units) FILTER (WHERE state = 'committed'), 0) AS used FROM platforms_quotareservation"
                " WHERE kind = 'sms' GROUP BY 1, 2) r ON r.platform_id = u.platform_id AND r.period = u.period"
                " WHERE u.kind = 'sms' AND (u.reserved, u.used) <> (r.reserved, r.used)"
            ).fetchall()

    def ask_for_notices(self, number: int) -> process.Child:
        """So many notices through the gateway that accepts; they may leave before the child has ended."""
        return self._run("notices", self._child("notices", number))

    def stop(self, name: str) -> None:
        """End one part for good."""
        part = self.part(name)
        if part.child is not None:
            part.child.kill_9()
            part.child = None
