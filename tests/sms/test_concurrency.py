"""Several pumps at once on the real database: each message once, the rate and the quota exact."""

import threading
from collections import Counter

import pytest
from django.db import connections

from platforms.errors import QuotaExceeded
from remosa.lib.clock import utcnow
from sms.models import Gateway, SmsMessage
from sms.outbox import Pump
from sms.services import poll_inbox
from sms.services.gateways import reserve_slot
from sms.states import SmsState
from tests.factories import make_platform
from tests.sms.fakes import make_fake, make_notice
from tests.sms.test_messages import usage

pytestmark = [pytest.mark.databases, pytest.mark.django_db(transaction=True)]
THREADS = 4


def at_once(work, *, threads: int = THREADS) -> list:
    """Run ``work(number)`` in so many threads from one starting shot; what they returned."""
    start, results = threading.Barrier(threads), []

    def run(number: int) -> None:
        try:
            start.wait()
            results.append(work(number))
        finally:
            connections.close_all()

    running = [threading.Thread(target=run, args=(number,)) for number in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    assert len(results) == threads
    return results


@pytest.fixture
def platform(fake):
    row = make_platform("crowded", sms_people_share_ratio=0.0)
    make_fake(row, rate_per_minute=10_000)
    return row


def test_each_message_is_sent_once(platform, fake):
    for _ in range(24):
        make_notice(platform, now=utcnow(), expires_at=None)

    at_once(lambda number: Pump(f"pump {number}").drain())

    assert set(Counter(SmsMessage.objects.values_list("state", flat=True))) == {SmsState.SENT}
    assert len(fake.sent) == 24
    assert usage(platform) == (0, 24)


def test_pool_of_one_pump_sends_each_message_once(platform, fake):
    for _ in range(12):
        make_notice(platform, now=utcnow(), expires_at=None)

    assert Pump("pool").run_once(threads=THREADS) == 12
    assert len(fake.sent) == 12


def test_rate_is_exact(platform, fake):
    Gateway.objects.update(rate_per_minute=42)
    message, now = make_notice(platform), utcnow()

    granted = at_once(lambda _number: sum(reserve_slot(message, now=now) is not None for _ in range(10)))

    assert sum(granted) == 7


def test_one_probe_only_reaches_a_suspended_gateway(platform, fake):
    now = utcnow()
    Gateway.objects.update(breaker=Gateway.Breaker.OPEN, breaker_until=now)
    message = make_notice(platform)

    granted = at_once(lambda _number: reserve_slot(message, now=now) is not None)

    assert sum(granted) == 1


def test_quota_is_exact(platform, fake):
    platform.sms_limit = 10
    platform.save()

    def ask(number: int) -> int:
        granted = 0
        for turn in range(6):
            try:
                make_notice(platform, dedupe_key=f"{number}:{turn}")
                granted += 1
            except QuotaExceeded:
                continue
        return granted

    assert sum(at_once(ask)) == 10
    assert usage(platform) == (10, 0)
    assert SmsMessage.objects.count() == 10


def test_one_key_at_once_is_one_message(platform, fake):
    ids = at_once(lambda _number: make_notice(platform, dedupe_key="same").pk)

    assert len(set(ids)) == 1
    assert usage(platform) == (1, 0)


def test_inbox_is_read_by_one_of_many(platform, fake):
    gateway, now = Gateway.objects.get(), utcnow()

    read = at_once(lambda _number: poll_inbox(gateway, now=now))

    assert sorted(read, key=str) == [0, None, None, None]


def test_reapers_settle_each_abandoned_message_once(platform, fake):
    for _ in range(6):
        make_notice(platform, now=utcnow(), expires_at=None)
    past = utcnow().replace(year=2000)
    SmsMessage.objects.update(state=SmsState.SENDING, lease_until=past)

    moved = at_once(lambda number: Pump(f"reaper {number}").reap())

    assert sum(moved) == 6
    assert usage(platform) == (0, 6)
