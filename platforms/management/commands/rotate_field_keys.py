"""``manage.py rotate_field_keys``: write every stored secret anew with the first key."""

from typing import Any

from django.apps import apps
from django.core.management.base import BaseCommand

from remosa.lib.fields import EncryptedTextField, reencrypt


class Command(BaseCommand):
    help = "Re-encrypt all secrets with the first of FIELD_ENCRYPTION_KEYS. Then the old keys may be removed."

    def handle(self, *args: Any, **options: Any) -> None:
        for model in apps.get_models():
            for field in model._meta.concrete_fields:
                if isinstance(field, EncryptedTextField):
                    rows = reencrypt(model, field.name)
                    self.stdout.write(f"{model._meta.label}.{field.name}: {rows}")
