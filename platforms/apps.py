"""App configuration of ``platforms``."""

from django.apps import AppConfig
from django.contrib.auth.signals import user_logged_in
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class PlatformsConfig(AppConfig):
    name = "platforms"
    verbose_name = _("Platforms and people")

    def ready(self) -> None:
        from platforms import checks  # noqa: F401  registers the system checks
        from platforms.console.confirmation import mark_sign_in

        user_logged_in.connect(mark_sign_in, dispatch_uid="platforms.confirmation")
        from platforms.audit_triggers import install_after_migrate

        post_migrate.connect(install_after_migrate, sender=self, dispatch_uid="platforms.audit_triggers")
