"""The page behind an invitation's link: for whoever can read the mail of the invited address."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.password_validation import password_validators_help_text_html, validate_password
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _g
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.debug import sensitive_post_parameters
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldAdminTextInputWidget

from platforms import invitations
from platforms.errors import InvitationClosed
from platforms.models import Invitation, User
from remosa.console.login import enter
from remosa.lib.clock import utcnow

BACKEND = "platforms.authentication.UsernameOrEmailBackend"


class AccountForm(forms.Form):
    """What a new person chooses."""

    username = forms.CharField(
        label=_("User name"), max_length=150, validators=User._meta.get_field("username").validators,
        widget=UnfoldAdminTextInputWidget(attrs={"autocapitalize": "none", "autocomplete": "username"}),
        help_text=_("You sign in with it, or with your e-mail."),
    )  # fmt: skip
    full_name = forms.CharField(
        label=_("Name"), max_length=300, widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "name"})
    )
    password = forms.CharField(
        label=_("Password"), strip=False, max_length=200, help_text=password_validators_help_text_html,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}),
    )  # fmt: skip
    repeated = forms.CharField(
        label=_("Password again"), strip=False, max_length=200,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}),
    )  # fmt: skip

    def __init__(self, *args: Any, comes_back: User | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.comes_back = comes_back
        if comes_back is not None:
            del self.fields["username"]

    def clean_username(self) -> str:
        name: str = self.cleaned_data["username"]
        if User.objects.filter(username__iexact=name).exists():
            raise ValidationError(_("This user name is taken. Choose another one."))
        return name

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        password, name = cleaned.get("password"), cleaned.get("username", "")
        if password and cleaned.get("repeated") and password != cleaned["repeated"]:
            self.add_error("repeated", _("The two passwords differ."))
        if password:
            try:
                validate_password(password, self.comes_back or User(username=name))
            except ValidationError as exc:
                self.add_error("password", exc)
        return cleaned


@sensitive_post_parameters()
@never_cache
@csrf_protect
def invitation(request: HttpRequest, key: str) -> HttpResponse:
    """Join as the person who is signed in, sign in first, or open an account."""
    row = invitations.find(key, now=utcnow())
    if row is None:
        return _page(request, "console/invitation_over.html", status=404)
    person = invitations.person_of(row)
    if person is not None and person.is_active:
        return _join(request, row, person)
    return _open_account(request, row, person)


def _join(request: HttpRequest, row: Invitation, person: User) -> HttpResponse:
    is_me = request.user.is_authenticated and request.user.pk == person.pk
    if request.method == "POST" and is_me:
        try:
            invitations.join(row, user=person, now=utcnow())
        except InvitationClosed:
            return _page(request, "console/invitation_over.html", status=404)
        messages.success(request, _g("You have joined %(platform)s.") % {"platform": row.platform})
        return HttpResponseRedirect(reverse("admin:index"))
    door = f"{reverse('admin:login')}?{urlencode({'next': request.path})}"
    return _page(request, "console/invitation_join.html", row=row, is_me=is_me, door=door)


def _open_account(request: HttpRequest, row: Invitation, comes_back: User | None) -> HttpResponse:
    form = AccountForm(request.POST if request.method == "POST" else None, comes_back=comes_back)
    if form.is_valid():
        answers = form.cleaned_data
        try:
            user = invitations.open_account(
                row, username=answers.get("username", ""), full_name=answers["full_name"],
                password=answers["password"], now=utcnow(),
            )  # fmt: skip
        except InvitationClosed:
            return _page(request, "console/invitation_over.html", status=404)
        except ValidationError as exc:
            form.add_error(None, exc.messages)
        else:
            user.backend = BACKEND
            return enter(request, user, reverse("admin:index"))
    return _page(
        request, "console/invitation_account.html", row=row, form=form, status=400 if form.errors else 200
    )


def _page(request: HttpRequest, template: str, status: int = 200, **context: Any) -> HttpResponse:
    shown = {**admin.site.each_context(request), "title": _g("Invitation"), **context}
    return TemplateResponse(request, template, shown, status=status)
