"""The catalogue: device models and their command templates. Everybody reads; the superadmin keeps the models."""

from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _g
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from devices.catalogue import CATEGORIES
from devices.models import CommandTemplate, DeviceModel
from platforms.admin_base import CatalogueAdmin
from platforms.console.display import pill


@admin.register(DeviceModel)
class DeviceModelAdmin(CatalogueAdmin):
    list_display = ("code", "vendor", "lines", "commands", "bench")
    search_fields = ("code", "vendor")
    fields = ("vendor", "code", "lines", "bench_checked_at", "rules_edited", "reply_rules")
    deletable = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[DeviceModel]:
        return super().get_queryset(request).annotate(number_of_commands=Count("templates"))

    @display(description=_("commands"))
    def commands(self, row: DeviceModel) -> int:
        return row.number_of_commands  # type: ignore[attr-defined]

    @display(description=_("bench check"), ordering="bench_checked_at")
    def bench(self, row: DeviceModel) -> SafeString:
        if row.bench_checked_at is None:
            return pill(_g("not checked: people only"), "amber")
        return pill(_g("checked"), "green")


@admin.register(CommandTemplate)
class CommandTemplateAdmin(CatalogueAdmin):
    """Read only: the templates are data files of the product, brought in by each update."""

    addable = changeable = deletable = False
    list_display = ("title", "model", "category_name", "body", "effect", "power", "min_role", "risk")
    list_filter = ("model", "category", "effect", "min_role", "dangerous")
    list_select_related = ("model",)
    search_fields = ("key", "name_ru", "name_en", "body")
    search_help_text = _("name or text")

    @display(description=_("command"), ordering="key")
    def title(self, row: CommandTemplate) -> str:
        return row.name

    @display(description=_("category"), ordering="category")
    def category_name(self, row: CommandTemplate) -> str:
        return str(CATEGORIES.get(row.category, row.category))

    @display(description=_("risk"))
    def risk(self, row: CommandTemplate) -> SafeString | str:
        return pill(_g("dangerous"), "red") if row.dangerous else ""
