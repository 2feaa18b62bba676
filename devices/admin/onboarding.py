"""Tables of clients: upload one, see what it would do, say yes; and take the same table out again."""

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.utils import quote
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _g
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display
from unfold.widgets import UnfoldAdminFileFieldWidget

from devices.downloads import table_answer
from devices.models import Device, Onboarding
from devices.onboarding import TITLES
from devices.services import cancel_onboarding, may_be_stored, start_onboarding, store_onboarding, table_of
from devices.states import OnboardingState
from devices.tables import MAX_BYTES, TableError
from platforms.admin_base import PlatformAdmin, grants_of
from platforms.console.deeds import Deed
from platforms.console.display import ago, pill
from platforms.models import Platform
from platforms.roles import Perm
from remosa.lib.clock import utcnow

TONES = {
    OnboardingState.UPLOADED: "blue", OnboardingState.CHECKED: "amber", OnboardingState.STORING: "blue",
    OnboardingState.STORED: "green", OnboardingState.REFUSED: "red", OnboardingState.FAILED: "red",
    OnboardingState.CANCELLED: "grey",
}  # fmt: skip
MOST_OFFERED = 30  # platforms whose tables the list offers


class UploadForm(forms.ModelForm):
    """Whose table, and which."""

    file = forms.FileField(
        label=_("Table"),
        widget=UnfoldAdminFileFieldWidget(attrs={"accept": ".xlsx,.csv"}),
        help_text=_(
            "XLSX or CSV, one row per player: site, player, MAC, socket, model, phone, line. "
            "Nothing is stored before you have seen what it would do."
        ),
    )

    class Meta:
        model = Onboarding
        fields = ("platform",)

    def clean_file(self) -> Any:
        file = self.cleaned_data["file"]
        if file.size > MAX_BYTES:
            raise forms.ValidationError(
                _g("The file is larger than %(limit)d MB.") % {"limit": MAX_BYTES // 1_000_000}
            )
        return file


@admin.register(Onboarding)
class OnboardingAdmin(PlatformAdmin):
    form = UploadForm
    view_perm = add_perm = Perm.MANAGE_DEVICES
    list_display = ("filename", "state_now", "platform", "what", "created_by", "created")
    list_filter = ("platform", "state")
    list_select_related = ("platform", "created_by")
    search_fields = ("filename",)
    fields = ("platform", "file")
    list_before_template = "console/onboarding_list_head.html"
    change_form_template = "console/onboarding.html"
    refusals = (*PlatformAdmin.refusals, TableError)
    deeds = (
        Deed(
            "store", _("Store it"), Perm.MANAGE_DEVICES, icon="done_all",
            question=_("Everything that the check has found is stored, all of it or nothing."),
            when=may_be_stored,
        ),
        Deed(
            "cancel", _("Drop the table"), Perm.MANAGE_DEVICES, icon="delete", danger=True,
            question=_("The table is forgotten; nothing was stored of it."),
            when=lambda row: row.state in (OnboardingState.UPLOADED, OnboardingState.CHECKED),
        ),
    )  # fmt: skip

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.export_view)
        return [path("export/", view, name="devices_onboarding_export"), *super().get_urls()]

    def get_fields(self, request: HttpRequest, obj: Onboarding | None = None) -> Any:
        return self.fields if obj is None else ("platform",)

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        own = Platform.objects.filter(pk__in=grants_of(request).platforms(Perm.MANAGE_DEVICES)).order_by(
            "name"
        )
        return super().changelist_view(request, {**(extra_context or {}), "exported": own[:MOST_OFFERED]})

    def save_model(self, request: HttpRequest, obj: Onboarding, form: forms.ModelForm, change: bool) -> None:
        file = form.cleaned_data["file"]
        start_onboarding(
            platform=obj.platform,
            filename=file.name,
            content=file.read(),
            by=request.user,
            now=utcnow(),
            pk=obj.pk,
        )

    def response_add(
        self, request: HttpRequest, obj: Onboarding, post_url_continue: Any = None
    ) -> HttpResponse:
        return HttpResponseRedirect(reverse("admin:devices_onboarding_change", args=[quote(obj.pk)]))

    def head_context(self, request: HttpRequest, row: Onboarding) -> dict[str, Any]:
        report = row.report
        return {
            "is_moving": row.state in (OnboardingState.UPLOADED, OnboardingState.STORING),
            "is_writing": row.state == OnboardingState.STORING and 0 < row.total <= row.done,
            "is_checked": row.state == OnboardingState.CHECKED,
            "is_stored": row.state == OnboardingState.STORED,
            "state_pill": pill(row.get_state_display(), TONES[OnboardingState(row.state)]),
            "counts": report.get("counts") or {},
            "errors": _told(report.get("errors", [])),
            "notes": _told(report.get("notes", [])),
            "errors_total": report.get("errors_total", 0),
            "notes_total": report.get("notes_total", 0),
            "does_nothing": report.get("does_nothing", False),
        }

    # --- deeds and lists -------------------------------------------------------------------------------

    def store(self, request: HttpRequest, row: Onboarding, answers: dict[str, Any]) -> HttpResponse:
        """Deed: what was checked is stored by the queue; the page itself says how far it is."""
        store_onboarding(row, by=request.user, now=utcnow())
        return HttpResponseRedirect(reverse("admin:devices_onboarding_change", args=[quote(row.pk)]))

    def cancel(self, request: HttpRequest, row: Onboarding, answers: dict[str, Any]) -> str:
        """Deed: forget the table."""
        cancel_onboarding(row, by=request.user, now=utcnow())
        return _g("The table is dropped.")

    @display(description=_("state"), ordering="state")
    def state_now(self, row: Onboarding) -> SafeString:
        return pill(row.get_state_display(), TONES[OnboardingState(row.state)])

    @display(description=_("what it does"))
    def what(self, row: Onboarding) -> str:
        counts = row.report.get("counts")
        if not counts:
            return "—"
        if counts["errors"]:
            return _g("errors: %(n)d") % {"n": counts["errors"]}
        return _g("players: %(players)d, sockets: %(sockets)d, links: %(links)d") % counts

    @display(description=_("uploaded"), ordering="created_at")
    def created(self, row: Onboarding) -> SafeString | str:
        return ago(row.created_at, utcnow())

    # --- the other way ---------------------------------------------------------------------------------

    def export_view(self, request: HttpRequest) -> HttpResponse:
        """The table of one platform as a file; with ``empty`` only the names of the columns."""
        own = grants_of(request).platforms(Perm.MANAGE_DEVICES)
        if not own:
            raise PermissionDenied
        number = request.GET.get("platform", "")
        platform = None
        if number.isascii() and number.isdigit() and len(number) < 19 and int(number) in own:
            platform = Platform.objects.filter(pk=int(number)).first()
        if platform is None and "empty" not in request.GET:
            raise Http404
        devices = Device.objects.none()
        if platform is not None and "empty" not in request.GET:
            devices = Device.objects.visible_to(request.user, Perm.MANAGE_DEVICES).of(platform)
        return table_answer(
            table_of(devices), form=request.GET.get("as", "xlsx"), name=str(platform or "REMOSA")
        )


def _told(rows: list[Any]) -> list[dict[str, Any]]:
    return [{"row": row, "column": TITLES.get(column, ""), "text": text} for row, column, text in rows]
