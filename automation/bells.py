"""Connect the bells of the apps below: a finished round wakes an evaluation, a moved command its case."""

from typing import Any

from devices.models import Command
from devices.signals import command_moved
from exporters.signals import round_finished
from remosa.lib.tasks import later


def on_round_finished(sender: Any, *, exporter_id: int, **kwargs: Any) -> None:
    later("automation.tasks.after_round", exporter_id)


def on_command_moved(sender: Any, *, command_id: Any, **kwargs: Any) -> None:
    case_id = Command.objects.filter(pk=command_id).values_list("case_id", flat=True).first()
    if case_id is not None:
        later("automation.tasks.advance", str(case_id))


def connect() -> None:
    """Called once, when the apps are ready."""
    round_finished.connect(on_round_finished, dispatch_uid="automation.round_finished")
    command_moved.connect(on_command_moved, dispatch_uid="automation.command_moved")
