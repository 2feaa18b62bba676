"""How devices and commands are shown to people: their states in words and colours, their texts without secrets."""

import re
from datetime import timedelta

from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from devices.catalogue import render
from devices.models import Command, Device
from devices.parameters import ParamError
from devices.states import CommandState, DeviceState
from platforms.console.display import pill
from remosa.lib.clock import utcnow

S = CommandState
STATE_TONES = {DeviceState.ONLINE: "green", DeviceState.OFFLINE: "red", DeviceState.UNKNOWN: "grey"}
COMMAND_TONES = {
    S.REQUESTED: "grey", S.QUEUED: "blue", S.SENT: "blue", S.DELIVERED: "blue", S.REPLIED: "blue",
    S.VERIFIED: "green", S.REFUSED: "red", S.UNVERIFIED: "amber", S.NOT_EXECUTED: "red", S.FAILED: "red",
    S.UNKNOWN: "amber", S.NEEDS_OPERATOR: "red", S.CLOSED_BY_OPERATOR: "grey", S.BLOCKED: "amber",
    S.CANCELLED: "grey", S.EXPIRED: "amber", S.SUPERSEDED: "grey",
}  # fmt: skip
OUTPUT = re.compile("out[0-9]")
STALE_AFTER = timedelta(minutes=10)  # nobody has confirmed the state for this long: the poller is gone


def state_pill(device: Device) -> SafeString:
    """The state in a word; what nobody has confirmed lately says so. A socket is what it said of itself."""
    if device.kind == Device.Kind.SOCKET and device.state == DeviceState.UNKNOWN:
        return _socket_pill(device)
    now = utcnow()
    stale = device.observed_at is not None and now - device.observed_at > STALE_AFTER
    if stale and device.state != DeviceState.UNKNOWN:
        old = _("stale")
        return pill(f"{device.get_state_display()}, {old}", "grey")
    return pill(device.get_state_display(), STATE_TONES[DeviceState(device.state)])


def _socket_pill(device: Device) -> SafeString:
    """No mains, what is off, all on; sockets are not polled, so it is as old as their last SMS."""
    facts = device.facts
    if facts.get("mains") == "lost":
        return pill(_("mains lost"), "red")
    outputs = {name[3:]: value for name, value in facts.items() if OUTPUT.fullmatch(name)}
    if off := sorted(number for number, value in outputs.items() if value == "off"):
        return pill(_("output %(line)s is off") % {"line": ", ".join(off)}, "amber")
    if not outputs:
        return pill(device.get_state_display(), "grey")
    return pill(pgettext("state of a socket", "is on"), "green")


def command_pill(command: Command) -> SafeString:
    """The state of a command in a word."""
    return pill(command.get_state_display(), COMMAND_TONES[CommandState(command.state)])


def shown_text(command: Command) -> str:
    """The text of the SMS, passwords hidden. The command comes with its template's model."""
    spec = command.template.spec
    if not any(param.secret for param in spec.params):
        return command.body
    try:
        return render(spec, command.params).masked
    except ParamError:  # the template has changed since
        return "****"
