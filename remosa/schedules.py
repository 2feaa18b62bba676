"""The minute sweeps that django-q2 runs: they find what a lost wake-up has left behind."""

from typing import Any

SWEEPS = {
    "automation sweep": "automation.tasks.sweep",
    "devices sweep": "devices.tasks.sweep",
    "outbox sweep": "sms.tasks.sweep",
    "audit sweep": "platforms.tasks.seal_audit",
    "keys sweep": "platforms.tasks.forget_keys",
    "limits sweep": "notifications.tasks.tell_limits",
    "notices sweep": "notifications.tasks.sweep",
}


def ensure_schedules() -> None:
    """Make each sweep a schedule of one minute; repeatable, and drops those that are not ours any more."""
    from django_q.models import Schedule  # after the apps are ready

    for name, func in SWEEPS.items():
        Schedule.objects.update_or_create(
            name=name, defaults={"func": func, "schedule_type": Schedule.MINUTES, "minutes": 1, "repeats": -1}
        )
    Schedule.objects.exclude(name__in=SWEEPS).filter(name__endswith=" sweep").delete()


def ensure_schedules_after_migrate(sender: Any, using: str, **kwargs: Any) -> None:
    """``post_migrate`` of the queue's own tables."""
    if using == "default":
        ensure_schedules()
