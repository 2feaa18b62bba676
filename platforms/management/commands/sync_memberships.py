"""``manage.py sync_memberships``: make the derived groups and grants equal to the memberships."""

from typing import Any

from django.core.management.base import BaseCommand

from platforms.models import Platform
from platforms.services import repair_groups


class Command(BaseCommand):
    help = "Repair the role groups of every platform from its memberships."

    def handle(self, *args: Any, **options: Any) -> None:
        repaired = sum(repair_groups(platform) for platform in Platform.objects.all())
        self.stdout.write(f"Repaired {repaired} people.")
