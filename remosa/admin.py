"""Pages of other people's apps: for the operator of REMOSA alone, or not at all.

What these tables hold belongs to no platform. Read last, after every app has registered its pages.
"""

from axes.models import AccessAttempt
from django.contrib import admin
from django.db.models import Model
from django_q.models import Failure

from platforms.admin_base import PlatformAdmin, SuperadminAdmin


def drop_foreign_pages(site: admin.AdminSite) -> list[type[Model]]:
    """Unregister every page that is not built on a base of ours; the models that lost theirs."""
    foreign = [
        model
        for model, page in site._registry.items()
        if not isinstance(page, PlatformAdmin | SuperadminAdmin)
    ]
    site.unregister(foreign)
    return foreign


drop_foreign_pages(admin.site)


@admin.register(Failure)
class FailedTaskAdmin(SuperadminAdmin):
    """Tasks of the queue that raised: read, and removed when they were seen to."""

    addable = changeable = False
    list_display = ("name", "func", "started", "stopped", "attempt_count")
    search_fields = ("name", "func")
    fields = readonly_fields = (
        "name",
        "func",
        "args",
        "kwargs",
        "started",
        "stopped",
        "result",
        "attempt_count",
    )


@admin.register(AccessAttempt)
class SignInAttemptAdmin(SuperadminAdmin):
    """Failed sign-ins; deleting a row lets that person try again."""

    addable = changeable = False
    list_display = ("attempt_time", "username", "ip_address", "failures_since_start")
    search_fields = ("username", "ip_address")
    fields = readonly_fields = (
        "attempt_time",
        "username",
        "ip_address",
        "failures_since_start",
        "user_agent",
    )
