"""App configuration of ``devices``."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class DevicesConfig(AppConfig):
    name = "devices"
    verbose_name = _("Devices")

    def ready(self) -> None:
        from devices.services.templates import load_catalogue_after_migrate  # needs the app registry

        post_migrate.connect(load_catalogue_after_migrate, sender=self)
