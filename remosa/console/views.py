"""Pages of the console that belong to no model."""

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import check_for_language
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST
from django.views.i18n import set_language as set_language_cookie
from unfold.widgets import UnfoldAdminEmailInputWidget, UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from platforms import audit
from platforms.models import User
from remosa.console import home


@require_POST
def set_language(request: HttpRequest) -> HttpResponse:
    """Switch the language of this browser, and of the person: notices follow it too."""
    language = request.POST.get("language", "")
    if (
        request.user.is_authenticated
        and language in dict(settings.LANGUAGES)
        and check_for_language(language)
    ):
        User.objects.filter(pk=request.user.pk).update(language=language)
    return set_language_cookie(request)


def live(request: HttpRequest) -> HttpResponse:
    """The part of the home page that is refreshed every few seconds."""
    return TemplateResponse(request, "console/home_live.html", home.live_context(request))


class MySettingsForm(forms.ModelForm):
    """What a person sets for themselves."""

    class Meta:
        model = User
        fields = ("first_name", "last_name", "email", "language", "time_zone")
        widgets = {
            "first_name": UnfoldAdminTextInputWidget,
            "last_name": UnfoldAdminTextInputWidget,
            "email": UnfoldAdminEmailInputWidget,
            "language": UnfoldAdminSelectWidget,
            "time_zone": UnfoldAdminTextInputWidget,
        }


def my_settings(request: HttpRequest) -> HttpResponse:
    """A person's own name, address, language and time zone."""
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
        messages.success(request, _("Your settings are saved."))
        answer = HttpResponseRedirect(reverse("admin:my_settings"))
        answer.set_cookie(settings.LANGUAGE_COOKIE_NAME, person.language, samesite="Lax")
        return answer
    context: dict[str, Any] = {
        **admin.site.each_context(request), "title": _("My settings"), "form": form, "back": reverse("admin:index"),
    }  # fmt: skip
    return TemplateResponse(request, "console/my_settings.html", context, status=400 if form.errors else 200)
