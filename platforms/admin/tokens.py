"""Tokens of machines: issue one (it is shown once), revoke one."""

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _g
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from platforms import tokens
from platforms.admin_base import PlatformAdmin
from platforms.console.deeds import Deed
from platforms.console.display import DASH, ago, moment, pill
from platforms.models import ApiToken
from platforms.models.tokens import MACHINE_SCOPES, Scope
from platforms.roles import Perm
from remosa.lib.clock import utcnow


def is_live(row: ApiToken) -> bool:
    """Whether the token is good for something now."""
    return row.revoked_at is None and (row.expires_at is None or row.expires_at > utcnow())


class IssueForm(forms.ModelForm):
    """What the token is for. The operator's scope belongs to no platform."""

    scopes = forms.MultipleChoiceField(
        label=_("It may"), choices=Scope.choices, widget=UnfoldAdminCheckboxSelectMultipleWidget
    )
    may_serve_everything = False

    class Meta:
        model = ApiToken
        fields = ("name", "platform", "scopes", "expires_at")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "scopes" in self.fields:
            # "read" and "command" are for a person's own tokens: no platform's is good for them
            offered = (*MACHINE_SCOPES, Scope.OPERATOR) if self.may_serve_everything else MACHINE_SCOPES
            self.fields["scopes"].choices = [(scope.value, scope.label) for scope in offered]
        if "platform" in self.fields and not self.may_serve_everything:
            self.fields["platform"].required = True

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        scopes = cleaned.get("scopes") or []
        for_operator = Scope.OPERATOR in scopes
        if for_operator and (len(scopes) > 1 or cleaned.get("platform") is not None):
            self.add_error(
                "scopes", _("The operator's metrics need a token of their own, without a platform.")
            )
        if not for_operator and cleaned.get("platform") is None and "platform" not in self.errors:
            self.add_error("platform", _("Choose the platform that the token is for."))
        expires_at = cleaned.get("expires_at")
        if expires_at is not None and expires_at <= utcnow():
            self.add_error(
                "expires_at", _("This moment has passed. Leave it empty for a token without an end.")
            )
        return cleaned


@admin.register(ApiToken)
class ApiTokenAdmin(PlatformAdmin):
    form = IssueForm
    view_perm = add_perm = Perm.MANAGE_PLATFORM
    asks_again = True
    list_display = ("name", "platform", "may", "state", "last_used", "expires", "issuer")
    list_filter = ("platform",)
    list_select_related = ("platform", "user", "created_by")
    search_fields = ("name", "lookup")
    fields = ("name", "platform", "scopes", "expires_at")
    deeds = (
        Deed(
            "renew", _("Renew"), Perm.MANAGE_PLATFORM, icon="autorenew", asks_again=True,
            question=_("A new text for the same use. The old one ends in a day, so that nothing stands still."),
            when=is_live,
        ),
        Deed(
            "revoke", _("Revoke"), Perm.MANAGE_PLATFORM, icon="block", danger=True,
            question=_("Programs that use this token are refused from now on. This cannot be undone."),
            when=lambda row: row.revoked_at is None,
        ),
    )  # fmt: skip

    def get_fields(self, request: HttpRequest, obj: ApiToken | None = None) -> Any:
        if obj is None:
            return self.fields
        return (
            "name", "platform", "may", "state", "created_at", "issuer", "expires", "last_used",
            "revoked_at",
        )  # fmt: skip

    def get_readonly_fields(self, request: HttpRequest, obj: ApiToken | None = None) -> list[str]:
        return list(self.get_fields(request, obj)) if obj is not None else []

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change=change, **kwargs)
        form.may_serve_everything = bool(request.user.is_superuser)
        return form

    def save_model(self, request: HttpRequest, obj: ApiToken, form: forms.ModelForm, change: bool) -> None:
        """The service makes the token; its text lives in this request only."""
        row, text = tokens.issue(
            name=obj.name, scopes=form.cleaned_data["scopes"], platform=obj.platform,
            expires_at=obj.expires_at, by=request.user,
        )  # fmt: skip
        obj.pk, obj._state.adding = row.pk, False
        request._console_secret = text  # type: ignore[attr-defined]

    def response_add(
        self, request: HttpRequest, obj: ApiToken, post_url_continue: Any = None
    ) -> HttpResponse:
        """The one page that ever shows the token."""
        return self._show(request, obj, request._console_secret)  # type: ignore[attr-defined]

    def _show(self, request: HttpRequest, row: ApiToken, text: str) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": _g("Token “%(name)s”") % {"name": row.name}, "opts": self.opts, "back": self.page_of(row),
            "secret": text,
            "advice": _g("Copy it now: it is not kept and cannot be shown again."),
        }  # fmt: skip
        return TemplateResponse(request, "console/once.html", context, headers={"Cache-Control": "no-store"})

    def renew(self, request: HttpRequest, row: ApiToken, answers: dict[str, Any]) -> HttpResponse:
        """Deed: the next token of the same use."""
        fresh, text = tokens.rotate(row, by=request.user, now=utcnow())
        return self._show(request, fresh, text)

    def revoke(self, request: HttpRequest, row: ApiToken, answers: dict[str, Any]) -> str:
        """Deed: the token is worth nothing from now on."""
        tokens.revoke(row, by=request.user, now=utcnow())
        return _g("The token is revoked.")

    @display(description=_("It may"))
    def may(self, row: ApiToken) -> str:
        return ", ".join(row.scope_names)

    @display(description=_("state"))
    def state(self, row: ApiToken) -> SafeString:
        if row.revoked_at is not None:
            return pill(_g("revoked"), "grey")
        if row.expires_at is not None and row.expires_at <= utcnow():
            return pill(_g("expired"), "grey")
        return pill(_g("valid"), "green")

    @display(description=_("created by"))
    def issuer(self, row: ApiToken) -> str:
        return str(row.created_by or DASH)

    @display(description=_("last used"), ordering="last_used_at")
    def last_used(self, row: ApiToken) -> SafeString | str:
        return ago(row.last_used_at, utcnow()) if row.last_used_at else _g("never")

    @display(description=_("expires"), ordering="expires_at")
    def expires(self, row: ApiToken) -> SafeString | str:
        return moment(row.expires_at) if row.expires_at else _g("no end")
