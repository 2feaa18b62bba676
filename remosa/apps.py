"""The composition root as an app: its commands (run, simulator, seed_demo) and system checks."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class RemosaConfig(AppConfig):
    name = "remosa"
    label = "remosa"
    verbose_name = "REMOSA"

    def ready(self) -> None:
        from remosa import checks  # noqa: F401  registers the system checks
        from remosa.schedules import ensure_schedules_after_migrate

        post_migrate.connect(ensure_schedules_after_migrate, sender=self)
