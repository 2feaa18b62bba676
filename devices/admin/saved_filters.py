"""Filters of the list of devices that a person keeps under a name: their own, and only an address."""

from typing import Any

from django import forms
from django.contrib import messages
from django.db.models import QuerySet
from django.db.models.fields.json import KeyTransform
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _g
from django.utils.translation import gettext_lazy as _
from django.views.decorators.csrf import csrf_protect
from unfold.widgets import UnfoldAdminTextInputWidget

from devices.models import Device, SavedFilter
from devices.services.saved_filters import TooManyFilters, keep_filter, tidy
from platforms.console.fields import LABEL
from remosa.lib.clock import utcnow


class KeepForm(forms.Form):
    """A name for what is shown now."""

    name = forms.CharField(
        label=_("Keep this filter as"), max_length=60,
        widget=UnfoldAdminTextInputWidget(attrs={"placeholder": _("Name of the filter")}),
    )  # fmt: skip
    query = forms.CharField(max_length=1000, widget=forms.HiddenInput)

    def clean_query(self) -> str:
        return tidy(self.cleaned_data["query"])


class SavedFilterPages:
    """Gives the list of devices its kept filters, and a search by label (``hall=A``)."""

    list_before_template = "console/device_list_head.html"

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(csrf_protect(self.filters_view))
        return [path("filters/", view, name="devices_device_filters"), *super().get_urls()]

    def filters_view(self, request: HttpRequest) -> HttpResponse:
        """POST keeps (``name``, ``query``) or forgets (``forget``) one of the caller's own filters."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        here = reverse("admin:devices_device_changelist")
        own = SavedFilter.objects.filter(user=request.user)
        number = request.POST.get("forget", "")
        if number:
            own.filter(pk=int(number) if number.isdecimal() and len(number) < 19 else 0).delete()
            return HttpResponseRedirect(here)
        form = KeepForm(request.POST)
        if not form.is_valid() or not form.cleaned_data["query"]:
            messages.error(request, _g("Filter the list first, and give the filter a name."))
            return HttpResponseRedirect(here)
        kept = form.cleaned_data
        try:
            keep_filter(user=request.user, name=kept["name"], query=kept["query"], now=utcnow())
        except TooManyFilters as exc:
            messages.error(request, str(exc))
        return HttpResponseRedirect(f"{here}?{kept['query']}")

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        now = tidy(request.GET.urlencode())
        filters = list(SavedFilter.objects.filter(user=request.user))
        known = any(row.query == now for row in filters)
        shown = {
            "saved_filters": filters,
            "filter_now": now,
            "keep_form": KeepForm(initial={"query": now}) if now and not known else None,
        }
        return super().changelist_view(request, {**(extra_context or {}), **shown})

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Device], search_term: str
    ) -> tuple[QuerySet[Device], bool]:
        """``hall=A`` finds the devices with this label; anything else is searched as usual."""
        label = LABEL.fullmatch(search_term) if "=" in search_term else None
        if label is None:
            return super().get_search_results(request, queryset, search_term)
        found = queryset.annotate(label_text=KeyTransform(label[1], "labels")).filter(label_text=label[2])
        return super().get_search_results(request, found, "")
