"""Commands: what was asked of devices and what became of it. Nothing here is edited."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _g
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from devices.display import command_pill, shown_text
from devices.models import Command
from devices.services import cancel_command, close_unknown
from devices.services.commands import in_the_lane
from devices.states import CommandState
from platforms.admin_base import PlatformAdmin
from platforms.console.deeds import Deed, NoteForm, Refused
from platforms.console.display import DASH, ago, link
from platforms.roles import Perm
from remosa.lib.clock import utcnow

S = CommandState


@admin.register(Command)
class CommandAdmin(PlatformAdmin):
    list_display = ("title", "state_now", "asked", "to_device", "for_device", "platform", "asker", "why")
    list_filter = ("state", "platform", "source", "device__site")
    list_select_related = ("template__model", "device", "target", "platform", "actor")
    search_fields = ("device__name", "target__name", "body", "reason", "template__key")
    search_help_text = _("device, text or reason")
    date_hierarchy = "created_at"
    head_template = "console/command_head.html"
    fields = ("platform", "effect", "source", "asker", "reason", "created_at", "expires_at", "cause_id")
    deeds = (
        Deed(
            "cancel", _("Cancel the command"), Perm.CONTROL, icon="cancel", form=NoteForm, danger=True,
            question=_("It is taken back if it has not left yet."),
            when=lambda row: row.state in (S.REQUESTED, S.QUEUED),
        ),
        Deed(
            "it_worked", _("It worked"), Perm.CONTROL, icon="thumb_up",
            question=_("You have seen that the device did it. The socket becomes free for other commands."),
            when=lambda row: row.state == S.NEEDS_OPERATOR,
        ),
        Deed(
            "it_did_not", _("It did not work"), Perm.CONTROL, icon="thumb_down",
            question=_("You have seen that the device did not do it. The socket becomes free for other commands."),
            when=lambda row: row.state == S.NEEDS_OPERATOR,
        ),
    )  # fmt: skip

    def head_context(self, request: HttpRequest, row: Command) -> dict[str, Any]:
        shown = {"command": row, "text": shown_text(row), "state_pill": command_pill(row)}
        if row.state == S.REQUESTED:
            shown["waits_for"] = in_the_lane(row.device_id)
        return shown

    def get_readonly_fields(self, request: HttpRequest, obj: Command | None = None) -> list[str]:
        return [*self.fields]

    def cancel(self, request: HttpRequest, row: Command, answers: dict[str, Any]) -> str:
        """Deed: take it back before it leaves."""
        if not cancel_command(row, by=request.user, now=utcnow(), reason=answers["reason"]):
            raise Refused(_g("It is too late: the SMS is being sent or was sent."))
        return _g("The command is cancelled.")

    def it_worked(self, request: HttpRequest, row: Command, answers: dict[str, Any]) -> str:
        """Deed: a person has seen the effect."""
        close_unknown(row, by=request.user, executed=True, now=utcnow())
        return _g("Closed: it worked.")

    def it_did_not(self, request: HttpRequest, row: Command, answers: dict[str, Any]) -> str:
        """Deed: a person has seen that nothing happened."""
        close_unknown(row, by=request.user, executed=False, now=utcnow())
        return _g("Closed: it did not work.")

    @display(description=_("command"), ordering="template")
    def title(self, row: Command) -> str:
        return row.template.name

    @display(description=_("state"), ordering="state")
    def state_now(self, row: Command) -> SafeString:
        return command_pill(row)

    @display(description=_("requested"), ordering="created_at")
    def asked(self, row: Command) -> SafeString | str:
        return ago(row.created_at, utcnow())

    @display(description=_("to"), ordering="device__name")
    def to_device(self, row: Command) -> SafeString:
        return link(reverse("admin:devices_device_change", args=[row.device_id]), row.device)

    @display(description=_("in order to repair"), ordering="target__name")
    def for_device(self, row: Command) -> SafeString | str:
        if row.target is None:
            return DASH
        return link(reverse("admin:devices_device_change", args=[row.target_id]), row.target)

    @display(description=_("who"))
    def asker(self, row: Command) -> str:
        return str(row.actor) if row.actor else row.get_source_display()

    @display(description=_("why"))
    def why(self, row: Command) -> str:
        return row.reason or DASH
