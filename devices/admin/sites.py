"""Sites: the places where devices stand."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from devices.admin.photos import PhotoPages
from devices.models import Device, Site
from devices.states import DeviceState
from platforms.admin_base import PlatformAdmin, grants_of
from platforms.console.display import link, pill
from platforms.console.fields import WeekField
from platforms.roles import Perm
from remosa.lib.redact import mask_msisdn


class SiteForm(forms.ModelForm):
    """A site; its hours are lines, not JSON."""

    class Meta:
        model = Site
        fields = ("platform",)
        field_classes = {"broadcast_hours": WeekField}


@admin.register(Site)
class SiteAdmin(PhotoPages, PlatformAdmin):
    form = SiteForm
    list_display = ("name", "address", "platform", "players", "time_zone", "contact_name")
    list_filter = ("platform",)
    list_select_related = ("platform",)
    search_fields = ("name", "address", "contact_name")
    change_perm = delete_perm = Perm.MANAGE_DEVICES
    head_template = "console/site_head.html"
    deeds = PhotoPages.photo_deeds
    fieldsets = (
        (None, {"fields": ("platform", "name", "address", "time_zone", "broadcast_hours", "outer_ip")}),
        (_("Person on site"), {"fields": ("contact_name", "contact_phone", "notes")}),
    )

    def head_context(self, request: HttpRequest, row: Site) -> dict[str, Any]:
        return self.photo_context(row)

    def get_fieldsets(self, request: HttpRequest, obj: Site | None = None) -> Any:
        """The phone of the person on site is for those who act."""
        if obj is None or grants_of(request).holds(Perm.CONTROL, obj.platform_id):
            return self.fieldsets
        return (
            self.fieldsets[0],
            (_("Person on site"), {"fields": ("contact_name", "masked_phone", "notes")}),
        )

    def get_readonly_fields(self, request: HttpRequest, obj: Site | None = None) -> list[str]:
        return [*super().get_readonly_fields(request, obj), "masked_phone"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Site]:
        player = Q(
            devices__is_active=True,
            devices__kind=Device.Kind.PLAYER,
            devices__in=Device.objects.visible_to(request.user),
        )
        return super().get_queryset(request).annotate(
            players_all=Count("devices", filter=player),
            players_offline=Count("devices", filter=player & Q(devices__state=DeviceState.OFFLINE)),
        )  # fmt: skip

    @display(description=_("contact phone"))
    def masked_phone(self, row: Site) -> str:
        return mask_msisdn(row.contact_phone) or "—"

    @display(description=_("players"))
    def players(self, row: Site) -> SafeString | str:
        url = f"{reverse('admin:devices_device_changelist')}?kind__exact=player&site__id__exact={row.pk}"
        number = link(url, row.players_all)  # type: ignore[attr-defined]
        if not row.players_offline:  # type: ignore[attr-defined]
            return number
        return format_html("{} {}", number, pill(_("offline: %(n)d") % {"n": row.players_offline}, "amber"))  # type: ignore[attr-defined]
