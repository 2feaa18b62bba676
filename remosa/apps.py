"""The composition root as an app: its commands (run, simulator, seed_demo) and system checks."""

from django.apps import AppConfig, apps
from django.db.models.signals import post_migrate


class RemosaConfig(AppConfig):
    name = "remosa"
    label = "remosa"
    verbose_name = "REMOSA"

    def ready(self) -> None:
        from remosa import checks  # noqa: F401  registers the system checks
        from remosa.schedules import ensure_schedules_after_migrate

        # the signal is sent for apps with models, which this one has not: the queue's own, then
        queue = apps.get_app_config("django_q")
        post_migrate.connect(ensure_schedules_after_migrate, sender=queue, dispatch_uid="remosa.schedules")
