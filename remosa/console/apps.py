"""Puts the console's own site where Django looks for the admin site."""

from django.contrib.admin.apps import AdminConfig


class ConsoleConfig(AdminConfig):
    default_site = "remosa.console.site.ConsoleSite"
