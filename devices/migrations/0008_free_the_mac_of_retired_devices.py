from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("devices", "0007_device_recheck_since")]

    operations = [
        migrations.RemoveConstraint(model_name="device", name="device_mac_per_platform"),
        migrations.AddConstraint(
            model_name="device",
            constraint=models.UniqueConstraint(
                condition=models.Q(("is_active", True), models.Q(("mac", ""), _negated=True)),
                fields=("platform", "mac"),
                name="device_mac_is_bound_once",
                violation_error_message="Another device of this platform already has this MAC.",
            ),
        ),
    ]
