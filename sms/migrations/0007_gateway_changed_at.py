import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("sms", "0006_pace_and_repeats")]

    operations = [
        migrations.AddField(
            model_name="gateway",
            name="changed_at",
            field=models.DateTimeField(auto_now=True, default=django.utils.timezone.now),
            preserve_default=False,
        )
    ]
