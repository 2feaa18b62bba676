"""When a gateway was last asked what became of its messages."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("sms", "0003_gateway_breaker_since")]

    operations = [
        migrations.AddField(
            model_name="gateway",
            name="reports_polled_at",
            field=models.DateTimeField(editable=False, null=True, verbose_name="asked for reports"),
        ),
    ]
