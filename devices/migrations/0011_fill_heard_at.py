from datetime import datetime

from django.db import migrations


def fill(apps, schema_editor):
    """The column takes over from the fact of the same name."""
    devices = apps.get_model("devices", "Device")
    for row in devices.objects.filter(kind="socket").only("pk", "facts").iterator():
        if heard_at := row.facts.get("heard_at"):
            devices.objects.filter(pk=row.pk).update(heard_at=datetime.fromisoformat(heard_at))


class Migration(migrations.Migration):
    dependencies = [("devices", "0010_sim_care")]

    operations = [migrations.RunPython(fill, migrations.RunPython.noop, elidable=True)]
