"""Filters of the list of devices that a person keeps under a name: their own, and only an address."""

from datetime import datetime
from typing import Any

from django.db import transaction
from django.http import QueryDict
from django.utils.translation import gettext as _

from devices.errors import DevicesError
from devices.models import SavedFilter

NOT_KEPT = ("p", "e", "all", "_popup", "_to_field")  # the page's own words, which filter nothing
MOST = 30  # filters of one person


class TooManyFilters(DevicesError):
    """A person keeps as many as they can."""


def tidy(query: str) -> str:
    """The part of an address that filters, in one order."""
    given = QueryDict(query.removeprefix("?"), mutable=True)
    for name in NOT_KEPT:
        given.pop(name, None)
    return "&".join(sorted(part for part in given.urlencode().split("&") if not part.endswith("=")))


def keep_filter(*, user: Any, name: str, query: str, now: datetime) -> SavedFilter:
    """Keep ``query`` as ``name``, in the place of an older one of that name; raises TooManyFilters."""
    with transaction.atomic():
        own = SavedFilter.objects.filter(user=user)
        if own.exclude(name=name).count() >= MOST:
            raise TooManyFilters(_("At most %(most)d filters. Forget one first.") % {"most": MOST})
        row, _created = SavedFilter.objects.update_or_create(
            user=user, name=name, defaults={"query": query, "created_at": now}
        )
    return row
