"""The site of the console: unfold's, with an autocomplete that knows its source, a search that stays
within the walls, and the person's own settings."""

from typing import Any

from django.contrib.admin.views.autocomplete import AutocompleteJsonView
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.translation import gettext_lazy as _
from unfold.dataclasses import SearchResult
from unfold.sites import UnfoldAdminSite

from remosa.console import clients, invitation, login, me, password, prometheus, views

SEARCHED = ("devices.device", "devices.site", "automation.job", "exporters.exporter", "platforms.platform")
MOST_FOUND = 10  # of each kind


class ScopedAutocompleteView(AutocompleteJsonView):
    """Answers only for a field that a page which the person may see really completes."""

    def process_request(self, request: HttpRequest) -> tuple[str, Any, Any, str]:
        term, model_admin, source_field, to_field_name = super().process_request(request)
        if not self._is_asked_by_a_page(request, source_field):
            raise PermissionDenied
        return term, model_admin, source_field, to_field_name

    def _is_asked_by_a_page(self, request: HttpRequest, source_field: Any) -> bool:
        for page in self.admin_site._registry.values():
            askers = [page, *page.get_inline_instances(request)]
            if page.has_view_or_change_permission(request) and any(
                asker.model is source_field.model
                and source_field.name in asker.get_autocomplete_fields(request)
                for asker in askers
            ):
                return True
        return False

    def get_queryset(self) -> Any:
        """What the page itself would offer in this field."""
        rows = super().get_queryset()
        narrow = getattr(self.model_admin, "autocomplete_rows", None)
        return narrow(self.request, rows, self.source_field) if narrow else rows


class ConsoleSite(UnfoldAdminSite):
    """The one site at ``/admin/``."""

    index_title = _("Home")
    site_header = "REMOSA"

    def extra_urls(self) -> list[URLPattern]:
        """Pages that belong to no model."""
        return [
            path("language/", views.set_language, name="set_language"),
            path("live/", self.admin_view(views.live), name="live"),
            path("clients/", self.admin_view(clients.clients_page), name="clients"),
            path(
                "prometheus-devices/",
                self.admin_view(prometheus.prometheus_devices),
                name="prometheus_devices",
            ),
            path("login/code/", login.code_step, name="login_code"),
            path("password/", password.Ask.as_view(), name="password_ask"),
            path("password/sent/", password.sent, name="password_sent"),
            path("password/<uidb64>/<token>/", password.Choose.as_view(), name="password_choose"),
            path("invitation/<str:key>/", invitation.invitation, name="invitation"),
            path("confirm/", self.admin_view(me.confirm), name="confirm"),
            path("me/", self.admin_view(me.my_settings), name="my_settings"),
            path("me/app/", self.admin_view(me.set_up_factor), name="my_factor"),
            path("me/app/remove/", self.admin_view(me.remove_factor), name="my_factor_remove"),
            path("me/codes/", self.admin_view(me.renew_codes), name="my_codes"),
            path("me/tokens/", self.admin_view(me.issue_token), name="my_token"),
            path("me/tokens/<int:pk>/renew/", self.admin_view(me.rotate_token), name="my_token_rotate"),
            path("me/tokens/<int:pk>/revoke/", self.admin_view(me.revoke_token), name="my_token_revoke"),
            path("me/sign-out/", self.admin_view(me.sign_out_everywhere), name="my_sign_out"),
        ]

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return login.door_of(self, request, extra_context)

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[dict[str, Any]]:
        """Asked by several parts of one page: found once per request."""
        if app_label is not None:
            return super().get_app_list(request, app_label)
        if not hasattr(request, "_console_apps"):
            request._console_apps = super().get_app_list(request)  # type: ignore[attr-defined]
        return request._console_apps  # type: ignore[attr-defined]

    def autocomplete_view(self, request: HttpRequest) -> HttpResponse:
        return ScopedAutocompleteView.as_view(admin_site=self)(request)

    def search(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Pages and objects whose name holds the words; nothing is cached, so a right that ended is gone."""
        words = request.GET.get("s", "").strip().lower()[:100]
        if not words or "\x00" in words:
            return HttpResponse()
        results = self._search_apps(self.get_app_list(request), words) + self._rows_found(request, words)
        pages = Paginator(results, 100)
        context = {"results": pages.page(1), "page_obj": pages, "page_counter": 0, "execution_time": 0}
        extended = "extended" in request.GET
        template = "unfold/helpers/command_results.html" if extended else "unfold/helpers/search_results.html"
        return TemplateResponse(request, template, context, headers={"HX-Trigger": "search"})

    def _rows_found(self, request: HttpRequest, words: str) -> list[SearchResult]:
        found = []
        for model, page in self._registry.items():
            if model._meta.label_lower not in SEARCHED or not page.has_view_permission(request):
                continue
            rows, _may_repeat = page.get_search_results(request, page.get_queryset(request), words)
            found += [
                SearchResult(
                    title=str(row),
                    description=str(model._meta.verbose_name),
                    link=page.page_of(row),
                    icon="data_object",
                )
                for row in rows[:MOST_FOUND]
            ]
        return found
