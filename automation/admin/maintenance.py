"""Maintenance windows, where automation is left out; and holidays, which have hours of their own."""

from typing import Any

from django import forms
from django.contrib import admin
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _g
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from automation.models import Holiday, Maintenance
from platforms.admin_base import PlatformAdmin
from platforms.console.display import moment, pill
from platforms.console.fields import SpansField
from platforms.roles import Perm
from remosa.lib.clock import utcnow


@admin.register(Maintenance)
class MaintenanceAdmin(PlatformAdmin):
    list_display = ("reason", "going_on", "place", "starts_at", "ends_at", "repeats", "platform")
    list_filter = ("platform", "repeats", "site")
    list_select_related = ("platform", "site", "device__site")
    search_fields = ("reason",)
    autocomplete_fields = ("device",)
    add_perm = change_perm = delete_perm = Perm.MANAGE_DEVICES
    fields = ("platform", "reason", "starts_at", "ends_at", "repeats", "site", "device")

    @display(description=_("now"))
    def going_on(self, row: Maintenance) -> SafeString | str:
        until = row.open_until(utcnow())
        return pill(_g("works until %(end)s") % {"end": moment(until)}, "amber") if until else ""

    @display(description=_("where"))
    def place(self, row: Maintenance) -> str:
        return str(row.device or row.site or _g("the whole platform"))


class HolidayForm(forms.ModelForm):
    """A holiday; its hours are a line, not JSON."""

    class Meta:
        model = Holiday
        fields = ("platform",)
        field_classes = {"hours": SpansField}


@admin.register(Holiday)
class HolidayAdmin(PlatformAdmin):
    form = HolidayForm
    list_display = ("day", "name", "place", "on_air", "platform")
    list_filter = ("platform", "site")
    list_select_related = ("platform", "site")
    search_fields = ("name",)
    add_perm = change_perm = delete_perm = Perm.MANAGE_DEVICES
    fields = ("platform", "day", "name", "site", "hours")

    @display(description=_("where"))
    def place(self, row: Holiday) -> str:
        return str(row.site or _g("the whole platform"))

    @display(description=_("on air"))
    def on_air(self, row: Holiday) -> Any:
        return ", ".join(row.hours) or pill(_g("not on air"), "grey")
