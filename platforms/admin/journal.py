"""The audit: read, searched, filtered; never changed."""

import json
from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from platforms.admin_base import PlatformAdmin, grants_of
from platforms.console.display import DASH, moment
from platforms.console.verbs import verb_text
from platforms.models import AuditEvent
from platforms.roles import Perm

FACTS = (
    "when",
    "platform",
    "actor_kind",
    "actor_label",
    "deed",
    "verb",
    "target_type",
    "target_label",
    "reason",
)


@admin.register(AuditEvent)
class AuditEventAdmin(PlatformAdmin):
    list_display = ("when", "platform", "actor_label", "deed", "target_label", "reason")
    list_display_links = ("when",)
    list_filter = ("platform", "actor_kind", "target_type")
    list_select_related = ("platform",)
    search_fields = ("actor_label", "verb", "target_label", "reason", "request_id")
    search_help_text = _("who, what, object or reason")
    date_hierarchy = "at"
    fieldsets = (
        (None, {"fields": FACTS}),
        (_("What changed"), {"fields": ("before_text", "after_text")}),
        (_("Origin"), {"fields": ("request_id", "cause_id", "address")}),
    )  # fmt: skip
    readonly_fields = ("when", "deed", "before_text", "after_text")

    def get_fieldsets(self, request: HttpRequest, obj: AuditEvent | None = None) -> Any:
        """From where a person came is for those who manage people."""
        shown = super().get_fieldsets(request, obj)
        if grants_of(request).holds(Perm.MANAGE_MEMBERS, obj.platform_id if obj else None):
            return shown
        return (*shown[:2], (_("Origin"), {"fields": ("request_id", "cause_id")}))

    @display(description=_("time"), ordering="at")
    def when(self, row: AuditEvent) -> SafeString | str:
        return moment(row.at)

    @display(description=_("what"), ordering="verb")
    def deed(self, row: AuditEvent) -> str:
        return verb_text(row.verb)

    @display(description=_("before"))
    def before_text(self, row: AuditEvent) -> SafeString | str:
        return values_text(row.before)

    @display(description=_("after"))
    def after_text(self, row: AuditEvent) -> SafeString | str:
        return values_text(row.after)


def values_text(values: Any) -> SafeString | str:
    """JSON as it may be read; already masked when it was written."""
    if values is None:
        return DASH
    return format_html(
        '<pre class="rm-json">{}</pre>', json.dumps(values, ensure_ascii=False, indent=2, sort_keys=True)
    )
