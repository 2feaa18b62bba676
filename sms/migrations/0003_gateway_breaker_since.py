"""When a gateway's breaker last opened: people are told since when a provider refuses."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("sms", "0002_modems")]

    operations = [
        migrations.AddField(
            model_name="gateway",
            name="breaker_since",
            field=models.DateTimeField(editable=False, null=True),
        ),
    ]
