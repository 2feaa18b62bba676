"""The door: a user name or an e-mail with a password, then a code for those who have an authenticator app."""

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth import REDIRECT_FIELD_NAME, login
from django.contrib.auth.views import LoginView
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.crypto import constant_time_compare
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _g
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.debug import sensitive_post_parameters
from unfold.forms import AuthenticationForm
from unfold.widgets import UnfoldAdminTextInputWidget

from platforms import audit, second_factor
from platforms.authentication import count_failure, is_locked_out
from platforms.models import User
from remosa.lib.clock import utcnow

AT_THE_DOOR = "at_the_door"  # whose password was right, until the code is
PATIENCE = timedelta(minutes=5)


class LoginForm(AuthenticationForm):
    """Both are accepted in one field, and the field says so."""

    def __init__(self, request: Any = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(request, *args, **kwargs)
        self.fields["username"].label = _("User name or e-mail")
        self.fields["username"].widget.attrs["autocapitalize"] = "none"


class Door(LoginView):
    """The first step; for most people the only one."""

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        user = form.get_user()
        if not second_factor.has_factor(user):
            return enter(self.request, user, self.get_success_url())
        self.request.session[AT_THE_DOOR] = {
            "user": user.pk, "backend": user.backend, "proof": user.get_session_auth_hash(),
            "at": utcnow().isoformat(), "next": self.get_success_url(),
        }  # fmt: skip
        return HttpResponseRedirect(reverse("admin:login_code"))


def enter(request: HttpRequest, user: User, path: str) -> HttpResponse:
    """Open the session and go where the person wanted to go."""
    login(request, user)
    audit.record(actor=audit.person(user), verb="user.signed_in", target=user)
    return HttpResponseRedirect(path)


class CodeForm(forms.Form):
    """Six digits, or a recovery code."""

    code = forms.CharField(
        label=_("Code"), max_length=32,
        widget=UnfoldAdminTextInputWidget(
            attrs={"autocomplete": "one-time-code", "inputmode": "text", "autofocus": True}
        ),
        help_text=_("The six digits that your app shows now, or one of your recovery codes."),
    )  # fmt: skip


@sensitive_post_parameters()
@never_cache
@csrf_protect
def code_step(request: HttpRequest) -> HttpResponse:
    """The second step: a code. Without a first one that was right a moment ago it leads back there."""
    now = utcnow()
    waiting = request.session.get(AT_THE_DOOR) or {}
    user = _who_waits(waiting, now=now)
    if user is None:
        request.session.pop(AT_THE_DOOR, None)
        return HttpResponseRedirect(reverse("admin:login"))
    form = CodeForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        if not is_locked_out(request, user) and second_factor.check(user, form.cleaned_data["code"], now=now):
            del request.session[AT_THE_DOOR]
            user.backend = waiting["backend"]
            return enter(request, user, waiting["next"])
        count_failure(request, user)
        form.add_error(
            "code", _g("This code is not right, or it was used already. Wait for the next one and try again.")
        )
    context = {
        **admin.site.each_context(request), "title": _g("Code"), "form": form, "app_path": request.path,
        "back": reverse("admin:login"),
    }  # fmt: skip
    return TemplateResponse(request, "admin/login_code.html", context)


def _who_waits(waiting: dict[str, Any], *, now: Any) -> User | None:
    at = parse_datetime(str(waiting.get("at", "")))
    if at is None or not timedelta() <= now - at < PATIENCE:
        return None
    user = User.objects.filter(pk=waiting.get("user"), is_active=True, is_staff=True).first()
    if user is None or not constant_time_compare(waiting.get("proof", ""), user.get_session_auth_hash()):
        return None
    return user


def door_of(site: admin.AdminSite, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
    """Django's own way to the login page of ``site``, through our door."""
    if request.method == "GET" and site.has_permission(request):
        return HttpResponseRedirect(reverse("admin:index", current_app=site.name))
    context = {
        **site.each_context(request), "title": _("Log in"), "subtitle": None,
        "app_path": request.get_full_path(), "username": request.user.get_username(), **(extra_context or {}),
    }  # fmt: skip
    if REDIRECT_FIELD_NAME not in request.GET and REDIRECT_FIELD_NAME not in request.POST:
        context[REDIRECT_FIELD_NAME] = reverse("admin:index", current_app=site.name)
    request.current_app = site.name
    view = Door.as_view(
        extra_context=context, authentication_form=site.login_form, template_name="admin/login.html"
    )
    return view(request)
