"""A person's own pages: settings, password, authenticator app, tokens, other sessions."""

from datetime import timedelta
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.auth import update_session_auth_hash
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _g
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminEmailInputWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from platforms import audit, jwt, second_factor, tokens
from platforms.console.confirmation import confirmed_again
from platforms.models import ApiToken, User
from platforms.models.tokens import OWN_SCOPES as SCOPES
from platforms.models.tokens import Scope
from remosa.lib.clock import utcnow
from remosa.lib.phones import normalise_msisdn

OWN_SCOPES = [(scope.value, scope.label) for scope in SCOPES]
LIVES = [("30", _("30 days")), ("90", _("90 days")), ("365", _("a year")), ("", _("no end"))]


class MySettingsForm(forms.ModelForm):
    """What a person sets for themselves."""

    phone = forms.CharField(
        label=_("phone"), required=False, max_length=32, widget=UnfoldAdminTextInputWidget,
        help_text=_("For example +79001234567."),
    )  # fmt: skip

    class Meta:
        model = User
        fields = ("first_name", "last_name", "email", "phone", "wants_sms", "language", "time_zone")
        widgets = {
            "first_name": UnfoldAdminTextInputWidget,
            "last_name": UnfoldAdminTextInputWidget,
            "email": UnfoldAdminEmailInputWidget,
            "wants_sms": UnfoldBooleanSwitchWidget,
            "language": UnfoldAdminSelectWidget,
            "time_zone": UnfoldAdminTextInputWidget,
        }

    def clean_phone(self) -> str:
        try:
            return normalise_msisdn(self.cleaned_data["phone"]) if self.cleaned_data["phone"] else ""
        except ValueError as exc:
            raise forms.ValidationError(str(exc)) from exc

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if cleaned.get("wants_sms") and not cleaned.get("phone") and "phone" not in self.errors:
            self.add_error("phone", _g("Give the number to which the SMS should go."))
        return cleaned


@confirmed_again
def my_settings(request: HttpRequest) -> HttpResponse:
    """A person's own name, address, language and time zone; below, the ways by which they sign in."""
    person = User.objects.get(pk=request.user.pk)
    form = MySettingsForm(request.POST or None, instance=person)
    if request.method == "POST" and form.is_valid():
        stored = User.objects.get(pk=person.pk)
        before = {name: getattr(stored, name) for name in form.changed_data}
        form.save()
        after = {name: getattr(person, name) for name in form.changed_data}
        audit.record(
            actor=audit.person(person), verb="user.changed", target=person, before=before, after=after
        )
        messages.success(request, _g("Your settings are saved."))
        answer = HttpResponseRedirect(reverse("admin:my_settings"))
        answer.set_cookie(settings.LANGUAGE_COOKIE_NAME, person.language, samesite="Lax")
        return answer
    now = utcnow()
    return _page(
        request, "console/my_settings.html", _g("My settings"), form=form, back=reverse("admin:index"),
        has_factor=second_factor.has_factor(person), codes_left=second_factor.codes_left(person),
        tokens=live_tokens(person, now=now), now=now, status=400 if form.errors else 200,
    )  # fmt: skip


def live_tokens(person: Any, *, now: Any) -> QuerySet[ApiToken]:
    """The person's own tokens that are good for something."""
    return ApiToken.objects.filter(user=person.pk, platform=None, revoked_at=None).filter(
        Q(expires_at=None) | Q(expires_at__gt=now)
    )


# --- the authenticator app -----------------------------------------------------------------------


class EnrolForm(forms.Form):
    """Proves that the app has the key."""

    code = forms.CharField(
        label=_("The six digits that the app shows"), max_length=16,
        widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "one-time-code", "inputmode": "numeric"}),
    )  # fmt: skip


@never_cache
@confirmed_again
def set_up_factor(request: HttpRequest) -> HttpResponse:
    """Show the key as a QR code; a code that fits switches the second factor on."""
    person: Any = request.user
    if second_factor.has_factor(person):
        return HttpResponseRedirect(reverse("admin:my_settings"))
    form = EnrolForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        codes = second_factor.confirm(person, form.cleaned_data["code"], now=utcnow())
        if codes is not None:
            update_session_auth_hash(request, person)  # this session goes on, all others end
            return _show_codes(request, codes)
        form.add_error(
            "code", _g("This code does not fit. Check that the phone's clock is right, and try the next one.")
        )
    device = second_factor.begin(person)
    return _page(
        request, "console/second_factor.html", _g("Authenticator app"), form=form, qr=second_factor.qr_svg(device),
        key=second_factor.key_text(device), back=reverse("admin:my_settings"), status=400 if form.errors else 200,
    )  # fmt: skip


@require_POST
@never_cache
@confirmed_again
def renew_codes(request: HttpRequest) -> HttpResponse:
    """New recovery codes instead of the old ones."""
    person: Any = request.user
    if not second_factor.has_factor(person):
        raise Http404
    return _show_codes(request, second_factor.renew_codes(person))


@require_POST
@confirmed_again
def remove_factor(request: HttpRequest) -> HttpResponse:
    """Sign in by password alone again."""
    person: Any = request.user
    if second_factor.remove(person, by=person):
        update_session_auth_hash(request, person)
        messages.success(request, _g("The authenticator app is switched off."))
    return HttpResponseRedirect(reverse("admin:my_settings"))


def _show_codes(request: HttpRequest, codes: list[str]) -> HttpResponse:
    return _page(
        request, "console/once.html", _g("Recovery codes"), back=reverse("admin:my_settings"), secret="\n".join(codes),
        advice=_g(
            "Keep these codes where you will find them without your phone. Each opens the door once."
            " They cannot be shown again."
        ),
    )  # fmt: skip


# --- tokens and sessions -------------------------------------------------------------------------


class MyTokenForm(forms.Form):
    """A token with the person's own rights, narrowed by its scopes."""

    name = forms.CharField(
        label=_("Name"), max_length=100, widget=UnfoldAdminTextInputWidget,
        help_text=_("What the token is for: you will want to know when you revoke it."),
    )  # fmt: skip
    scopes = forms.MultipleChoiceField(
        label=_("It may"),
        choices=OWN_SCOPES,
        initial=[Scope.READ],
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
    )
    life = forms.ChoiceField(
        label=_("Good for"), choices=LIVES, initial="90", required=False, widget=UnfoldAdminSelectWidget
    )


@never_cache
@confirmed_again
def issue_token(request: HttpRequest) -> HttpResponse:
    """Make a token of one's own; its text is shown this once."""
    form = MyTokenForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        life = form.cleaned_data["life"]
        row, text = tokens.issue(
            name=form.cleaned_data["name"], scopes=form.cleaned_data["scopes"], by=request.user, user=request.user,
            expires_at=utcnow() + timedelta(days=int(life)) if life else None,
        )  # fmt: skip
        return _show_token(request, row, text)
    return _page(
        request, "console/my_form.html", _g("New token"), form=form, submit=_g("Make the token"),
        back=reverse("admin:my_settings"), status=400 if form.errors else 200,
    )  # fmt: skip


@require_POST
@never_cache
@confirmed_again
def rotate_token(request: HttpRequest, pk: int) -> HttpResponse:
    """A new text for a token of one's own; the old one ends a day later."""
    row, text = tokens.rotate(_own(request, pk), by=request.user, now=utcnow())
    return _show_token(request, row, text)


@require_POST
def revoke_token(request: HttpRequest, pk: int) -> HttpResponse:
    """End a token of one's own. Taking a right away never waits for a password."""
    if tokens.revoke(_own(request, pk), by=request.user, now=utcnow()):
        messages.success(request, _g("The token is revoked."))
    return HttpResponseRedirect(reverse("admin:my_settings"))


@require_POST
def sign_out_everywhere(request: HttpRequest) -> HttpResponse:
    """End every session and every program's sign-in but this session."""
    person: Any = request.user
    second_factor.end_sessions(person)
    jwt.revoke_all(person, why=jwt.SIGNED_OUT, now=utcnow())
    update_session_auth_hash(request, person)
    audit.record(actor=audit.person(person), verb="user.signed_out_everywhere", target=person)
    messages.success(request, _g("You are signed out everywhere else."))
    return HttpResponseRedirect(reverse("admin:my_settings"))


def _own(request: HttpRequest, pk: int) -> ApiToken:
    row = live_tokens(request.user, now=utcnow()).filter(pk=pk).first() if pk < 2**63 else None
    if row is None:
        raise Http404
    return row


def _show_token(request: HttpRequest, row: ApiToken, text: str) -> HttpResponse:
    return _page(
        request, "console/once.html", _g("Token “%(name)s”") % {"name": row.name}, secret=text,
        advice=_g("Copy it now: it is not kept and cannot be shown again."), back=reverse("admin:my_settings"),
    )  # fmt: skip


@confirmed_again
def confirm(request: HttpRequest) -> HttpResponse:
    """Say who one is, for programs of the browser that were refused for that reason."""
    return HttpResponseRedirect(reverse("admin:index"))


def _page(request: HttpRequest, template: str, title: str, status: int = 200, **context: Any) -> HttpResponse:
    shown = {**admin.site.each_context(request), "title": title, **context}
    return TemplateResponse(
        request, template, shown, status=status, headers={"Cache-Control": "no-store, private"}
    )
