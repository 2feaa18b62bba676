"""The look of the console: django-unfold's settings."""

from typing import Any

from django.utils.translation import gettext_lazy as _

UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "REMOSA",
    "SITE_HEADER": "REMOSA",
    "SITE_SUBHEADER": _("remote monitoring and SMS automation"),
    "SHOW_HISTORY": False,
    "SHOW_VIEW_ON_SITE": False,
}
