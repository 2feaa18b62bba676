"""Wake-ups follow the commit, and their loss hurts nobody."""

import logging

import pytest
from django.db import transaction
from django_q.brokers.orm import ORM
from django_q.conf import Conf
from django_q.models import OrmQ

from remosa.lib.tasks import later


@pytest.fixture
def orm_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    """The queue in the database, whatever broker the environment names."""
    monkeypatch.setattr(Conf, "ORM", "default")
    monkeypatch.setattr("django_q.tasks.get_broker", lambda cluster=None: ORM())


@pytest.mark.databases
@pytest.mark.django_db(transaction=True)
def test_a_wake_up_is_queued_only_after_the_commit(orm_broker: None) -> None:
    with transaction.atomic():
        later("sms.tasks.pump", 7)
        queued_inside = OrmQ.objects.count()

    assert queued_inside == 0
    task = OrmQ.objects.get().task
    assert (task["func"], task["args"]) == ("sms.tasks.pump", (7,))


@pytest.mark.django_db(transaction=True)
def test_a_rollback_wakes_nobody(orm_broker: None) -> None:
    with transaction.atomic():
        later("sms.tasks.pump")
        transaction.set_rollback(True)

    assert OrmQ.objects.count() == 0


@pytest.mark.django_db(transaction=True)
def test_a_dead_broker_is_logged_and_the_work_stays_committed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def dead(cluster: str | None = None) -> None:
        raise ConnectionError("no broker")

    monkeypatch.setattr("django_q.tasks.get_broker", dead)

    with caplog.at_level(logging.ERROR, logger="remosa.lib.tasks"), transaction.atomic():
        later("sms.tasks.pump", 7)

    assert "wake-up lost task=sms.tasks.pump ids=(7,)" in caplog.text
