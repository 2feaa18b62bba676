"""A forgotten password: ask for a link by mail, choose a new one behind it. Django's own views, our look and limits."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.forms import PasswordResetForm, SetPasswordForm
from django.contrib.auth.views import PasswordResetConfirmView, PasswordResetView
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse_lazy
from django.utils.translation import gettext as _g
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminEmailInputWidget, UnfoldAdminPasswordWidget

from platforms import password_reset, rates
from platforms.authentication import address_of
from platforms.models import User
from remosa.lib.clock import utcnow
from remosa.lib.tasks import later


class AskForm(PasswordResetForm):
    """The address. Who has it, if anybody, is the queue's business."""

    email = forms.EmailField(
        label=_("e-mail"), max_length=254,
        widget=UnfoldAdminEmailInputWidget(attrs={"autocomplete": "email", "autofocus": True}),
    )  # fmt: skip

    def save(self, **_options: Any) -> None:
        """Wake the queue, for nobody too."""
        found = next(iter(self.get_users(self.cleaned_data["email"])), None)
        later("platforms.tasks.mail_password_reset", found.pk if found is not None else 0)


class ChooseForm(SetPasswordForm):
    """The new password, twice."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            field.widget = UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"})


class OnePage:
    """The template and what the site gives each page."""

    template_name = "admin/password.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return {**admin.site.each_context(self.request), **super().get_context_data(**kwargs)}  # type: ignore[misc, attr-defined]


class Ask(OnePage, PasswordResetView):
    """An address in, the same sentence out."""

    form_class = AskForm
    success_url = reverse_lazy("admin:password_sent")
    extra_context = {"title": _("Forgot your password?"), "step": "ask"}

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if wait := rates.wait_s("password", address_of(request)):
            form = self.get_form()
            form.add_error(None, _g("Too many requests from your address. Try again in an hour."))
            answer = self.render_to_response(self.get_context_data(form=form))
            answer.status_code, answer["Retry-After"] = 429, str(wait)
            return answer
        return super().post(request, *args, **kwargs)


def sent(request: HttpRequest) -> HttpResponse:
    """What everybody reads who asked."""
    shown = {**admin.site.each_context(request), "title": _g("Look into your mail"), "step": "sent"}
    return TemplateResponse(request, "admin/password.html", shown)


class Choose(OnePage, PasswordResetConfirmView):
    """Behind the link: a new password, then the door, with its second step as ever."""

    form_class = ChooseForm
    token_generator = password_reset.TOKENS
    reset_url_token = "choose"  # noqa: S105  stands in the address instead of the token
    success_url = reverse_lazy("admin:login")
    extra_context = {"title": _("New password"), "step": "choose"}

    def get_user(self, uidb64: str) -> User | None:
        user = super().get_user(uidb64)
        return user if user is not None and user.is_active else None

    def render_to_response(self, context: dict[str, Any], **options: Any) -> HttpResponse:
        if not self.validlink:
            context |= {"title": _g("This link is over"), "step": "over"}
            options["status"] = 404
        return super().render_to_response(context, **options)

    def form_valid(self, form: SetPasswordForm) -> HttpResponse:
        with transaction.atomic():
            answer = super().form_valid(form)
            password_reset.was_chosen(form.user, now=utcnow())
        messages.success(self.request, _g("Your new password is set. Sign in with it."))
        return answer
