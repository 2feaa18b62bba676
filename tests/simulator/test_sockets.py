"""A socket obeys its administrator and the catalogue, and nobody and nothing else."""

import pytest

from devices.catalogue import load_catalogue, render
from devices.replies import load_rules, read_reply
from devices.services.templates import shipped_models
from remosa.simulator.commands import catalogue_reader
from remosa.simulator.fleet import SocketSpec
from remosa.simulator.sockets import Change, Socket, obey

ADMIN, USER, STRANGER = "+79000000100", "+79000000101", "+79000000102"
READ = catalogue_reader()


def make_socket(model="D210", **over):
    socket = Socket(SocketSpec("Розетка", "+79000000001", model, "severny"), admin=ADMIN)
    for name, value in over.items():
        setattr(socket, name, value)
    return socket


def ask(socket, text, sender=ADMIN):
    return obey(socket, sender=sender, command=READ(socket.spec.model, text))


@pytest.mark.parametrize(
    ("model", "text", "reply", "changes"),
    [
        ("D210", "#01#0#", "OUT1 ON", [Change(1, True)]),
        ("D210", "#02#0#", "OUT1 OFF", [Change(1, False)]),
        ("D210", "#12#0#10#1#", "OUT1 OFF 10 MIN", [Change(1, False), Change(1, True, 10)]),
        ("D210", "#12#0#5#0#", "OUT1 ON 5 MIN", [Change(1, True), Change(1, False, 5)]),
        ("D410", "#01#2#", "OUT2 ON", [Change(2, True)]),
        ("D410", "#01#", "OUT1 ON; OUT2 ON", [Change(1, True), Change(2, True)]),
        ("D410", "#11#1#1#3#", "OK", [Change(1, True, 3)]),
        ("D410", "#11#2#2#3#", "OK", [Change(2, False, 3)]),
        ("D210", "#20#0#0#0800#2200#", "OK", []),
        ("T40-T20", "#12#0#10#1#", "OK", [Change(1, True, 10)]),
        ("T80", "#12#0#10#0#", "OK", [Change(1, False, 10)]),
        ("T80", "#2#0#", "OUT1 OFF", [Change(1, False)]),
        ("ISOCKET-706", "ON", "Power socket ON", [Change(1, True)]),
        ("ISOCKET-706", "OFF123", "Power OFF for 123 min", [Change(1, False), Change(1, True, 123)]),
        ("ISOCKET-706", "OFFM", "OUT2 OFF", [Change(2, False)]),
        (
            *("GSM-SOCKET", "#138#1#10#"),
            "Status: ON\nDelay control: function ON\nThe switch will open after 10 minutes!",
            [Change(1, True, 10)],
        ),
    ],
)
def test_obey_switches_and_answers(model, text, reply, changes):
    obeyed = ask(make_socket(model), text)

    assert (obeyed.reply, list(obeyed.changes)) == (reply, changes)


def test_obey_same_bytes_mean_another_thing_to_another_model():
    assert ask(make_socket("D410"), "#12#0#10#1#").reply == "ERR FORMAT"


@pytest.mark.parametrize("text", ["", "reboot", "#12#0#0#1#", "#12#0#721#1#", "#12#0#10#1##02#0#", "#01#0# "])
def test_obey_answers_a_malformed_command_without_effect(text):
    obeyed = ask(make_socket(), text)

    assert (obeyed.reply, obeyed.changes) == ("ERR FORMAT", ())


@pytest.mark.parametrize("text", ["#02#0#", "#07#", "junk", "#00#", "#08#1234#"])
def test_obey_gives_a_stranger_no_effect(text):
    socket = make_socket()

    obeyed = ask(socket, text, STRANGER)

    assert (obeyed.reply, obeyed.changes, socket.admin) == ("ERR NOT ADMIN", (), ADMIN)


def test_obey_lets_a_user_switch_but_not_configure():
    socket = make_socket()
    ask(socket, f"#06#{USER}#")

    assert ask(socket, "#02#0#", USER).reply == "OUT1 OFF"
    assert ask(socket, "#05#0#", USER).reply == "ERR NOT ADMIN"
    assert socket.mains_sms is True


def test_obey_registers_the_first_administrator_only():
    socket = make_socket(admin=None)

    assert ask(socket, "#00#", STRANGER).reply == "OK"
    assert ask(socket, "#00#", ADMIN).reply == "ERR NOT ADMIN"
    assert socket.admin == STRANGER


def test_obey_reset_needs_the_password_and_erases_the_administrator():
    socket = make_socket()

    assert ask(socket, "#08#9999#").reply == "ERR PASSWORD"
    assert socket.admin == ADMIN
    assert ask(socket, "#08#1234#").reply == "OK"
    assert socket.admin is None


@pytest.mark.parametrize(
    ("over", "reply"),
    [
        ({}, "OUT1 ON; T=23C; MAINS OK; GSM 21"),
        ({"mains": False, "outputs": {1: False}}, "OUT1 OFF; T=23C; MAINS LOST; GSM 21"),
    ],
)
def test_obey_status_tells_output_temperature_mains_and_signal(over, reply):
    assert ask(make_socket(**over), "#07#").reply == reply


def test_obey_status_of_two_lines_names_both():
    assert ask(make_socket("D410"), "#07#").reply == "OUT1 ON; OUT2 ON; T=23C; MAINS OK; GSM 21"


def test_obey_takes_ten_users_and_no_more():
    socket = make_socket("D410")
    many = "#".join(f"+7900000020{digit}" for digit in range(10))

    assert ask(socket, f"#60#{many}#").reply == "OK"
    assert ask(socket, f"#06#{USER}#").reply == "ERR FULL"
    assert ask(socket, "#15#+79000000200#").reply == "OK"
    assert ask(socket, f"#06#{USER}#").reply == "OK"


EXAMPLES = {
    "hhmm": "08:00",
    "clock": "08:00",
    "e164": USER,
    "e164_list": [USER],
    "digits": "1234",
    "text": "DOOR",
}
RULES = {model["code"]: load_rules(model["rules"]) for model in shipped_models()}


def example(param, place):
    """A value that the parameter takes; a later one of the same type is larger."""
    if param.type == "enum":
        return param.choices[0][0]
    if param.type == "int":
        return (param.minimum or 0) + place
    if param.type == "e164_list":
        return [f"+7900000010{number}" for number in range(param.minimum)]
    return "10:00" if param.type == "hhmm" and place > 1 else EXAMPLES[param.type]


@pytest.mark.parametrize("spec", load_catalogue(), ids=lambda spec: f"{spec.model}-{spec.key}")
def test_every_shipped_command_is_obeyed_and_its_answer_understood(spec):
    params = {param.name: example(param, place) for place, param in enumerate(spec.params)}
    socket = make_socket(spec.model)

    obeyed = ask(socket, render(spec, params).body)

    assert read_reply(obeyed.reply, RULES[spec.model], awaiting=spec, sent=params).kind == "confirmed"
    assert {change.line for change in obeyed.changes} <= set(socket.spec.lines)
