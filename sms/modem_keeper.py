"""The process of the modems: one thread for each, which holds its line and sends what is handed to it.

The outbox hands a message over by its row alone (``handed_until``, see ``sms.outbox``). ``ModemPump`` is a
pump that takes up those rows and no others, with the same claim, barrier, lease and fence; its send is the
dialogue with the modem. So the two processes share nothing but the table, and a modem whose process is
dead loses its messages to the next gateway before a byte has left.

A ``Keeper`` opens the line, makes the modem ready, takes in what is stored, and then goes round: what the
modem says unasked, how it feels, what is to be sent. Any trouble ends the round: it is written down, the
gateway is suspended, and the line is opened again after a pause. An incoming SMS is deleted from the
modem only after it is in the database.
"""

import logging
import random
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import InterfaceError, OperationalError, close_old_connections, connection, connections
from django.db.models import QuerySet

from remosa.lib.backoff import backoff
from remosa.lib.clock import utcnow
from remosa.lib.prepared import Given
from sms import at, ports
from sms.gateways.serial_modem import SerialModemGateway, check_port
from sms.models import Gateway, ModemStatus, SmsMessage
from sms.modem import Modem, ModemError, NoAnswer, NotReady, Port, SerialPort
from sms.outbox import MARGIN_RATIO, Checkpoint, Pump, owner_name, pass_by
from sms.services import gateways, modems
from sms.states import SmsState

logger = logging.getLogger(__name__)

KIND = "modem"
FACTS_S, NO_NETWORK_S = 30.0, 5.0  # between two looks at a modem that is well, and at one without network
STORED_S = 60.0  # an announcement may get lost
QUEUE_S = 0.25
SETTINGS_S = 5.0
BALANCE_EVERY = timedelta(hours=12)
FURTHER_PART_S = 10.0
LONGEST_PAUSE_S = 30.0
SUPERVISE_S = 5.0
State = ModemStatus.State

OpenPort = Callable[[Gateway], Port]


def open_port(gateway: Gateway) -> Port:
    """The locked line that the settings of ``gateway`` name; ModemError."""
    backend = SerialModemGateway(gateways.account_of(gateway))
    url = str(backend.option("port"))
    if sentence := check_port(url):
        raise NotReady("no_port", sentence)
    return SerialPort(url, baud=int(backend.option("baud")), locks=Path(settings.BASE_DIR) / "var" / "lock")


class ModemPump(Pump):
    """Carries the messages that were handed to one modem."""

    def __init__(self, owner: str, gateway: Gateway, modem: Modem, **clocks_and_checkpoint: Any) -> None:
        super().__init__(owner, **clocks_and_checkpoint)
        self._gateway, self._modem = gateway, modem

    def _due(self, now: datetime | Given) -> QuerySet[SmsMessage]:
        return SmsMessage.objects.filter(
            state=SmsState.QUEUED, gateway=self._gateway.pk, handed_until__gt=now, next_attempt_at__lte=now,
            expires_at__gt=now,
        )  # fmt: skip

    def _deadline_s(self, message: SmsMessage) -> float:
        return settings.MODEM_SEND_DEADLINE_S + FURTHER_PART_S * (message.segments - 1)

    def _lease_s(self, message: SmsMessage) -> float:
        return max(settings.OUTBOX_LEASE_S, self._deadline_s(message) / (1 - 2 * MARGIN_RATIO))

    def _choose(self, messages: list[SmsMessage], *, now: datetime) -> list[Gateway | None]:
        """Their places of the rate were taken when they were handed over."""
        rows = Gateway.objects.select_related("platform").filter(pk=self._gateway.pk, is_enabled=True)
        return [rows.first()] * len(messages)

    def _sends_through(self, gateway: Gateway) -> bool:
        return True

    def _backend(self, gateway: Gateway) -> ports.Gateway:
        journal = modems.PartsJournal(gateway, now=self.now)
        return SerialModemGateway(gateways.account_of(gateway), line=self._modem, journal=journal)


class Keeper:
    """Holds one modem until ``stop`` is set or its settings change."""

    def __init__(
        self,
        gateway: Gateway,
        stop: threading.Event,
        *,
        opens: OpenPort = open_port,
        makes: Callable[..., Modem] = Modem,
        checkpoint: Checkpoint = pass_by,
        now: Callable[[], datetime] = utcnow,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.gateway, self.stop = gateway, stop
        self._opens, self._makes, self._checkpoint = opens, makes, checkpoint
        self._now, self._monotonic = now, monotonic
        self.owner = owner_name(f"modem-{gateway.pk}")
        self._failures = 0
        self._due: dict[str, float] = {}

    # --- the life of a line -------------------------------------------------------------------------
    def run(self) -> None:
        """Serve the modem again and again; what is on the wire when ``stop`` is set is brought to its end."""
        try:
            while not self.stop.is_set() and self._is_current():
                self._serve_safely()
            self._trouble(State.STOPPED)
        except (OperationalError, InterfaceError) as exc:
            logger.warning("modem rests gateway=%s error=%s", self.gateway.pk, type(exc).__name__)
        finally:
            connections.close_all()  # this thread's own

    def _is_current(self) -> bool:
        """Whether the gateway is still there and enabled; its settings are read anew."""
        close_old_connections()
        rows = Gateway.objects.select_related("platform").filter(
            pk=self.gateway.pk, is_enabled=True, kind=KIND
        )
        found = rows.first()
        if found is not None:
            self.gateway = found
        return found is not None

    def _serve_safely(self) -> None:
        try:
            self._serve()
        except ModemError as exc:
            logger.warning("modem trouble gateway=%s %s", self.gateway.pk, exc)
            self._trouble(exc.reason, detail=exc.detail)
            self._pause()
        except (OperationalError, InterfaceError) as exc:
            logger.warning("modem round lost gateway=%s error=%s", self.gateway.pk, type(exc).__name__)
            connection.close()
            self._pause()

    def _pause(self) -> None:
        self._failures += 1
        wait = backoff(self._failures, base_s=1.0, cap_s=LONGEST_PAUSE_S, jitter=random.random())  # noqa: S311
        self.stop.wait(max(0.5, wait.total_seconds()))

    def _trouble(self, reason: str, *, detail: str = "") -> None:
        state = reason if reason in State.values else State.REFUSES
        modems.note_state(self.gateway, state, owner=self.owner, now=self._now(), detail=detail)
        modems.suspend(self.gateway, reason, now=self._now())

    def _serve(self) -> None:
        """One life of the line."""
        modems.note_state(self.gateway, State.STARTING, owner=self.owner, now=self._now())
        port = self._opens(self.gateway)
        try:
            codes = SerialModemGateway(gateways.account_of(self.gateway)).option("not_sent_codes")
            modem = self._makes(port, proves_not_sent=codes)
            self._make_ready(modem)
            self._round(modem)
        finally:
            port.close()

    def _make_ready(self, modem: Modem) -> None:
        pin = str(self.gateway.secret)
        try:
            name = modem.make_ready(pin=pin, trying_pin=lambda: modems.may_try_pin(self.gateway, pin))
        except NoAnswer:
            modems.note_reset(self.gateway)
            modem.reset()
            raise
        modems.pin_was_right(self.gateway)
        ModemStatus.objects.filter(gateway=self.gateway).update(model_name=name)

    # --- the round ----------------------------------------------------------------------------------
    def _round(self, modem: Modem) -> None:
        pump = ModemPump(
            self.owner,
            self.gateway,
            modem,
            checkpoint=self._checkpoint,
            now=self._now,
            monotonic=self._monotonic,
        )
        known = self._settings_of(self.gateway)
        self._due = {}
        is_ready = False
        self.take_stored(modem)
        while not self.stop.is_set():
            self.hear(modem)
            if self._is_due("facts", FACTS_S if is_ready else NO_NETWORK_S):
                is_ready = self._look_after(modem)
            if is_ready and self._is_due("queue", QUEUE_S):
                close_old_connections()
                if pump.run_one():
                    self._due.pop("queue")  # there may be more
            if modem.is_unsure:
                self._make_ready(modem)
            if self._is_due("stored", STORED_S):
                self.take_stored(modem)
                modems.sweep_parts(self.gateway, now=self._now())
            if self._is_due("settings", SETTINGS_S) and not (
                self._is_current() and self._settings_of(self.gateway) == known
            ):
                return
            modem.listen()

    def _is_due(self, what: str, every_s: float) -> bool:
        now = self._monotonic()
        if self._due.get(what, 0.0) > now:
            return False
        self._due[what] = now + every_s
        return True

    @staticmethod
    def _settings_of(gateway: Gateway) -> tuple[object, ...]:
        return (gateway.config, str(gateway.secret))

    def _look_after(self, modem: Modem) -> bool:
        """How it feels now; whether it can send."""
        facts, now = modem.facts(), self._now()
        modems.note_facts(
            self.gateway,
            signal_dbm=facts.signal_dbm,
            registration=facts.registration,
            operator=facts.operator,
            now=now,
        )
        if not facts.is_registered:
            self._trouble(State.NO_NETWORK, detail=facts.registration)
            return False
        self._failures = 0
        modems.note_state(self.gateway, State.READY, owner=self.owner, now=now)
        modems.resume(self.gateway, now=now)
        self._ask_balance(modem)
        return True

    def _ask_balance(self, modem: Modem) -> None:
        code = SerialModemGateway(gateways.account_of(self.gateway)).option("balance_code")
        status = ModemStatus.objects.filter(gateway=self.gateway).first()
        if not code or status is None:
            return
        if status.balance_at is None or status.balance_at <= self._now() - BALANCE_EVERY:
            modems.note_balance(self.gateway, modem.balance(str(code)), now=self._now())

    # --- incoming -----------------------------------------------------------------------------------
    def hear(self, modem: Modem) -> None:
        """Take in what the modem has said unasked."""
        while modem.notices:
            notice = modem.notices.popleft()
            if notice.payload:
                modems.take_in(self.gateway, notice.payload, now=self._now())
                self._checkpoint_inbound("inbound_stored")
                modem.acknowledge()
            elif notice.text.startswith(("+CMTI:", "+CDSI:")):
                self._take_one(modem, at.fields(notice.text))

    def _take_one(self, modem: Modem, place: list[str]) -> None:
        if len(place) < 2 or not place[1].isdecimal() or not modem.use_storage(place[0]):
            return
        raw = modem.stored_one(int(place[1]))
        if raw is not None:
            self._take_and_delete(modem, int(place[1]), raw)

    def take_stored(self, modem: Modem) -> None:
        """Take in everything that lies in the modem, and on its SIM."""
        for storage in modem.storages or [modem.storage]:
            if storage and not modem.use_storage(storage):
                continue
            for found in modem.stored_sms():
                self._take_and_delete(modem, found.index, found.pdu)

    def _take_and_delete(self, modem: Modem, index: int, raw: str) -> None:
        modems.take_in(self.gateway, raw, now=self._now())
        self._checkpoint_inbound("inbound_stored")
        modem.delete(index)

    def _checkpoint_inbound(self, name: str) -> None:
        """For tests that end the process between keeping and deleting."""
        self._checkpoint(name, self.gateway.hook_id)


class Supervisor:
    """A keeper for each enabled modem (or for one of them), begun and ended as the gateways change."""

    def __init__(self, stop: threading.Event, *, gateway_id: int | None = None) -> None:
        self.stop, self._only = stop, gateway_id
        self._threads: dict[int, threading.Thread] = {}

    def run(self) -> None:
        """Until ``stop`` is set; comes back when all keepers have ended."""
        try:
            while not self.stop.is_set():
                try:
                    self._look()
                except (OperationalError, InterfaceError) as exc:
                    logger.warning("modems not looked up error=%s", type(exc).__name__)
                    connection.close()
                self.stop.wait(SUPERVISE_S)
        finally:
            self.stop.set()
            for thread in self._threads.values():
                thread.join()
            connections.close_all()

    def _look(self) -> None:
        close_old_connections()
        rows = Gateway.objects.select_related("platform").filter(kind=KIND, is_enabled=True)
        if self._only is not None:
            rows = rows.filter(pk=self._only)
        for gateway in rows:
            running = self._threads.get(gateway.pk)
            if running is None or not running.is_alive():
                keeper = Keeper(gateway, self.stop)
                thread = threading.Thread(target=keeper.run, name=f"modem-{gateway.pk}")
                self._threads[gateway.pk] = thread
                thread.start()
