"""Deeds: what a person can do to one object besides editing it, each behind a page that asks first.

GET only ever shows the question; the deed itself is a POST with the CSRF token. The page of an object
lists the deeds that its reader may do now.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import models, transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_protect
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from platforms.console.confirmation import confirmed_again
from platforms.errors import InvitationClosed, LastAdmin, PlatformsError, QuotaExceeded, RoleTooHigh
from remosa.lib.lifecycle import IllegalMove


class Refused(Exception):
    """The deed was not done; the text says why and what to change."""


@dataclass(frozen=True)
class Deed:
    """One deed: ``name`` is the path and the method of the admin class that does it.

    The method takes ``(request, row, cleaned_data)`` inside a transaction and returns the sentence for
    the person, or a response of its own. ``when`` hides the deed while it makes no sense.
    """

    name: str
    title: Any
    perm: str
    icon: str = "bolt"
    question: Any = ""
    form: type[forms.Form] = forms.Form
    danger: bool = False
    when: Callable[[Any], bool] = field(default=lambda row: True)
    template: str = "console/deed.html"
    superadmin: bool = False
    button: Any = ""  # what the button of its page says, where the title is no verb
    asks_again: bool = False  # a session that is some time old says who it is before the deed is done


class ReasonForm(forms.Form):
    """Asks why; what is said stands in the audit."""

    reason = forms.CharField(label=_("Reason"), max_length=300, widget=UnfoldAdminTextInputWidget)


class NoteForm(forms.Form):
    """Asks for a word, if there is one to say."""

    reason = forms.CharField(
        label=_("Reason"), max_length=300, required=False, widget=UnfoldAdminTextareaWidget(attrs={"rows": 2})
    )


def refusal_sentence(exc: Exception) -> str:
    """What a person reads when a service refused: says what to change."""
    if isinstance(exc, QuotaExceeded) and exc.kind == "devices":
        return _(
            "The platform's device limit is reached. Take a device out of service or ask for a higher limit."
        )
    if isinstance(exc, QuotaExceeded):
        return _("The platform's limit is reached: %(left)d left.") % {"left": exc.left}
    if isinstance(exc, LastAdmin):
        return _("This is the last admin of the platform. Make somebody else an admin first.")
    if isinstance(exc, RoleTooHigh):
        return _("Your own role does not allow this: nobody grants or takes a role above their own.")
    if isinstance(exc, InvitationClosed):
        return _("This invitation is over: it was used, withdrawn, or its time has passed.")
    if isinstance(exc, ValidationError):
        return " ".join(exc.messages)
    return str(exc)


class DeedsMixin:
    """Gives an admin class its deeds: a path, a button and a question each."""

    deeds: tuple[Deed, ...] = ()
    refusals: tuple[type[Exception], ...] = (PlatformsError, ValidationError, IllegalMove, Refused)

    def get_urls(self) -> list[URLPattern]:
        info = f"{self.opts.app_label}_{self.opts.model_name}"
        own = [
            path(
                f"<path:object_id>/{deed.name.replace('_', '-')}/",
                self.admin_site.admin_view(self._view_of(deed)),
                name=f"{info}_{deed.name}",
            )
            for deed in self.deeds
        ]
        return own + super().get_urls()

    def _view_of(self, deed: Deed) -> Callable[..., HttpResponse]:
        def view(request: HttpRequest, object_id: str) -> HttpResponse:
            return self.deed_view(request, object_id, deed)

        return csrf_protect(view)

    def allows(self, request: HttpRequest, deed: Deed, row: models.Model) -> bool:
        """Whether the person may do this deed to this row, leaving aside whether it makes sense now."""
        if deed.superadmin and not request.user.is_superuser:
            return False
        return self.holds(request, deed.perm, row)

    def deeds_of(self, request: HttpRequest, row: models.Model) -> list[Deed]:
        """The deeds that this person may do to this row now."""
        return [deed for deed in self.deeds if deed.when(row) and self.allows(request, deed, row)]

    def deed_url(self, deed: Deed, row: models.Model) -> str:
        """Where the deed's question is asked."""
        info = f"{self.opts.app_label}_{self.opts.model_name}_{deed.name}"
        return reverse(f"admin:{info}", args=[quote(row.pk)])

    def deed_buttons(self, request: HttpRequest, row: models.Model) -> list[dict[str, Any]]:
        """The deeds as the templates show them."""
        return [
            {
                "title": deed.title, "icon": deed.icon, "danger": deed.danger, "name": deed.name,
                "path": self.deed_url(deed, row),
            }
            for deed in self.deeds_of(request, row)
        ]  # fmt: skip

    def require_row(self, request: HttpRequest, object_id: str) -> models.Model:
        """The visible row, or 404: what is foreign looks like what is missing."""
        row = self.get_object(request, unquote(object_id))
        if row is None or not self.has_view_permission(request, row):
            raise Http404
        return row

    def deed_view(self, request: HttpRequest, object_id: str, deed: Deed) -> HttpResponse:
        """GET asks, POST does; who may not see the row gets 404, who may see but not do gets 403."""
        row = self.require_row(request, object_id)
        if not self.allows(request, deed, row):
            raise PermissionDenied
        if not deed.when(row):
            messages.warning(request, _("This cannot be done now: the state has changed meanwhile."))
            return HttpResponseRedirect(self.page_of(row))
        form = self.deed_form(request, deed, row)
        if request.method == "POST" and form.is_valid():
            do = confirmed_again(self._do) if deed.asks_again else self._do
            return do(request, deed, row, form)
        return self.ask(request, deed, row, form)

    def _do(self, request: HttpRequest, deed: Deed, row: models.Model, form: forms.Form) -> HttpResponse:
        try:
            with transaction.atomic():
                answer = getattr(self, deed.name)(request, row, form.cleaned_data)
        except self.refusals as exc:
            self.show_refusal(form, exc)
            return self.ask(request, deed, row, form)
        return self._after(request, row, answer)

    def deed_form(self, request: HttpRequest, deed: Deed, row: models.Model) -> forms.Form:
        """The form of the question; a hook for forms that depend on the row."""
        return deed.form(request.POST, request.FILES) if request.method == "POST" else deed.form()

    def show_refusal(self, form: forms.Form, exc: Exception) -> None:
        """Put what the service said next to the field that it speaks of."""
        for name, sentence in getattr(exc, "fields", {}).items():
            if name in form.fields:
                form.add_error(name, str(sentence))
        if not form.errors:
            form.add_error(None, refusal_sentence(exc))

    def _after(self, request: HttpRequest, row: models.Model, answer: Any) -> HttpResponse:
        if isinstance(answer, HttpResponse):
            return answer
        if answer:
            messages.success(request, answer)
        back = request.POST.get("next", "")
        if back and url_has_allowed_host_and_scheme(back, allowed_hosts={request.get_host()}):
            return HttpResponseRedirect(back)
        return HttpResponseRedirect(self.page_of(row))

    def page_of(self, row: models.Model) -> str:
        """The row's own page."""
        return reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_change", args=[quote(row.pk)])

    def ask(
        self,
        request: HttpRequest,
        deed: Deed,
        row: models.Model,
        form: forms.Form,
        **context: Any,
    ) -> HttpResponse:
        """The page with the question."""
        request.current_app = self.admin_site.name
        shown = {
            **self.admin_site.each_context(request),
            "title": f"{row}: {deed.title}", "opts": self.opts, "original": row, "object": row, "deed": deed,
            "form": form, "back": self.page_of(row), "next": request.GET.get("next", ""), **context,
        }  # fmt: skip
        return TemplateResponse(request, deed.template, shown, status=400 if form.errors else 200)
