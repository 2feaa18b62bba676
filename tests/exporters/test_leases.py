"""Who polls what: an exporter has one poller at a time, and never none for long."""

import threading
from datetime import timedelta

import pytest
from django.db import connection

from exporters.models import Exporter
from exporters.services import claim_due, release_leases, renew_leases
from tests.factories import NOW, make_device, make_exporter, make_target

pytestmark = [pytest.mark.django_db, pytest.mark.databases]
LEASE = timedelta(seconds=30)


def claim(owner="me", now=NOW, **over):
    return [work.exporter_id for work in claim_due(owner=owner, now=now, lease=LEASE, limit=100, **over)]


def test_a_new_exporter_is_polled_at_once_and_then_on_its_interval(north):
    exporter = make_exporter(north, interval_s=60)

    assert claim() == [exporter.pk]
    release_leases(owner="me", now=NOW + timedelta(seconds=60))
    exporter.refresh_from_db()
    assert exporter.next_poll_at == NOW + timedelta(seconds=60)


def test_the_next_round_is_an_interval_after_the_start_with_little_jitter(north):
    for _number in range(20):
        make_exporter(north, interval_s=10)

    claim()

    waits = [(at - NOW).total_seconds() for at in Exporter.objects.values_list("next_poll_at", flat=True)]
    assert all(10 <= wait <= 10.5 for wait in waits)
    assert len(set(waits)) > 10


@pytest.mark.parametrize(
    "fields",
    [
        {"is_enabled": False},
        {"next_poll_at": NOW + timedelta(seconds=1)},
        {"lease_owner": "other", "lease_until": NOW + timedelta(seconds=1)},
        {"lease_owner": "other", "lease_until": NOW + timedelta(seconds=1), "next_poll_at": NOW - LEASE},
    ],
)
def test_what_is_not_due_is_left_alone(north, fields):
    make_exporter(north, **fields)

    assert claim() == []


def test_a_platform_that_is_switched_off_is_not_polled(north):
    make_exporter(north)
    type(north).objects.update(is_active=False)

    assert claim() == []


def test_an_abandoned_round_does_not_wait_for_its_next_turn(north):
    exporter = make_exporter(north, interval_s=86_400)
    claim("killed")

    before, after = claim(now=NOW + LEASE), claim(now=NOW + LEASE + timedelta(microseconds=1))

    assert (before, after) == ([], [exporter.pk])


def test_the_longest_waiting_come_first(north):
    late = make_exporter(north, next_poll_at=NOW - timedelta(seconds=1))
    later = make_exporter(north, next_poll_at=NOW - timedelta(seconds=5))
    new = make_exporter(north)

    works = claim_due(owner="me", now=NOW, lease=LEASE, limit=2)

    assert {work.exporter_id for work in works} == {new.pk, later.pk}
    assert claim() == [late.pk]


def test_the_unanswered_targets_are_asked_first(north):
    exporter = make_exporter(north)
    for age_s in (10, 99, None, 50):
        seen = None if age_s is None else NOW - timedelta(seconds=age_s)
        make_target(exporter, make_device(north), external_id=str(age_s), noted_at=seen)

    (work,) = claim_due(owner="me", now=NOW, lease=LEASE, limit=1)

    assert [target.external_id for target in work.targets] == ["None", "99", "50", "10"]


def test_a_round_ends_before_its_snapshot_is_stale(north):
    for interval_s, timeout_s in ((30, 15), (2, 15), (0.5, 0.3)):
        exporter = make_exporter(north, interval_s=interval_s, timeout_s=timeout_s)

        assert exporter.poll_settings.round_timeout_s <= exporter.max_age.total_seconds()


def test_a_secret_that_cannot_be_read_is_a_trouble_of_its_own_exporter_only(north):
    broken, well = make_exporter(north), make_exporter(north)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE exporters_exporter SET secret = 'c4nary' WHERE id = %s", [broken.pk])

    works = {work.exporter_id: work for work in claim_due(owner="me", now=NOW, lease=LEASE, limit=9)}

    assert "enter the secret again" in works[broken.pk].trouble
    assert works[well.pk].trouble == ""
    assert "c4nary" not in repr(works[broken.pk])


def test_renewing_tells_which_leases_are_lost(north):
    kept, lost = make_exporter(north), make_exporter(north)
    claim()
    Exporter.objects.filter(pk=lost.pk).update(lease_owner="other")

    ours = renew_leases(owner="me", exporter_ids=[kept.pk, lost.pk], until=NOW + 5 * LEASE)

    assert ours == {kept.pk}
    assert Exporter.objects.get(pk=kept.pk).lease_until == NOW + 5 * LEASE
    assert Exporter.objects.get(pk=lost.pk).lease_until == NOW + LEASE


def test_released_exporters_are_due_again_and_those_of_others_are_not(north):
    mine, other = make_exporter(north), make_exporter(north)
    claim(only=[mine.pk])
    claim("other")

    assert release_leases(owner="me", now=NOW) == 1
    assert claim() == [mine.pk]
    assert Exporter.objects.get(pk=other.pk).lease_owner == "other"


@pytest.mark.django_db(transaction=True)
def test_many_pollers_at_once_share_the_exporters_without_a_double(north):
    for _number in range(12):
        make_exporter(north)
    gate, claims = threading.Barrier(6), []

    def poller(name):
        try:
            gate.wait()
            claims.append(claim(name))
        finally:
            connection.close()

    threads = [threading.Thread(target=poller, args=[f"poller {number}"]) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(claims) == 6
    assert sorted(pk for taken in claims for pk in taken) == sorted(
        Exporter.objects.values_list("pk", flat=True)
    )
