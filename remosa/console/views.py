"""Pages of the console that belong to no model."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import check_for_language
from django.views.decorators.http import require_POST
from django.views.i18n import set_language as set_language_cookie

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
