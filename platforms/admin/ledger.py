"""The ledger: every SMS that was paid for, at the client's price; what the gateways take is the operator's to see."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _g
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from platforms.admin_base import PlatformAdmin
from platforms.console.display import DASH, moment, pill
from platforms.models import LedgerEntry
from platforms.roles import Perm

COSTS = ("cost_shown",)


@admin.register(LedgerEntry)
class LedgerEntryAdmin(PlatformAdmin):
    view_perm = Perm.MANAGE_PLATFORM
    add_perm = None
    list_display = (
        "when",
        "platform",
        "direction",
        "gateway_name",
        "units",
        "price_shown",
        "cost_shown",
        "sureness",
        "limit_shown",
    )
    list_display_links = ("when",)
    list_filter = ("platform", "direction", "is_beyond_limit")
    list_select_related = ("platform",)
    search_fields = ("gateway_name",)
    search_help_text = _("gateway")
    date_hierarchy = "day"
    fields = (
        "when", "platform", "period", "direction", "purpose", "gateway_name", "units", "unit_price", "price_shown",
        "cost_shown", "sureness", "limit_shown", "subject_id",
    )  # fmt: skip

    def get_list_display(self, request: HttpRequest) -> list[str]:
        return self._for(request, super().get_list_display(request))

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return self._for(request, self.fields)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return self.get_fields(request, obj)

    def _for(self, request: HttpRequest, names: Any) -> list[str]:
        return [name for name in names if name not in COSTS or request.user.is_superuser]

    @display(description=_("time"), ordering="at")
    def when(self, row: LedgerEntry) -> SafeString | str:
        return moment(row.at)

    @display(description=_("price"))
    def price_shown(self, row: LedgerEntry) -> str:
        return f"{row.price.normalize():f} {row.price_currency}"

    @display(description=_("cost"))
    def cost_shown(self, row: LedgerEntry) -> str:
        return f"{row.cost.normalize():f} {row.cost_currency}"

    @display(description=_("certain"))
    def sureness(self, row: LedgerEntry) -> SafeString | str:
        return _g("yes") if row.is_certain else pill(_g("outcome unknown"), "amber")

    @display(description=_("limit"))
    def limit_shown(self, row: LedgerEntry) -> SafeString | str:
        return pill(_g("beyond the limit"), "amber") if row.is_beyond_limit else DASH
