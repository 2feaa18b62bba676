"""Invitations: ask somebody to work on a platform, see who has not answered, send again, withdraw."""

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _g
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from platforms import invitations
from platforms.admin_base import PlatformAdmin, grants_of
from platforms.console.deeds import Deed
from platforms.console.display import DASH, moment, pill
from platforms.console.people import grantable_roles
from platforms.models import Invitation
from platforms.roles import Perm, Role
from remosa.lib.clock import utcnow


def is_open(row: Invitation) -> bool:
    """Whether it was neither used nor withdrawn; its link may have expired."""
    return row.accepted_at is None and row.revoked_at is None


@admin.register(Invitation)
class InvitationAdmin(PlatformAdmin):
    view_perm = add_perm = Perm.MANAGE_MEMBERS
    asks_again = True
    list_display = ("email", "role", "platform", "state", "created_at", "invited_by")
    list_filter = ("platform", "role")
    list_select_related = ("platform", "invited_by", "accepted_by")
    search_fields = ("email",)
    search_help_text = _("e-mail")
    deeds = (
        Deed(
            "send_again", _("Send again"), Perm.MANAGE_MEMBERS, icon="forward_to_inbox", when=is_open, asks_again=True,
            question=_("A new link is made and mailed. The older ones end."),
        ),
        Deed(
            "withdraw", _("Withdraw"), Perm.MANAGE_MEMBERS, icon="block", danger=True, when=is_open,
            question=_("The link is worth nothing from now on."),
        ),
    )  # fmt: skip

    def get_fields(self, request: HttpRequest, obj: Invitation | None = None) -> Any:
        if obj is None:
            return ("platform", "email", "role")
        return (
            "email", "role", "platform", "state", "mail_state", "created_at", "invited_by", "expires_at",
            "accepted_at", "accepted_by",
        )  # fmt: skip

    def get_readonly_fields(self, request: HttpRequest, obj: Invitation | None = None) -> list[str]:
        return list(self.get_fields(request, obj)) if obj is not None else []

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change=change, **kwargs)
        if "role" in form.base_fields:
            form.base_fields["role"].choices = grantable_roles(grants_of(request), None)
            form.base_fields["role"].initial = Role.VIEWER  # the least, unless somebody chooses more
        return form

    def save_model(self, request: HttpRequest, obj: Invitation, form: forms.ModelForm, change: bool) -> None:
        made = invitations.invite(
            platform=obj.platform, email=obj.email, role=obj.role, by=request.user, now=utcnow()
        )
        obj.__dict__.update(made.__dict__)

    def response_add(
        self, request: HttpRequest, obj: Invitation, post_url_continue: Any = None
    ) -> HttpResponse:
        return self.show_link(request, obj)

    def show_link(self, request: HttpRequest, row: Invitation) -> HttpResponse:
        """The link, for whoever would rather hand it over than wait for the mail."""
        context = {
            **self.admin_site.each_context(request),
            "title": _g("Invitation of %(email)s") % {"email": row.email}, "opts": self.opts,
            "back": self.page_of(row), "secret": invitations.link_of(row),
            "label": _g("It is mailed to %(email)s.") % {"email": row.email},
            "advice": _g(
                "The link works once. Whoever has it can open the account: give it to that person alone."
            ),
        }  # fmt: skip
        return TemplateResponse(request, "console/once.html", context, headers={"Cache-Control": "no-store"})

    def send_again(self, request: HttpRequest, row: Invitation, answers: dict[str, Any]) -> HttpResponse:
        """Deed: a new link."""
        invitations.renew(row, by=request.user, now=utcnow())
        return self.show_link(request, row)

    def withdraw(self, request: HttpRequest, row: Invitation, answers: dict[str, Any]) -> str:
        """Deed: the link ends."""
        invitations.withdraw(row, by=request.user, now=utcnow())
        return _g("The invitation is withdrawn.")

    @display(description=_("state"))
    def state(self, row: Invitation) -> SafeString:
        if row.accepted_at is not None:
            return pill(_g("accepted"), "green")
        if row.revoked_at is not None:
            return pill(_g("withdrawn"), "grey")
        if row.expires_at <= utcnow():
            return pill(_g("expired"), "grey")
        if row.mail_error:
            return pill(_g("the mail did not leave"), "red")
        return pill(_g("waiting for an answer"), "amber")

    @display(description=_("mail"))
    def mail_state(self, row: Invitation) -> SafeString | str:
        return moment(row.mailed_at) if row.mailed_at else row.mail_error or DASH
