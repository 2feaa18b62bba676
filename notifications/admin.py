"""Notices: what people of a platform must know, the unread on top; one click marks them read."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _g
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import DropdownFilter
from unfold.decorators import action, display

from notifications.models import Delivery, Notice
from notifications.rendering import details, sentence
from notifications.services import mark_read
from platforms.admin_base import PlatformAdmin
from platforms.console.deeds import Deed
from platforms.console.display import ago, pill
from platforms.roles import Perm
from remosa.lib.clock import utcnow

TONES = {Notice.Severity.INFO: "green", Notice.Severity.WARNING: "amber", Notice.Severity.CRITICAL: "red"}


class ReadFilter(DropdownFilter):
    """Read or not, by the person who looks."""

    title = _("read")
    parameter_name = "read"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("no", _("unread")), ("yes", _("read"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Notice]) -> QuerySet[Notice]:
        if self.value() == "no":
            return queryset.filter(is_unread=True)
        return queryset.filter(is_unread=False) if self.value() == "yes" else queryset


@admin.register(Notice)
class NoticeAdmin(PlatformAdmin):
    actions_list = ("my_sms",)
    list_display = ("text", "read_state", "severity_now", "created", "platform")
    list_filter = (ReadFilter, "severity", "platform")
    list_select_related = ("platform", "case")
    head_template = "console/notice_head.html"
    ordering = ("-created_at",)
    fields = ("platform", "severity_now", "created_at")
    actions = ("mark_selected",)
    deeds = (
        Deed("mark_read", _("Mark as read"), Perm.VIEW, icon="mark_email_read"),
        Deed("mark_all", _("Mark all as read"), Perm.VIEW, icon="done_all"),
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> QuerySet[Notice]:
        own = Delivery.objects.filter(notice=OuterRef("pk"), user=request.user.pk, read_at=None)
        return super().get_queryset(request).annotate(is_unread=Exists(own))

    def get_readonly_fields(self, request: HttpRequest, obj: Notice | None = None) -> list[str]:
        return list(self.fields)

    def head_context(self, request: HttpRequest, row: Notice) -> dict[str, Any]:
        unread = row.deliveries.filter(user=request.user.pk, read_at=None).exists()
        return {"text": sentence(row.kind, row.data), "advice": details(row.kind, row.data), "unread": unread}

    @action(description=_("SMS for me"), url_path="sms-for-me", icon="sms")
    def my_sms(self, request: HttpRequest) -> HttpResponse:
        """A person's own phone, and whether urgent notices go there, stand in their settings."""
        return HttpResponseRedirect(reverse("admin:my_settings"))

    @action(description=_("Mark as read"), permissions=["view"])
    def mark_selected(self, request: HttpRequest, queryset: QuerySet[Notice]) -> None:
        """The selected, for this person."""
        now = utcnow()
        for notice in queryset:
            mark_read(notice, by=request.user, now=now)
        messages.success(request, _g("Marked as read."))

    def mark_read(self, request: HttpRequest, row: Notice, answers: dict[str, Any]) -> str:
        """Deed: this person has seen it."""
        mark_read(row, by=request.user, now=utcnow())
        return _g("Marked as read.")

    def mark_all(self, request: HttpRequest, row: Notice, answers: dict[str, Any]) -> HttpResponse:
        """Deed: this person has seen everything that is listed."""
        own = Delivery.objects.filter(
            user=request.user.pk, read_at=None, notice__in=self.get_queryset(request).values("pk")
        )
        own.update(read_at=utcnow())
        messages.success(request, _g("Marked as read."))
        return HttpResponseRedirect(reverse("admin:notifications_notice_changelist"))

    @display(description=_("notice"))
    def text(self, row: Notice) -> str:
        return sentence(row.kind, row.data)

    @display(description=_("read"))
    def read_state(self, row: Notice) -> SafeString | str:
        return pill(_g("unread"), "blue") if row.is_unread else ""  # type: ignore[attr-defined]

    @display(description=_("severity"), ordering="severity")
    def severity_now(self, row: Notice) -> SafeString:
        return pill(row.get_severity_display(), TONES[Notice.Severity(row.severity)])

    @display(description=_("time"), ordering="created_at")
    def created(self, row: Notice) -> SafeString | str:
        return ago(row.created_at, utcnow())
