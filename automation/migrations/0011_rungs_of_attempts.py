from django.db import migrations
from django.db.models import F


def number_the_steps(apps, schema_editor):
    """Until now each attempt was one step of the ladder."""
    apps.get_model("automation", "ActionRun").objects.filter(rung=0).update(rung=F("attempt"))


class Migration(migrations.Migration):
    dependencies = [("automation", "0010_ladder")]

    operations = [migrations.RunPython(number_the_steps, migrations.RunPython.noop)]
