"""People: the members of platforms, for those who manage them; accounts, for the superadmin."""

import secrets
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin as AccountAdmin
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _g
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy
from unfold.decorators import display
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from platforms import audit, dismissal, second_factor
from platforms.admin_base import PlatformAdmin, SuperadminAdmin, grants_of
from platforms.console.confirmation import confirmed_again
from platforms.console.deeds import Deed, DeedsMixin
from platforms.console.people import NewMemberForm, grantable_roles
from platforms.models import Membership, User
from platforms.roles import Perm, Role
from platforms.services import check_can_go, set_role
from remosa.lib.clock import utcnow


class DismissForm(forms.Form):
    """Who takes over, and why."""

    successor = forms.ModelChoiceField(
        label=_("Successor"), queryset=User.objects.none(), required=False, widget=UnfoldAdminSelectWidget,
        empty_label=_("nobody: the devices have no owner then"),
    )  # fmt: skip
    reason = forms.CharField(
        label=_("Reason"), max_length=300, required=False, widget=UnfoldAdminTextInputWidget,
        help_text=_("Stands in the audit."),
    )  # fmt: skip


class RoleFormSet(forms.BaseInlineFormSet):
    """Roles changed on a platform's page; the service writes them, with its rules."""

    by: Any = None

    def save(self, commit: bool = True) -> list[Membership]:
        """Called by the page inside its transaction; a refusal of the service rolls everything back."""
        self.new_objects, self.changed_objects, self.deleted_objects = [], [], []
        for form in self.initial_forms:
            row = form.instance
            if form.has_changed():
                set_role(user=row.user, platform=row.platform, role=form.cleaned_data["role"], by=self.by)
                self.changed_objects.append((row, form.changed_data))
        return []


@admin.register(Membership)
class MembershipAdmin(PlatformAdmin):
    list_display = ("person", "email", "role", "platform", "created_at", "last_seen")
    list_filter = ("platform", "role")
    list_select_related = ("user", "platform")
    search_fields = ("user__username", "user__first_name", "user__last_name", "user__email")
    search_help_text = _("name or e-mail")
    change_perm = Perm.MANAGE_MEMBERS
    asks_again = True
    deeds = (
        Deed(
            "dismiss", _("Dismiss"), Perm.MANAGE_MEMBERS, icon="person_off", danger=True, asks_again=True,
            form=DismissForm, template="console/dismiss.html",
            question=_(
                "Their sessions, sign-ins of programs and shares end at once. Jobs and their history stay;"
                " no job stops."
            ),
        ),
    )  # fmt: skip

    def get_fields(self, request: HttpRequest, obj: Membership | None = None) -> Any:
        if obj is None:
            return ("platform", "role", "known", "username", "full_name", "email")
        return ("person", "email", "platform", "role", "created_at", "last_seen")

    def get_readonly_fields(self, request: HttpRequest, obj: Membership | None = None) -> list[str]:
        return ["person", "email", "platform", "created_at", "last_seen"] if obj is not None else []

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        grants = grants_of(request)
        if obj is None:
            kwargs["form"] = NewMemberForm
        form = super().get_form(request, obj, change=change, **kwargs)
        if "role" in form.base_fields:
            form.base_fields["role"].choices = grantable_roles(grants, obj.platform_id if obj else None)
            form.base_fields["role"].initial = Role.VIEWER  # the least, unless somebody chooses more
        if "known" in form.base_fields:
            form.base_fields["known"].queryset = grants.people().filter(is_active=True).order_by("username")
        return form

    def save_model(self, request: HttpRequest, obj: Membership, form: forms.ModelForm, change: bool) -> None:
        """The service grants the role by its rules; a new person gets an account first."""
        if not change:
            obj.user = form.cleaned_data["known"] or self._open_account(request, form.cleaned_data)
        made = set_role(user=obj.user, platform=obj.platform, role=obj.role, by=request.user)
        obj.pk, obj._state.adding = made.pk, False

    def _open_account(self, request: HttpRequest, answers: dict[str, Any]) -> User:
        password = secrets.token_urlsafe(12)
        first, _space, last = answers["full_name"].partition(" ")
        person = User.objects.create_user(
            answers["username"], email=answers["email"], password=password, first_name=first, last_name=last,
            language=request.user.language, time_zone=request.user.time_zone,
        )  # fmt: skip
        audit.record(
            actor=audit.person(request.user), verb="user.created", target=person, platform=answers["platform"],
            after={"username": person.username},
        )  # fmt: skip
        request._console_secret = password  # type: ignore[attr-defined]
        return person

    def response_add(
        self, request: HttpRequest, obj: Membership, post_url_continue: Any = None
    ) -> HttpResponse:
        """A new person's first password is shown once, to whoever made the account."""
        password = getattr(request, "_console_secret", None)
        if password is None:
            return super().response_add(request, obj, post_url_continue)
        context = {
            **self.admin_site.each_context(request),
            "title": _g("Account of %(person)s") % {"person": obj.user}, "opts": self.opts, "back": self.page_of(obj),
            "secret": password, "label": _g("User name: %(name)s") % {"name": obj.user.username},
            "advice": _g(
                "Hand over this first password now: it cannot be shown again."
                " The person changes it under “Change password”."
            ),
        }  # fmt: skip
        return TemplateResponse(request, "console/once.html", context, headers={"Cache-Control": "no-store"})

    def allows(self, request: HttpRequest, deed: Deed, row: Any) -> bool:
        """Only those whose role one could also grant."""
        return super().allows(request, deed, row) and self._is_below(request, row)

    def deed_form(self, request: HttpRequest, deed: Deed, row: Any) -> forms.Form:
        form = super().deed_form(request, deed, row)
        form.fields["successor"].queryset = (
            User.objects.filter(memberships__platform=row.platform, is_active=True)
            .exclude(pk=row.user_id).order_by("username")
        )  # fmt: skip
        return form

    def ask(
        self, request: HttpRequest, deed: Deed, row: Any, form: forms.Form, **context: Any
    ) -> HttpResponse:
        left = dismissal.left_by(row.user, row.platform)
        ends = dismissal.is_only_platform(row.user, row.platform)
        return super().ask(request, deed, row, form, left=left, ends_account=ends, **context)

    def dismiss(self, request: HttpRequest, row: Membership, answers: dict[str, Any]) -> HttpResponse:
        """Deed: the person keeps nothing of this platform."""
        counts = dismissal.dismiss(
            row, successor=answers["successor"], reason=answers["reason"], by=request.user, now=utcnow()
        )
        messages.success(
            request, _g("%(person)s has no access to this platform any more.") % {"person": row.user}
        )
        if counts.get("sockets_with_number"):
            messages.warning(
                request,
                _g("%(count)d sockets still obey their phone number. Remove it there.")
                % {"count": counts["sockets_with_number"]},
            )
        return HttpResponseRedirect(reverse("admin:platforms_membership_changelist"))

    def _is_below(self, request: HttpRequest, row: Membership) -> bool:
        return row.role in dict(grantable_roles(grants_of(request), row.platform_id))

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        if not super().has_change_permission(request, obj) or not isinstance(obj, Membership):
            return super().has_change_permission(request, obj)
        return self._is_below(request, obj)

    @display(description=_("person"), ordering="user__username")
    def person(self, row: Membership) -> str:
        return str(row.user)

    @display(description=_("e-mail"), ordering="user__email")
    def email(self, row: Membership) -> str:
        return row.user.email or "—"

    @display(description=_("last sign-in"), ordering="user__last_login")
    def last_seen(self, row: Membership) -> Any:
        return row.user.last_login


ABOUT = ("first_name", "last_name", "email", "phone", "telegram_id", "language", "time_zone")
FIRST = (
    "username",
    "email",
    "first_name",
    "last_name",
    "language",
    "usable_password",
    "password1",
    "password2",
)


@admin.register(User)
class UserAdmin(DeedsMixin, AccountAdmin, SuperadminAdmin):
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    deletable = False
    asks_again = True
    change_form_outer_before_template = "console/head.html"
    deeds = (
        Deed(
            "take_app_off", _("Take the authenticator app off"), Perm.MANAGE_PLATFORM, icon="phonelink_erase",
            danger=True, asks_again=True, when=second_factor.has_factor,
            question=_("For somebody who has lost the phone and the recovery codes: they sign in by password alone."),
        ),
    )  # fmt: skip
    list_display = ("username", "email", "full_name", "is_active", "is_superuser", "last_login")
    list_filter = ("is_active", "is_superuser")
    search_fields = ("username", "first_name", "last_name", "email")
    filter_horizontal = ()
    readonly_fields = ("last_login", "date_joined")
    fieldsets = (
        (None, {"fields": ("username", "password")}),
        (_("Person"), {"fields": ABOUT}),
        (_("Access"), {"fields": ("is_active", "is_superuser", "last_login", "date_joined")}),
    )  # fmt: skip
    add_fieldsets = (
        (None, {"fields": FIRST}),
    )  # fmt: skip

    def holds(self, request: HttpRequest, perm: str | None, obj: Any = None) -> bool:
        return self.has_module_permission(request)

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> Any:
        row = kwargs.get("obj")
        if row is not None:
            context["deed_buttons"] = self.deed_buttons(request, row)
        return super().render_change_form(request, context, *args, **kwargs)

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:
        """Whoever sets somebody else's password says who they are first."""
        return confirmed_again(super().user_change_password)(request, id, form_url)

    def take_app_off(self, request: HttpRequest, row: User, answers: dict[str, Any]) -> str:
        """Deed: sign in by password alone again."""
        second_factor.remove(row, by=request.user)
        return _g("They sign in by password alone now, and can set up another app.")

    def store(self, request: HttpRequest, obj: User, form: forms.ModelForm, change: bool) -> None:
        """The console is open to superadmins and to members; the last admin of a platform is not switched off."""
        if change and "is_active" in form.changed_data and not obj.is_active:
            check_can_go(obj)
        obj.is_staff = obj.is_superuser or (change and obj.memberships.exists())
        super().store(request, obj, form, change)

    def log_change(self, request: HttpRequest, obj: User, message: Any) -> None:
        """Also called when a password was set here: that leaves its line."""
        if message and "password" in str(message).lower():
            self.record(request, obj, "password_set")

    @display(description=pgettext_lazy("of a person", "name"))
    def full_name(self, row: User) -> str:
        return row.get_full_name() or "—"
