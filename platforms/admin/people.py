"""People: the members of platforms, for those who manage them; accounts, for the superadmin."""

import secrets
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as AccountAdmin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _g
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy
from unfold.decorators import display
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from platforms import audit
from platforms.admin_base import PlatformAdmin, SuperadminAdmin, grants_of
from platforms.console.people import NewMemberForm, grantable_roles
from platforms.models import Membership, User
from platforms.roles import Perm, Role
from platforms.services import set_role


class RoleFormSet(forms.BaseInlineFormSet):
    """Roles changed and memberships ended on a platform's page; the service writes both, with its rules."""

    by: Any = None

    def save(self, commit: bool = True) -> list[Membership]:
        """Called by the page inside its transaction; a refusal of the service rolls everything back."""
        self.new_objects, self.changed_objects, self.deleted_objects = [], [], []
        for form in self.initial_forms:
            row = form.instance
            if form in self.deleted_forms:
                set_role(user=row.user, platform=row.platform, role=None, by=self.by)
                self.deleted_objects.append(row)
            elif form.has_changed():
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
    change_perm = delete_perm = Perm.MANAGE_MEMBERS

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

    def delete_model(self, request: HttpRequest, obj: Membership) -> None:
        set_role(user=obj.user, platform=obj.platform, role=None, by=request.user)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Only those whose role one could also grant."""
        if not super().has_delete_permission(request, obj) or not isinstance(obj, Membership):
            return super().has_delete_permission(request, obj)
        return obj.role in dict(grantable_roles(grants_of(request), obj.platform_id))

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        if not super().has_change_permission(request, obj) or not isinstance(obj, Membership):
            return super().has_change_permission(request, obj)
        return obj.role in dict(grantable_roles(grants_of(request), obj.platform_id))

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
class UserAdmin(AccountAdmin, SuperadminAdmin):
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    deletable = False
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

    def store(self, request: HttpRequest, obj: User, form: forms.ModelForm, change: bool) -> None:
        """The console is open to superadmins and to members."""
        obj.is_staff = obj.is_superuser or (change and obj.memberships.exists())
        super().store(request, obj, form, change)

    def log_change(self, request: HttpRequest, obj: User, message: Any) -> None:
        """Also called when a password was set here: that leaves its line."""
        if message and "password" in str(message).lower():
            self.record(request, obj, "password_set")

    @display(description=pgettext_lazy("of a person", "name"))
    def full_name(self, row: User) -> str:
        return row.get_full_name() or "—"
