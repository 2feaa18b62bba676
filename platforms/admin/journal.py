"""The audit: read, searched, filtered; never changed."""

import json
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _g
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from platforms import audit_export, audit_seal
from platforms.admin_base import PlatformAdmin, grants_of
from platforms.console.display import DASH, clock_text, moment, pill
from platforms.console.verbs import verb_text
from platforms.models import AuditEvent
from platforms.roles import Perm

FACTS = (
    "moment_in_full",
    "platform",
    "actor_kind",
    "actor_label",
    "deed",
    "code",
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
        (_("Origin"), {"fields": ("request_id", "cause_id", "address", "seal_state")}),
    )  # fmt: skip
    readonly_fields = ("when", "moment_in_full", "deed", "code", "before_text", "after_text", "seal_state")
    list_before_template = "console/audit_export.html"

    def get_urls(self) -> list[URLPattern]:
        export = path(
            "export/", self.admin_site.admin_view(self.export_view), name="platforms_auditevent_export"
        )
        return [export, *super().get_urls()]

    def export_view(self, request: HttpRequest) -> HttpResponseBase:
        """What the list shows, as a download: searched and filtered as the list is."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        asked = request.GET.copy()
        form = (asked.pop("as", None) or ["csv"])[-1]
        request.GET = asked  # type: ignore[assignment]
        try:
            rows = self.get_changelist_instance(request).get_queryset(request)
            grants = grants_of(request)
            return audit_export.answer(
                rows, form, by=request.user, reads_all=lambda key: grants.holds(Perm.MANAGE_MEMBERS, key)
            )
        except (audit_export.TooMany, IncorrectLookupParameters, ValueError) as exc:
            sentence = str(exc) if isinstance(exc, audit_export.TooMany) else _g("There is no such export.")
            messages.error(request, sentence)
            return HttpResponseRedirect(reverse("admin:platforms_auditevent_changelist"))

    def get_fieldsets(self, request: HttpRequest, obj: AuditEvent | None = None) -> Any:
        """From where a person came is for those who manage people."""
        shown = super().get_fieldsets(request, obj)
        if grants_of(request).holds(Perm.MANAGE_MEMBERS, obj.platform_id if obj else None):
            return shown
        return (*shown[:2], (_("Origin"), {"fields": ("request_id", "cause_id", "seal_state")}))

    @display(description=_("time"), ordering="at")
    def when(self, row: AuditEvent) -> SafeString | str:
        return moment(row.at)

    @display(description=_("time"))
    def moment_in_full(self, row: AuditEvent) -> str:
        """With its date, also today: a line of the audit is quoted elsewhere."""
        return clock_text(row.at)

    @display(description=_("what (as in the API)"))
    def code(self, row: AuditEvent) -> str:
        return row.verb

    @display(description=_("what"), ordering="verb")
    def deed(self, row: AuditEvent) -> str:
        return verb_text(row.verb)

    @display(description=_("seal"))
    def seal_state(self, row: AuditEvent) -> SafeString | str:
        """Whether this line is as it was written; the whole chain is read by ``verify_audit``."""
        if not audit_seal.is_signed(row):
            return pill(_g("not as it was written"), "red")
        if row.seal_number is None:
            return pill(_g("signed, waits for its seal"), "grey")
        if not audit_seal.is_sealed(row, number=row.seal_number, previous=row.seal_previous):
            return pill(_g("not as it was sealed"), "red")
        return pill(_g("sealed, number %(n)d") % {"n": row.seal_number}, "green")

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
