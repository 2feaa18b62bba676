"""Who sees which line of the sidebar, and what its badge says. Called by unfold with the request."""

from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from automation.models import Case
from automation.selectors import needing_a_person, with_proposals
from automation.states import LIVE
from notifications.models import Delivery
from platforms.console.grants import grants_of
from platforms.roles import Perm


def may_open(model_path: str) -> Callable[[HttpRequest], bool]:
    """A check whether the person may open the list of ``app.Model``."""
    app_label, model_name = model_path.split(".")

    def check(request: HttpRequest) -> bool:
        for model, page in admin.site._registry.items():
            if model._meta.app_label == app_label and model._meta.model_name == model_name:
                return bool(page.has_view_or_change_permission(request))
        return False

    return check


def is_superadmin(request: HttpRequest) -> bool:
    """Whether the person operates REMOSA."""
    return bool(request.user.is_active and request.user.is_superuser)


def has_several(request: HttpRequest) -> bool:
    """Whether the person works on more than one platform."""
    return len(grants_of(request).platforms(Perm.VIEW)) > 1


def sees_all(request: HttpRequest) -> bool:
    """Whether the person sees every device of some platform."""
    return grants_of(request).anywhere(Perm.SEE_ALL)


def listed(path: str, **query: str) -> Callable[[HttpRequest], bool]:
    """Whether the open page is the list at ``path`` narrowed by ``query``, or a page below it."""

    def check(request: HttpRequest) -> bool:
        if not request.path.startswith(path):
            return False
        return all(request.GET.get(key) == value for key, value in query.items())

    return check


def cases_badge(request: HttpRequest) -> str:
    """How many cases need somebody; "" for none."""
    return _once(request, "_cases_badge", lambda: _count_cases(request))


def _count_cases(request: HttpRequest) -> str:
    live = with_proposals(Case.objects.visible_to(request.user).filter(state__in=LIVE))
    return str(live.filter(needing_a_person()).count() or "")


def notices_badge(request: HttpRequest) -> str:
    """How many notices the person has not read; "" for none."""
    return _once(request, "_notices_badge", lambda: _count_notices(request))


def _count_notices(request: HttpRequest) -> str:
    own = grants_of(request).platforms(Perm.VIEW)
    rows = Delivery.objects.filter(
        user=request.user.pk, channel="console", read_at=None, notice__platform__in=own
    )
    return str(rows.count() or "")


def _once(request: HttpRequest, name: str, count: Callable[[], str]) -> str:
    if not hasattr(request, name):
        setattr(request, name, count())
    found: Any = getattr(request, name)
    return str(found)
