"""A modem on a terminal and in memory: opened, unlocked, sent through, listened to, lost and found again."""

import random
import socket
import threading
from datetime import timedelta
from functools import partial

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from sms import at, pdu
from sms.errors import GatewayError
from sms.gateways.serial_modem import SerialModemGateway, check_port
from sms.models import Gateway, InboundSms, ModemStatus, SentPart
from sms.modem import Modem, ModemError, NoAnswer, NotReady, PortLost, SerialPort
from sms.modem_keeper import Keeper, ModemPump
from sms.ports import Account
from sms.services import modems
from sms.states import SmsState
from tests.factories import make_gateway
from tests.sms.fake_modem import POINTS, REPORT, MemoryPort, PtyModem, Script, Time
from tests.sms.fakes import make_fake, make_notice
from tests.sms.gateway_contract import SECRET, TO, GatewayContract
from tests.sms.terminal_server import TerminalServer
from tests.sms.test_at import NOTICES, SMS, false_about, made_up

ON_TERMINAL = 200
DELIVER = "07919761989901F0040B919761214365F70000527070214365210423D86D04"  # "#07#" from +79161234567
SENT_AT = pdu.decode(DELIVER).sent_at


@pytest.fixture(autouse=True)
def _terminals_may_be_opened(settings):
    settings.MODEM_PORTS = ["/dev/pts/*", "/dev/ttyUSB*"]


@pytest.fixture
def open_on(tmp_path):
    """``open_on(pty_modem)``: a modem that is open on it, closed with the test."""
    ports = []

    def start(path: str, **options) -> Modem:
        ports.append(SerialPort(path, baud=115200, locks=tmp_path / "locks"))
        return Modem(ports[-1], **{"answer_s": 2.0, "prompt_s": 0.5, "sync_s": 0.3, **options})

    yield start
    for port in ports:
        port.close()


# --- on a terminal -------------------------------------------------------------------------------------
PROVES = {
    "command": {"not_sent"}, "half_prompt": {"not_sent"},
    # the line breaks while we write: not sent when that was seen before Ctrl-Z, else nobody knows
    "prompt": {"not_sent", "unknown"}, "half_body": {"not_sent", "unknown"}, "body": {"not_sent", "unknown"},
    "ctrl_z": {"unknown"}, "half_answer": {"unknown"}, "answer": {"accepted"}, "end": {"accepted"},
}  # fmt: skip


@pytest.mark.parametrize("point", POINTS)
def test_line_that_breaks_proves_what_its_point_says(point, open_on):
    script = Script()
    with PtyModem(script) as fake:
        modem = open_on(fake.path)
        modem.make_ready()
        script.breaks_at = point

        outcome = modem.submit(SMS.hex, SMS.length, timeout_s=3)

    assert outcome.kind in PROVES[point]
    assert len(script.taken) == (1 if point in ("ctrl_z", "half_answer", "answer", "end") else 0)
    assert false_about(script, outcome) == ""


def test_dialogues_on_a_terminal_never_say_what_is_not_so(open_on, figure):
    wrong, dice = [], random.Random(5)
    for number in range(ON_TERMINAL):
        script = made_up(dice)
        with PtyModem(script, notices=dice.choices(NOTICES, k=dice.randrange(4))) as fake:
            modem = open_on(fake.path, answer_s=0.5, prompt_s=0.1)

            outcome = modem.submit(SMS.hex, SMS.length, timeout_s=0.4 if script.silent_at else 5)
            modem._port.close()

        if found := false_about(script, outcome):
            wrong.append(f"{number}: {found}: {script}")

    assert wrong[:3] == []
    figure("modem on a pty", f"{ON_TERMINAL} dialogues, {len(wrong)} false")


def test_pdu_of_the_fixture_leaves_as_it_is(open_on):
    script = Script()
    with PtyModem(script) as fake:
        modem = open_on(fake.path)
        name = modem.make_ready()

        outcome = modem.submit(SMS.hex, SMS.length, timeout_s=3)

    assert (name, outcome) == ("FAKE 900", at.Outcome("accepted", mr=214))
    assert script.taken == ["0021000B919761214365F700000423586C04"]
    assert not modem.is_unsure


def test_port_has_one_holder(open_on, tmp_path):
    with PtyModem(Script()) as fake:
        open_on(fake.path)

        with pytest.raises(PortLost) as caught:
            SerialPort(fake.path, baud=115200, locks=tmp_path / "locks")
        with pytest.raises(PortLost) as elsewhere:  # with lock files of its own: the device itself is locked
            SerialPort(fake.path, baud=115200, locks=tmp_path / "others")

    assert caught.value.reason == "port_busy"
    assert elsewhere.value.reason == "no_port"


def test_port_that_is_closed_is_free_again(open_on, tmp_path):
    with PtyModem(Script()) as fake:
        SerialPort(fake.path, baud=115200, locks=tmp_path / "locks").close()
        fake.let_go()

        assert open_on(fake.path).make_ready() == "FAKE 900"


def test_port_that_is_closed_twice_leaves_the_files_of_others_open(tmp_path):
    with PtyModem(Script()) as fake:
        port = SerialPort(fake.path, baud=115200, locks=tmp_path / "locks")
        port.close()
        others = [(tmp_path / f"{number}").open("wb") for number in range(8)]  # they get the freed numbers

        port.close()

    for other in others:
        other.write(b"x")
        other.close()


def test_port_that_is_not_there_says_so(tmp_path):
    with pytest.raises(PortLost) as caught:
        SerialPort("/dev/pts/nobody", baud=115200, locks=tmp_path)

    assert (caught.value.reason, caught.value.detail) == ("no_port", "ENOENT")


class TcpModem:
    """The modem behind a terminal server."""

    def __init__(self, script: Script) -> None:
        self.script, self._server = script, socket.create_server(("127.0.0.1", 0))
        self.url = f"socket://127.0.0.1:{self._server.getsockname()[1]}"
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *details):
        self._server.close()
        self._thread.join(5)

    def _run(self):
        line, _address = self._server.accept()
        with line:
            while not self.script.is_broken and (octets := line.recv(4096)):
                for piece in self.script.feed(octets):
                    line.sendall(piece.encode())


@pytest.mark.parametrize(
    ("point", "kind"), [("", "accepted"), ("command", "not_sent"), ("ctrl_z", "unknown")]
)
def test_modem_behind_a_terminal_server_is_used_in_the_same_way(point, kind, open_on, settings):
    settings.EGRESS_ALLOW = ["127.0.0.0/8"]
    script = Script()
    with TcpModem(script) as server:
        modem = open_on(server.url)
        modem.make_ready()
        script.breaks_at = point

        outcome = modem.submit(SMS.hex, SMS.length, timeout_s=3)
        modem._port.close()

    assert outcome.kind == kind
    assert false_about(script, outcome) == ""


@pytest.mark.filterwarnings("ignore:set.* is deprecated:DeprecationWarning")
def test_modem_behind_an_rfc2217_server_is_used_in_the_same_way(open_on, settings):
    settings.EGRESS_ALLOW = ["127.0.0.0/8"]
    script = Script()
    with PtyModem(script) as fake, TerminalServer(fake.path) as server:
        modem = open_on(server.url, answer_s=5.0)

        name = modem.make_ready()
        outcome = modem.submit(SMS.hex, SMS.length, timeout_s=10)
        modem._port.close()

    assert (name, outcome.kind, len(script.taken)) == ("FAKE 900", "accepted", 1)


def test_terminal_server_in_a_forbidden_network_is_not_asked(tmp_path, settings):
    settings.EGRESS_ALLOW = []
    with socket.create_server(("127.0.0.1", 0)) as server, pytest.raises(PortLost) as caught:
        SerialPort(f"socket://127.0.0.1:{server.getsockname()[1]}", baud=115200, locks=tmp_path)

    assert (caught.value.reason, caught.value.detail) == ("no_port", "EACCES")


@pytest.mark.parametrize(
    ("port", "is_good"),
    [
        ("/dev/ttyUSB0", True), ("socket://modem.example:4001", True), ("rfc2217://[2001:db8::1]:4001", True),
        ("/dev/sda", False), ("/dev/ttyUSB0/../sda", False), ("/etc/passwd", False), ("COM3", False),
        ("socket://modem.example", False), ("socket://modem.example:4001/x?logging=debug", False),
        ("spy:///dev/sda", False), ("loop://", False), ("hwgrep://.*", False), ("socket://[:1", False),
    ],
)  # fmt: skip
def test_only_permitted_ports_may_be_named(port, is_good):
    assert (check_port(port) == "") is is_good


# --- in memory --------------------------------------------------------------------------------------------
def in_memory(script: Script, **options) -> Modem:
    clock = Time()
    return Modem(MemoryPort(script, clock, **options), monotonic=clock)


def test_right_pin_opens_the_sim():
    script = Script(sim="SIM PIN", pin="1234")

    in_memory(script).make_ready(pin="1234")

    assert script.pins_tried == ["1234"]


@pytest.mark.parametrize(
    ("sim", "pin", "reason"),
    [("SIM PIN", "9999", "pin_refused"), ("SIM PIN", "", "pin_required"), ("SIM PIN", '1";+X', "pin_required"),
     ("SIM PUK", "1234", "puk_required"), ("", "", "no_sim")],
)  # fmt: skip
def test_sim_that_is_not_open_is_named(sim, pin, reason):
    script = Script(sim=sim, pin="1234")

    with pytest.raises(NotReady) as caught:
        in_memory(script).make_ready(pin=pin)

    assert caught.value.reason == reason
    assert len(script.pins_tried) == (reason == "pin_refused")


def test_lost_prompt_is_taken_back_with_escape():
    script = Script(silent_at="prompt")
    modem = in_memory(script)
    modem.make_ready()

    outcome = modem.submit(SMS.hex, SMS.length, timeout_s=30)
    script.silent_at = ""
    modem.make_ready()
    again = modem.submit(SMS.hex, SMS.length, timeout_s=30)

    assert (outcome.kind, outcome.reason, again.kind, len(script.taken)) == (
        "not_sent",
        "no_prompt",
        "accepted",
        1,
    )


def test_prompt_that_a_dead_process_left_open_is_closed_first():
    script = Script()
    modem = in_memory(script)
    modem.make_ready()
    modem._port.write(b"AT+CMGS=17\r")
    modem._port.write(b"0021000B9197")

    modem.make_ready()

    assert script.taken == []
    assert "AT" in script.said


def test_hung_modem_is_made_to_begin_anew():
    script = Script(is_hung=True)
    modem = in_memory(script)

    with pytest.raises(NoAnswer):
        modem.make_ready()
    modem.reset()

    assert script.resets == 1
    assert modem.make_ready() == "FAKE 900"


def test_modem_that_hears_no_command_is_hung_up_on():
    script = Script(is_hung=True, wakes_by_reset=False)

    in_memory(script).reset()

    assert script.resets == 1


@pytest.mark.parametrize(("when", "kind"), [("AT+CMGF=0", "not_sent"), ("body", "unknown")])
def test_modem_that_restarts_in_the_middle_ends_the_dialogue(when, kind):
    script = Script(echo=False, silent_at="answer")
    modem = in_memory(script)
    modem.make_ready()

    def restart(_what: str) -> None:
        modem._port._out += b"\r\nRDY\r\n"

    if when == "body":
        script.on_point = lambda point: restart(point) if point == "ctrl_z" else None
    else:
        script.before_answer = restart
    outcome = modem.submit(SMS.hex, SMS.length, timeout_s=30)

    assert (outcome.kind, outcome.reason, modem.is_unsure) == (kind, "restarted", True)


def test_balance_is_asked_and_read():
    script = Script()
    modem = in_memory(script)
    modem.make_ready()

    assert modem.balance("*100#") == "Б°"
    assert modem.balance('*100#",15\rAT+CMGD=1') is None
    assert "AT+CMGD=1" not in script.said


# --- as a gateway ------------------------------------------------------------------------------------------
class Memory:
    """A journal in memory."""

    def __init__(self) -> None:
        self.open: dict[int, int | None] = {}

    def begin(self, *, client_ref, to, part, parts):
        self.open[len(self.open)] = None
        return len(self.open) - 1

    def accepted(self, entry, *, mr):
        self.open[entry] = mr

    def not_sent(self, entry):
        del self.open[entry]


def opened(script: Script, **config) -> SerialModemGateway:
    account = Account(gateway_id=1, config={"port": "/dev/ttyUSB0", **config}, secret=SECRET)
    modem = in_memory(script)
    modem.make_ready(pin="1234")
    return SerialModemGateway(account, line=modem, journal=Memory())


class TestContract(GatewayContract):
    @pytest.fixture
    def gateway(self):
        return opened(Script())


@pytest.mark.parametrize("body", ["#12#0#1#1#", "x" * 161, "Привет, экран не отвечает", "😀" * 80])
def test_text_arrives_at_the_network_as_it_was_written(body):
    script = Script()

    accepted = opened(script).send(TO, body, client_ref="ref", deadline_s=60)

    read = [pdu.decode(raw) for raw in script.taken]
    assert (pdu.join([part.text for part in read]), len(read)) == (body, accepted.parts)
    assert all(part.to == TO and part.wants_report and part.validity == 0 for part in read)


def test_failure_after_the_first_part_is_unknown():
    script = Script()
    gateway = opened(script)
    script.on_point = lambda point: setattr(script, "refuses_at_prompt", 1) if point == "end" else None

    with pytest.raises(GatewayError) as caught:
        gateway.send(TO, "x" * 161, client_ref="ref", deadline_s=60)

    assert (caught.value.outcome, caught.value.reason) == ("unknown", "part_2_of_2_cms_1")
    assert len(script.taken) == 1


@pytest.mark.parametrize(
    ("trouble", "outcome", "breaks"),
    [({"refuses_after_body": 38}, "unknown", False), ({"refuses_after_body": 28}, "rejected", False),
     ({"refuses_at_prompt": 310}, "not_sent", True), ({"refuses_at_prompt": 38}, "not_sent", False)],
)  # fmt: skip
def test_refusal_of_the_modem_is_one_of_the_gateway(trouble, outcome, breaks):
    with pytest.raises(GatewayError) as caught:
        opened(Script(**trouble)).send(TO, "#01#", client_ref="ref", deadline_s=60)

    assert (caught.value.outcome, caught.value.breaks) == (outcome, breaks)
    assert TO.lstrip("+") not in str(caught.value)


def test_number_that_no_pdu_can_carry_is_rejected():
    with pytest.raises(GatewayError) as caught:
        opened(Script()).send("+7'916", "#01#", client_ref="ref", deadline_s=60)

    assert (caught.value.outcome, caught.value.reason) == ("rejected", "bad_number")


def test_any_other_process_refuses_to_send():
    gateway = SerialModemGateway(Account(gateway_id=1, config={"port": "/dev/ttyUSB0"}))

    with pytest.raises(GatewayError) as caught:
        gateway.send(TO, "#01#", client_ref="ref", deadline_s=60)

    assert (caught.value.outcome, caught.value.reason) == ("not_sent", "wrong_process")


# --- with the outbox ---------------------------------------------------------------------------------------
@pytest.fixture
def row(north):
    """North's modem."""
    return make_gateway(north, kind="modem", config={"port": "/dev/ttyUSB0"}, secret="1234")


@pytest.fixture
def keeper_of(clock, monkeypatch):
    """``keeper_of(row, script)``: a keeper on the test's clock whose line is in memory."""
    monkeypatch.setattr("sms.modem_keeper.close_old_connections", lambda: None)  # the test is one transaction

    def make(row: Gateway, script: Script) -> Keeper:
        time = Time()
        return Keeper(
            row, threading.Event(), opens=lambda _row: MemoryPort(script, time), makes=partial(Modem, monotonic=time),
            now=clock.now, monotonic=time,
        )  # fmt: skip

    return make


def serve(keeper: Keeper, script: Script, *, until: str = "AT+CSQ", times: int = 1) -> None:
    """Let the keeper live until the modem has heard a command so often."""

    def heard(command: str) -> None:
        if script.said.count(until) >= times:
            keeper.stop.set()

    script.before_answer = heard
    keeper._serve_safely()


def pump_of(row: Gateway, script: Script, clock) -> ModemPump:
    modem = in_memory(script)
    modem.make_ready()
    return ModemPump("modem", row, modem, now=clock.now, monotonic=clock.monotonic, jitter=lambda: 0.0)


def test_message_goes_from_the_outbox_through_the_modems_process(north, row, pump, clock):
    message, script = make_notice(north), Script()

    pump.drain()
    message.refresh_from_db()
    handed = (message.state, message.reason, message.attempts, pump.drain())
    pump_of(row, script, clock).drain()
    message.refresh_from_db()

    assert handed == (SmsState.QUEUED, "waits_for_modem", 0, 0)
    assert (message.state, message.gateway_ref, message.attempts) == (SmsState.SENT, "214", 1)
    assert (len(script.taken), message.handed_until) == (1, None)
    assert [event.to_state for event in message.events.all()] == ["queued", "queued", "sending", "sent"]


def test_messages_of_other_gateways_are_left_alone(north, south, row, pump, clock):
    other = make_gateway(south, kind="modem", config={"port": "/dev/ttyUSB1"})
    make_notice(south)
    pump.drain()

    assert pump_of(row, Script(), clock).drain() == 0
    assert pump_of(other, Script(), clock).drain() == 1


def test_message_that_no_process_takes_up_goes_to_the_next_gateway(north, row, fake, pump, clock, settings):
    message = make_notice(north)
    pump.drain()
    other = make_fake(north, priority=200)

    clock.passes(timedelta(seconds=settings.OUTBOX_HAND_OVER_S))
    late = pump_of(row, Script(), clock).drain()
    pump.drain()
    message.refresh_from_db()

    assert (late, message.state, message.gateway) == (0, SmsState.SENT, other)
    assert len(fake.sent) == 1


def test_message_that_the_modem_did_not_send_goes_to_the_next_gateway(north, row, fake, pump, clock):
    message, script = make_notice(north), Script(silent_at="prompt")
    pump.drain()
    make_fake(north, priority=200)

    pump_of(row, script, clock).drain()
    pump.drain()
    message.refresh_from_db()

    assert (message.state, message.attempts, len(fake.sent), script.taken) == (SmsState.SENT, 2, 1, [])
    assert SentPart.objects.count() == 0


def test_message_lost_on_the_wire_is_unknown_and_stays_so(north, row, pump, clock):
    message, script = make_notice(north), Script()
    pump.drain()
    modem_pump = pump_of(row, script, clock)
    script.breaks_at = "ctrl_z"

    modem_pump.drain()
    clock.passes(timedelta(minutes=1))
    pump.run_once()
    message.refresh_from_db()

    assert (message.state, message.reason, len(script.taken)) == (SmsState.UNKNOWN, "port_lost", 1)


def test_rate_of_the_modem_is_kept(north, row, pump, clock):
    Gateway.objects.update(rate_per_minute=12)
    for _ in range(4):
        make_notice(north)
    script = Script()

    pump.drain()
    pump_of(row, script, clock).drain()

    assert len(script.taken) == 2


# --- how it feels ------------------------------------------------------------------------------------------
def test_health_is_written_down(row, keeper_of, clock):
    script = Script()
    row.config = {"port": "/dev/ttyUSB0", "balance_code": "*100#"}
    row.save()

    serve(keeper_of(row, script), script, until='AT+CUSD=1,"*100#",15')

    status = ModemStatus.objects.get(gateway=row)
    assert (status.state, status.signal_dbm, status.registration) == ("ready", -77, "home")
    assert (status.operator, status.model_name, status.balance_text) == ("Operator, Ltd", "FAKE 900", "Б°")
    row.refresh_from_db()
    assert (row.last_ok_at, row.breaker) == (clock.wall, "closed")


def test_without_network_nothing_is_sent_until_it_is_back(north, row, keeper_of, pump):
    message, script = make_notice(north), Script(creg="0,2")
    pump.drain()

    serve(keeper_of(row, script), script, times=3)
    row.refresh_from_db()
    before = (ModemStatus.objects.get().state, row.breaker, row.last_error, list(script.taken))
    script.creg = "0,5"
    serve(keeper_of(row, script), script, times=6)
    message.refresh_from_db()
    row.refresh_from_db()

    assert before == ("no_network", "open", "modem_no_network", [])
    assert (message.state, row.breaker, len(script.taken)) == (SmsState.SENT, "closed", 1)


def test_suspended_modem_is_passed_over(north, row, fake, pump, clock):
    modems.suspend(row, "no_network", now=clock.wall)
    make_fake(north, priority=200)
    message = make_notice(north)

    pump.drain()
    message.refresh_from_db()

    assert message.state == SmsState.SENT


def test_suspension_for_failed_messages_is_not_lifted_by_health(row, clock):
    Gateway.objects.update(
        breaker="open", breaker_until=clock.wall, last_error="no_answer", failures_in_row=5
    )

    modems.resume(row, now=clock.wall)

    row.refresh_from_db()
    assert (row.breaker, row.last_ok_at) == ("open", None)


def test_wrong_pin_is_said_once_whoever_starts_anew(row, keeper_of):
    script = Script(sim="SIM PIN", pin="0000")

    for _ in range(5):
        keeper = keeper_of(row, script)
        keeper.stop.set()
        keeper._serve_safely()

    assert script.pins_tried == ["1234"]
    assert ModemStatus.objects.get().state == "pin_refused"


def test_corrected_pin_is_said(row, keeper_of):
    script = Script(sim="SIM PIN", pin="0000")
    keeper = keeper_of(row, script)
    keeper.stop.set()
    keeper._serve_safely()

    row.secret = "0000"
    row.save()
    again = keeper_of(row, script)
    again.stop.set()
    again._serve_safely()

    assert script.pins_tried == ["1234", "0000"]
    assert ModemStatus.objects.get().tried_pin == ""


def test_hung_modem_is_reset_and_counted(row, keeper_of):
    script = Script(is_hung=True)
    keeper = keeper_of(row, script)
    keeper.stop.set()

    keeper._serve_safely()

    status = ModemStatus.objects.get()
    assert (status.state, status.resets, script.resets) == ("no_answer", 1, 1)


@pytest.mark.parametrize(
    "error", [PortLost("no_port", "ENOENT"), PortLost("port_busy"), NotReady("never heard of")]
)
def test_trouble_is_written_down_and_survived(row, keeper_of, error):
    def refuse(_row):
        raise error

    keeper = keeper_of(row, Script())
    keeper._opens = refuse
    keeper.stop.set()
    keeper._serve_safely()

    assert ModemStatus.objects.get().state == {"never heard of": "refuses"}.get(error.reason, error.reason)
    assert isinstance(error, ModemError)


# --- incoming ---------------------------------------------------------------------------------------------
def deliver(text: str, *, sender: str = "+79161234567", place: tuple[int, int, int] | None = None) -> str:
    """A delivered SMS, or one part (ref, parts, part) of one."""
    concat = pdu.Concat(place[0], 8, place[1], place[2]) if place else None
    submit = bytes.fromhex(pdu.encode_submit(pdu.Submit(sender, text, concat=concat, dcs=8)).hex)
    octets = (
        bytes([0, 0x44 if place else 0x04]) + submit[3:13] + bytes.fromhex("52707021436521") + submit[13:]
    )
    return octets.hex().upper()


def bodies() -> list[str]:
    return [inbound.body for inbound in InboundSms.objects.order_by("received_at", "pk")]


def test_what_lies_in_the_modem_is_taken_in_and_then_deleted(row, keeper_of):
    script = Script(stored={3: DELIVER, 7: deliver("ещё")})

    serve(keeper_of(row, script), script)

    assert sorted(bodies()) == ["#07#", "ещё"]
    assert (script.stored, sorted(script.deleted)) == ({}, [3, 7])
    inbound = InboundSms.objects.get(body="#07#")
    assert (inbound.sender, inbound.sent_at, inbound.platform) == ("+79161234567", SENT_AT, row.platform)


def test_nothing_is_deleted_before_it_is_kept(row, keeper_of, monkeypatch):
    script = Script(stored={3: DELIVER})
    monkeypatch.setattr(modems, "receive", lambda **_: (_ for _ in ()).throw(ZeroDivisionError))

    with pytest.raises(ZeroDivisionError):
        serve(keeper_of(row, script), script)

    assert script.stored == {3: DELIVER}


@pytest.mark.parametrize(
    ("notice", "answer"),
    [('\r\n+CMTI: "ME",3\r\n', "AT+CMGD=3"), (f"\r\n+CMT: ,23\r\n{DELIVER}\r\n", "AT+CNMA")],
)
def test_announced_sms_is_taken_in_and_acknowledged(row, keeper_of, notice, answer):
    script = Script(stored={3: DELIVER} if "CMTI" in notice else {})
    keeper = keeper_of(row, script)
    modem = Modem(keeper._opens(row), monotonic=keeper._monotonic)
    modem.make_ready()
    modem._port._out += notice.encode()
    modem.listen()

    keeper.hear(modem)

    assert bodies() == ["#07#"]
    assert script.said[-1] == answer


def test_same_sms_heard_twice_is_one(row, clock):
    for _ in range(3):
        modems.take_in(row, DELIVER, now=clock.wall)

    assert bodies() == ["#07#"]


def test_parts_in_any_order_become_one_text(row, clock):
    parts = [
        deliver(text, place=(9, 3, number)) for number, text in enumerate(("раз ", "два ", "три"), start=1)
    ]

    for raw in (parts[2], parts[0], parts[0], parts[1], parts[1]):
        modems.take_in(row, raw, now=clock.wall)

    assert bodies() == ["раз два три"]


def test_halves_of_a_character_in_two_parts_meet(row, clock):
    half = deliver("х", place=(9, 2, 1))
    modems.take_in(row, half[: -len("0445")] + "D83D", now=clock.wall)
    other = deliver("х", place=(9, 2, 2))
    modems.take_in(row, other[: -len("0445")] + "DE00", now=clock.wall)

    assert bodies() == ["😀"]


def test_reference_that_is_used_again_does_not_mix_two_texts(row, clock):
    modems.take_in(row, deliver("старое ", place=(9, 2, 1)), now=clock.wall)
    clock.passes(timedelta(minutes=5))
    modems.take_in(row, deliver("новое ", place=(9, 2, 1)), now=clock.wall)
    modems.take_in(row, deliver("целиком", place=(9, 2, 2)), now=clock.wall)

    assert sorted(bodies()) == ["новое целиком", "старое  […] "]


def test_text_whose_parts_do_not_come_is_shown_with_a_mark(row, clock):
    modems.take_in(row, deliver("конец", place=(9, 2, 2)), now=clock.wall)

    early = modems.sweep_parts(row, now=clock.wall)
    clock.passes(modems.PARTS_WAIT)

    assert (early, modems.sweep_parts(row, now=clock.wall)) == (0, 1)
    assert bodies() == [" […] конец"]


def test_what_cannot_be_read_is_kept_for_a_person(row, clock):
    modems.take_in(row, "07919761", now=clock.wall)
    modems.take_in(row, "07919761989901F0040B919761214365F70004527070214365210548656C6C6F", now=clock.wall)

    assert sorted(bodies()) == ["[PDU] 07919761", "[data] 48656c6c6f"]


# --- reports -----------------------------------------------------------------------------------------------
def sent(north, row, pump, clock, *, body="Экран не отвечает", breaks_at="", **over):
    """A message that left through the modem."""
    message, script = make_notice(north, body=body, **over), Script(mr=over.pop("mr", 214))
    pump.drain()
    modem_pump = pump_of(row, script, clock)
    script.breaks_at = breaks_at
    numbers = iter(range(214, 230))
    script.on_point = lambda point: setattr(script, "mr", next(numbers)) if point == "ctrl_z" else None
    modem_pump.drain()
    return message


def report(mr: int, status: int, *, at_time, to: str = "+79161234567") -> pdu.StatusReport:
    return pdu.StatusReport(to, mr, status, at_time, at_time)


@pytest.mark.parametrize(
    ("status", "state"), [(0, "delivered"), (1, "delivered"), (0x46, "undelivered"), (0x60, "undelivered")]
)
@pytest.mark.parametrize("to", ["+79161234567", "79161234567"])
def test_report_settles_its_message(north, row, pump, clock, status, state, to):
    message = sent(north, row, pump, clock)

    modems.apply_report(row, report(214, status, at_time=clock.wall, to=to), now=clock.wall)

    message.refresh_from_db()
    assert message.state == state


def test_report_from_the_wire_settles_its_message(north, row, pump, clock, keeper_of):
    clock.wall = pdu.decode(REPORT).sent_at
    message = sent(north, row, pump, clock, now=clock.wall, expires_at=clock.wall + timedelta(minutes=5))
    clock.passes(timedelta(minutes=1))

    modems.take_in(row, REPORT, now=clock.wall)

    message.refresh_from_db()
    assert (message.state, message.delivered_at) == ("delivered", pdu.decode(REPORT).discharged_at)


def test_report_in_between_settles_nothing(north, row, pump, clock):
    message = sent(north, row, pump, clock)

    assert modems.apply_report(row, report(214, 0x20, at_time=clock.wall), now=clock.wall) is None
    message.refresh_from_db()
    assert message.state == "sent"


def test_two_parts_are_delivered_when_both_are(north, row, pump, clock):
    message = sent(north, row, pump, clock, body="x" * 161)

    first = modems.apply_report(row, report(215, 0, at_time=clock.wall), now=clock.wall)
    second = modems.apply_report(row, report(214, 0, at_time=clock.wall), now=clock.wall)

    message.refresh_from_db()
    assert (first, second, message.state) == (None, "applied", "delivered")


def test_report_of_a_number_that_wrapped_means_the_message_of_that_time(north, row, pump, clock):
    old = sent(north, row, pump, clock)
    clock.passes(timedelta(hours=30))
    new = sent(north, row, pump, clock, now=clock.wall, expires_at=clock.wall + timedelta(minutes=5))

    modems.apply_report(row, report(214, 0, at_time=clock.wall), now=clock.wall)

    old.refresh_from_db()
    new.refresh_from_db()
    assert (old.state, new.state) == ("sent", "delivered")


def test_report_settles_a_message_whose_number_never_reached_us(north, row, pump, clock):
    message = sent(north, row, pump, clock, breaks_at="ctrl_z")
    message.refresh_from_db()
    before = message.state

    modems.apply_report(row, report(99, 0, at_time=clock.wall + timedelta(seconds=4)), now=clock.wall)

    message.refresh_from_db()
    assert (before, message.state) == ("unknown", "delivered")


@pytest.mark.parametrize("over", [{"mr": 99}, {"to": "+79160000000"}])
def test_report_about_something_else_settles_nothing(north, row, pump, clock, over):
    message = sent(north, row, pump, clock)
    told = {"mr": 214, "status": 0, "at_time": clock.wall, **over}

    assert modems.apply_report(row, report(**told), now=clock.wall) == "unmatched"
    message.refresh_from_db()
    assert message.state == "sent"


# --- from a shell --------------------------------------------------------------------------------------------
def test_pdu_is_explained_at_a_shell(capsys):
    call_command("sms", "decode", DELIVER)
    deliver = capsys.readouterr().out
    call_command("sms", "decode", REPORT)
    told = capsys.readouterr().out

    assert "text: '#07#'" in deliver
    assert "meaning: delivered" in told
    with pytest.raises(CommandError, match="cut_in_centre"):
        call_command("sms", "decode", "0791")


def test_modems_are_listed_at_a_shell(row, keeper_of, clock, time_machine, capsys):
    time_machine.move_to(clock.now(), tick=False)
    script = Script()
    serve(keeper_of(row, script), script, until="AT+COPS?")

    call_command("sms", "modem")

    assert "\tready\t-77 dBm\tOperator, Ltd\tseen " in capsys.readouterr().out


def test_test_sms_waits_for_the_modems_process_and_then_says_so(north, row, settings, capsys):
    settings.DEBUG, settings.OUTBOX_HAND_OVER_S = True, 0.3

    with pytest.raises(SystemExit) as ended:
        call_command("sms", "send", TO, "#01#", "--gateway", str(row.pk))

    assert ended.value.code == 1
    assert "waits_for_modem" in capsys.readouterr().out


def test_only_a_modem_can_be_served(north):
    other = make_gateway(north, kind="console")

    with pytest.raises(CommandError, match="is no modem"):
        call_command("modem", "--gateway", str(other.pk))
