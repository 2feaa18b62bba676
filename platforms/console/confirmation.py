"""A session lasts for weeks, on phones that lie about: before a dangerous deed it says again who it is.

``confirmed_again`` wraps a view. Whoever signed in or confirmed within ``CONFIRM_AGAIN_S`` passes. Anybody else
is asked for the password, or for a code of the authenticator app, on the same address; what was being sent is
sent along and done after the answer.
"""

import functools
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _g
from django.utils.translation import gettext_lazy as _
from django.views.decorators.csrf import csrf_protect
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldAdminTextInputWidget

from platforms import audit, second_factor
from platforms.authentication import count_failure, is_locked_out
from platforms.models import User
from remosa.lib.clock import utcnow

KEY = "confirmed_at"
ANSWER, CODE, ASKED = "_confirm_password", "_confirm_code", "_confirm_asked"
OWN = (ANSWER, CODE, ASKED, "csrfmiddlewaretoken")


def mark(request: HttpRequest, *, now: datetime) -> None:
    """The person of this session has just said who they are."""
    request.session[KEY] = now.isoformat()


def mark_sign_in(sender: Any, request: HttpRequest, user: Any, **kwargs: Any) -> None:
    """Signing in is saying who one is."""
    if request is not None and hasattr(request, "session"):
        mark(request, now=utcnow())


def is_fresh(request: HttpRequest, *, now: datetime) -> bool:
    """Whether the session has said who it is lately enough to act."""
    at = parse_datetime(str(request.session.get(KEY, ""))) if request.session else None
    return at is not None and abs(now - at) < timedelta(seconds=settings.CONFIRM_AGAIN_S)


class ConfirmForm(forms.Form):
    """The password, or a code for those who have an authenticator app."""

    def __init__(self, data: Any, *, user: User, is_asked: bool) -> None:
        super().__init__(data if is_asked else None)
        self.user = user
        self.fields[ANSWER] = forms.CharField(
            label=_("Password"), required=False, strip=False, max_length=200,
            widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "current-password", "autofocus": True}),
        )  # fmt: skip
        if second_factor.has_factor(user):
            self.fields[CODE] = forms.CharField(
                label=_("Or a code of the authenticator app"), required=False, max_length=32,
                widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "one-time-code", "inputmode": "numeric"}),
            )  # fmt: skip

    def is_right(self, request: HttpRequest, *, now: datetime) -> bool:
        """Whether one of the two is right. A wrong one counts as a failed sign-in."""
        if not self.is_bound or not self.is_valid():
            return False
        if is_locked_out(request, self.user):
            self.add_error(None, _g("Too many wrong answers. Try again in a quarter of an hour."))
            return False
        password, code = self.cleaned_data[ANSWER], self.cleaned_data.get(CODE, "")
        if (password and self.user.check_password(password)) or (
            code and second_factor.check(self.user, code, now=now)
        ):
            return True
        count_failure(request, self.user)
        audit.record(actor=audit.person(self.user), verb="user.confirmation_failed", target=self.user)
        self.add_error(None, _g("That was not right. Nothing has been done yet."))
        return False


def confirmed_again(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Let the view run for a session that is fresh; ask first for one that is not."""

    @functools.wraps(view)
    def asking(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        now = utcnow()
        if not request.user.is_authenticated or is_fresh(request, now=now):
            return view(request, *args, **kwargs)
        return _ask(request, lambda: view(request, *args, **kwargs), now=now)

    return asking


@csrf_protect
def _ask(request: HttpRequest, go_on: Callable[[], HttpResponse], *, now: datetime) -> HttpResponse:
    asked = request.POST.get(ASKED, "") if request.method == "POST" else ""
    form = ConfirmForm(request.POST, user=request.user, is_asked=bool(asked))
    if form.is_right(request, now=now):
        mark(request, now=now)
        if asked == "GET":
            return HttpResponseRedirect(request.get_full_path())
        return go_on()
    sent = request.POST.items() if asked != "GET" else ()
    lists = {name: request.POST.getlist(name) for name, _value in sent if name not in OWN}
    context = {
        **admin.site.each_context(request), "title": _g("Is it you?"), "form": form,
        "asked": asked or ("POST" if request.method == "POST" else "GET"), "sent": lists, "asked_name": ASKED,
    }  # fmt: skip
    return TemplateResponse(request, "console/confirm.html", context, headers={"Cache-Control": "no-store"})
