"""The outbox and the inbox: what goes out, what came in, what is stuck. Nothing here is edited."""

from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _g
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy
from unfold.contrib.filters.admin import DropdownFilter
from unfold.decorators import display

from devices.display import shown_text
from platforms.admin_base import PlatformAdmin
from platforms.console.deeds import Deed, Refused
from platforms.console.display import DASH, ago, link, moment, pill
from platforms.roles import Perm
from remosa.lib.clock import utcnow
from remosa.lib.redact import mask_msisdn, redact
from sms.admin.inbox import InboxDeeds
from sms.display import reason_text
from sms.errors import SmsError
from sms.models import InboundSms, SmsMessage
from sms.queue_page import queue_view
from sms.services import cancel, ignore
from sms.states import WAITS_FOR_A_PERSON, InboundState, SmsState

S = SmsState
TONES = {
    S.QUEUED: "blue", S.CLAIMED: "blue", S.SENDING: "blue", S.SENT: "blue", S.DELIVERED: "green",
    S.UNDELIVERED: "red", S.FAILED: "red", S.UNKNOWN: "amber", S.EXPIRED: "amber", S.CANCELLED: "grey",
}  # fmt: skip
INBOUND_TONES = {
    InboundState.RECEIVED: "blue", InboundState.MATCHED: "green", InboundState.UNDERSTOOD: "green",
    InboundState.UNMATCHED: "amber", InboundState.AMBIGUOUS: "amber", InboundState.IGNORED: "grey",
}  # fmt: skip
STUCK_AFTER = timedelta(minutes=2)


class StuckFilter(DropdownFilter):
    """What should have moved on and has not, and what nobody knows."""

    title = _("trouble")
    parameter_name = "trouble"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("stuck", _("waits too long")), ("unknown", _("outcome unknown"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[SmsMessage]) -> QuerySet[SmsMessage]:
        if self.value() == "stuck":
            return queryset.filter(stuck(utcnow()))
        return queryset.filter(state=S.UNKNOWN) if self.value() == "unknown" else queryset


class WaitsFilter(DropdownFilter):
    """What nobody could place."""

    title = _("trouble")
    parameter_name = "trouble"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("waits", _("waits for a person"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[InboundSms]) -> QuerySet[InboundSms]:
        return queryset.filter(state__in=WAITS_FOR_A_PERSON) if self.value() == "waits" else queryset


def stuck(now: Any) -> Q:
    """Rows that a running outbox would have moved by now."""
    late = now - STUCK_AFTER
    return Q(state=S.QUEUED, next_attempt_at__lt=late) | Q(
        state__in=[S.CLAIMED, S.SENDING], lease_until__lt=late
    )


def sms_pill(message: SmsMessage) -> SafeString:
    """The state in a word; what waits too long says so."""
    now = utcnow()
    waits = (message.state == S.QUEUED and message.next_attempt_at < now - STUCK_AFTER) or (
        message.state in (S.CLAIMED, S.SENDING)
        and message.lease_until
        and message.lease_until < now - STUCK_AFTER
    )
    if waits:
        return pill(f"{message.get_state_display()}: {_g('waits too long')}", "red")
    return pill(message.get_state_display(), TONES[SmsState(message.state)])


@admin.register(SmsMessage)
class SmsMessageAdmin(PlatformAdmin):
    list_display = (
        "text",
        "state_now",
        "created",
        "recipient",
        "for_command",
        "gateway_name",
        "platform",
        "segments",
        "why",
    )
    list_filter = ("state", StuckFilter, "platform", "purpose")
    list_select_related = ("command__template__model", "command__device", "gateway", "platform")
    search_fields = ("body", "command__device__name", "gateway_ref")
    search_help_text = _("text, device or number at the gateway")
    date_hierarchy = "created_at"
    head_template = "console/sms_head.html"
    refusals = (*PlatformAdmin.refusals, SmsError)
    fields = (
        "platform", "recipient", "text", "segments", "purpose", "gateway_name", "gateway_ref", "price", "attempts",
        "created_at", "expires_at", "sent_at", "delivered_at", "why",
    )  # fmt: skip
    readonly_fields = fields
    deeds = (
        Deed(
            "take_back", _("Take back"), Perm.MANAGE_PLATFORM, icon="cancel", danger=True,
            question=_("The SMS is taken out of the outbox if it has not left yet."),
            when=lambda row: row.state == S.QUEUED and row.command_id is None,
        ),
    )  # fmt: skip

    def get_urls(self) -> list[URLPattern]:
        page = self.admin_site.admin_view(lambda request: queue_view(request, self.admin_site))
        return [path("queue/", page, name="sms_queue"), *super().get_urls()]

    def take_back(self, request: HttpRequest, row: SmsMessage, answers: dict[str, Any]) -> str:
        """Deed: a test or a notice that has not left."""
        if not cancel(row, now=utcnow(), by=str(request.user)):
            raise Refused(_g("It is too late: the SMS is being sent or was sent."))
        return _g("The SMS is taken back.")

    def get_readonly_fields(self, request: HttpRequest, obj: SmsMessage | None = None) -> list[str]:
        return list(self.fields)

    def head_context(self, request: HttpRequest, row: SmsMessage) -> dict[str, Any]:
        return {"state_pill": sms_pill(row), "events": row.events.all()}

    @display(description=_("text"))
    def text(self, row: SmsMessage) -> str:
        return redact(shown_text(row.command) if row.command is not None else row.body)

    @display(description=_("state"), ordering="state")
    def state_now(self, row: SmsMessage) -> SafeString:
        return sms_pill(row)

    @display(description=_("created"), ordering="created_at")
    def created(self, row: SmsMessage) -> SafeString | str:
        return ago(row.created_at, utcnow())

    @display(description=_("to"))
    def recipient(self, row: SmsMessage) -> str:
        return mask_msisdn(row.to)

    @display(description=_("command"))
    def for_command(self, row: SmsMessage) -> SafeString | str:
        if row.command is None:
            return row.get_purpose_display()
        return link(reverse("admin:devices_command_change", args=[row.command_id]), row.command.device)

    @display(description=_("gateway"))
    def gateway_name(self, row: SmsMessage) -> str:
        """A shared gateway belongs to the operator: its name is not the client's to read."""
        if row.gateway is None:
            return DASH
        return row.gateway.name if row.gateway.platform_id is not None else _g("shared SMS gateway")

    @display(description=_("reason"))
    def why(self, row: SmsMessage) -> str:
        return reason_text(row.reason) if row.reason else DASH


@admin.register(InboundSms)
class InboundSmsAdmin(InboxDeeds, PlatformAdmin):
    list_display = ("text", "state_now", "received", "from_whom", "answered", "platform", "why")
    list_filter = (WaitsFilter, "state", "platform")
    refusals = (*PlatformAdmin.refusals, SmsError)
    list_select_related = ("device", "platform", "command__template__model")
    search_fields = ("body", "sender", "device__name")
    search_help_text = _("text, number or device")
    date_hierarchy = "received_at"
    fields = ("state_now", "platform", "from_whom", "text", "answered", "received_at", "sent_at", "why")
    deeds = (
        *InboxDeeds.inbox_deeds,
        Deed(
            "set_aside", _("Set aside"), Perm.CONTROL, icon="inventory_2",
            question=_("It leaves the list of what nobody could place. It is not deleted."),
            when=lambda row: row.state in WAITS_FOR_A_PERSON,
        ),
    )  # fmt: skip

    def get_readonly_fields(self, request: HttpRequest, obj: InboundSms | None = None) -> list[str]:
        return list(self.fields)

    def set_aside(self, request: HttpRequest, row: InboundSms, answers: dict[str, Any]) -> str:
        """Deed: a person has looked at it."""
        ignore(row, by=request.user, now=utcnow())
        return _g("The SMS is set aside.")

    @display(description=_("text"))
    def text(self, row: InboundSms) -> str:
        return redact(row.body)

    @display(description=_("state"), ordering="state")
    def state_now(self, row: InboundSms) -> SafeString:
        return pill(row.get_state_display(), INBOUND_TONES[InboundState(row.state)])

    @display(description=_("received"), ordering="received_at")
    def received(self, row: InboundSms) -> SafeString | str:
        return moment(row.received_at)

    @display(description=_("from"), ordering="sender")
    def from_whom(self, row: InboundSms) -> SafeString | str:
        if row.device is not None:
            return link(reverse("admin:devices_device_change", args=[row.device_id]), row.device)
        return mask_msisdn(row.sender) if any(c.isdigit() for c in row.sender) else row.sender

    @display(description=pgettext_lazy("which command an SMS answers", "answers"))
    def answered(self, row: InboundSms) -> SafeString | str:
        if row.command is None:
            return DASH
        return link(reverse("admin:devices_command_change", args=[row.command_id]), row.command.template.name)

    @display(description=_("reason"))
    def why(self, row: InboundSms) -> str:
        return reason_text(row.reason) if row.reason else DASH
