"""Guards asked inside the outbox's barrier: is the actor still allowed, is automation not stopped."""

from datetime import datetime
from typing import Any

from platforms.access import may
from platforms.models import User
from platforms.roles import Perm
from platforms.switches import stopping


def actor_still_may(command: Any, *, now: datetime) -> str | None:
    """A person who lost the right since the request, or is gone altogether, does not act any more.

    What nobody asks for in person has no actor: a job, and the ON that brings back what was switched off.
    """
    if command.source in (command.Source.JOB, command.Source.RESTORE):
        return None
    actor = User.objects.filter(pk=command.actor_id).first()
    if actor is None or not may(actor, Perm.CONTROL, command.platform_id):
        return "actor_lost_right"
    if not type(command.device)._default_manager.visible_to(actor).filter(pk=command.device_id).exists():
        return "actor_lost_right"
    return None


def automation_is_not_stopped(command: Any, *, now: datetime) -> str | None:
    """The kill switch stops what automation asked for; what a person asked for goes on."""
    if command.source != command.Source.JOB:
        return None
    devices = tuple(key for key in (command.device_id, command.target_id) if key is not None)
    switch = stopping(platform_id=command.platform_id, job_id=command.job_id, device_ids=devices, now=now)
    return f"kill_switch_{switch.scope}" if switch else None
