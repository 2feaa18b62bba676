"""After ``migrate`` the queue has every sweep, and none that is not ours any more."""

import pytest
from django.core.management.sql import emit_post_migrate_signal
from django_q.models import Schedule

from remosa.schedules import SWEEPS


@pytest.mark.django_db
def test_a_migrated_database_has_every_sweep_once_a_minute() -> None:
    Schedule.objects.all().delete()
    Schedule.objects.create(name="forgotten sweep", func="nowhere.sweep", schedule_type=Schedule.MINUTES)

    for _again in range(2):
        emit_post_migrate_signal(verbosity=0, interactive=False, db="default")

    rows = Schedule.objects.values_list("name", "func", "schedule_type", "minutes", "repeats")
    assert sorted(rows) == sorted((name, func, "I", 1, -1) for name, func in SWEEPS.items())
