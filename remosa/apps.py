"""The composition root as an app: its commands (run, simulator, seed_demo) and system checks."""

from django.apps import AppConfig


class RemosaConfig(AppConfig):
    name = "remosa"
    label = "remosa"
    verbose_name = "REMOSA"

    def ready(self) -> None:
        from remosa import checks  # noqa: F401  registers the system checks
