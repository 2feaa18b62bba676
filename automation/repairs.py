"""How a job repairs through one output of a socket: in the way of the socket's model, or by the command it names.

And what a step of a case came to, whatever it was.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from automation.ladder import CYCLE, Do, Rung
from automation.models import ActionRun, Job
from automation.states import CallState, RunState
from devices.catalogue import Rendered
from devices.models import Command, CommandTemplate, Device, Restoration
from devices.ports import Quote
from devices.restoring import ARM_RESERVE_MINUTES
from devices.services import Cycle, Plan, plan_for, power_cycle, preview, request_command
from devices.states import RestorationState

REBOOT = "power_cycle"  # the command of a job that means a reboot, whatever SMS the model needs for it
COMMAND = "command"  # the way of a job that names any other command


def plan_of(job: Job, socket: Device, line: int) -> Plan | None:
    """What the job sends to repair what hangs on ``line``; None when the model has nothing for it."""
    if socket.model is None:
        return None
    plan = plan_for(socket, line) if job.template_key == REBOOT else None
    if plan is not None:
        return plan
    template = socket.model.templates.select_related("model").filter(key=job.template_key).first()
    return Plan(COMMAND, (template,)) if template is not None else None


def is_whole(plan: Plan) -> bool:
    """Whether automation may start it: nothing of it is dangerous, and at its end the output is on again."""
    if plan.way == COMMAND:
        return plan.templates[0].is_repair
    return all(template.is_harmless for template in plan.templates)


def params_of(job: Job, rung: Rung) -> dict[str, Any]:
    """The parameters of the job's command; a step may leave the power off for longer."""
    return job.params | ({"minutes": rung.minutes} if rung.minutes is not None else {})


def ask(plan: Plan, *, job: Job, rung: Rung, socket: Device, line: int, **what: Any) -> Command:
    """Ask for the repair; its first command. Raises what ``request_command`` raises."""
    params = params_of(job, rung)
    if plan.way == COMMAND:
        return request_command(device=socket, template_key=job.template_key, params=params, **what)
    cycle = power_cycle(device=socket, line=line, minutes=_minutes(params), **what)
    return first_command(cycle)


def texts_of(plan: Plan, *, job: Job, socket: Device, rung: Rung = CYCLE) -> tuple[list[Rendered], Quote]:
    """The SMS that the repair would send, in order, and their price together. CommandInvalid as for ``ask``."""
    texts, quotes = [], []
    for template in plan.templates:
        rendered, quote = preview(
            device=socket, template_key=template.key, params=_params(plan, template, params_of(job, rung))
        )
        texts.append(rendered)
        quotes.append(quote)
    segments, price = sum(each.segments for each in quotes), sum((each.price for each in quotes), Decimal(0))
    return texts, replace(quotes[0], segments=segments, price=price)


def _params(plan: Plan, template: CommandTemplate, params: Mapping[str, Any]) -> Mapping[str, Any]:
    if plan.way == COMMAND or template.power == "cycle":
        return params
    minutes = _minutes(params)
    return {"minutes": minutes + ARM_RESERVE_MINUTES} if template.power == "on_later" and minutes else {}


def _minutes(params: Mapping[str, Any]) -> Any:
    return params.get("minutes")


def first_command(cycle: Cycle) -> Command:
    """What a reboot began with."""
    if cycle.command is not None:
        return cycle.command
    assert cycle.restoration is not None  # noqa: S101  a cycle is one of the two
    return cycle.restoration.commands.order_by("created_at", "pk")[0]


@dataclass(frozen=True)
class Deed:
    """What a step has done so far: the ``command`` that cut the power, once there is one.

    ``state`` is a command's, or ``left_dark``: the output is not on again, and people were told; of a step
    that is no command it is one of ``verification.SOFT``.
    """

    state: str
    sent_at: datetime | None = None
    command: Command | None = None


CALLED = {
    CallState.QUEUED: "asked", CallState.SENDING: "asked", CallState.DONE: "told", CallState.UNKNOWN: "maybe",
    CallState.FAILED: "dropped", CallState.CANCELLED: "dropped",
}  # fmt: skip


def deed_of(run: ActionRun | None) -> Deed | None:
    """What a step came to; None when nothing was asked for."""
    if run is None:
        return None
    if run.state == RunState.SKIPPED:
        return Deed("dropped")
    if run.step.get("do") == Do.WAIT:
        return Deed("told", run.planned_at)
    if run.call is not None:
        word = CALLED[CallState(run.call.state)]
        return Deed(word, run.call.state_changed_at if word in ("told", "maybe") else None)
    command = run.command
    if command is None:
        return None
    story = command.restoration
    if story is None or story.way == Restoration.Way.WATCH:
        return Deed(command.state, command.sent_at, command)
    cuts = [each for each in story.commands.all() if each.power == "off"]
    cut = max(cuts, key=lambda each: each.created_at, default=None)
    if cut is None:  # the way back is being prepared, or could not be: then nothing was switched off
        return Deed("not_executed" if story.state == RestorationState.CANCELLED else "queued")
    return Deed("left_dark" if story.state == RestorationState.BROKEN else cut.state, cut.sent_at, cut)
