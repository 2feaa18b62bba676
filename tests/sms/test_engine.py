"""What becomes of a message after one try."""

from datetime import timedelta

import pytest

from sms.engine import Tries, settle
from sms.errors import GatewayError
from sms.states import SmsState
from tests.factories import NOW

LEFT = Tries(made=1, allowed=5, expires_at=NOW + timedelta(minutes=5))
SPENT = Tries(made=5, allowed=5, expires_at=NOW + timedelta(minutes=5))
LATE = Tries(made=1, allowed=5, expires_at=NOW + timedelta(seconds=1))


def after(error, tries=LEFT, *, other_gateway=False, jitter=0.999):
    return settle(error, tries, other_gateway=other_gateway, jitter=jitter, now=NOW)


@pytest.mark.parametrize("tries", [LEFT, SPENT, LATE])
def test_accepted_is_sent_and_spent(tries):
    assert (after(None, tries).state, after(None, tries).spent) == (SmsState.SENT, True)


@pytest.mark.parametrize("tries", [LEFT, SPENT, LATE])
def test_unknown_is_never_tried_again_and_spent(tries):
    verdict = after(GatewayError("deadline", outcome="unknown"), tries, other_gateway=True)

    assert (verdict.state, verdict.spent, verdict.reason) == (SmsState.UNKNOWN, True, "deadline")


@pytest.mark.parametrize("tries", [LEFT, SPENT, LATE])
def test_rejected_fails_and_is_given_back(tries):
    verdict = after(GatewayError("http_400", outcome="rejected"), tries, other_gateway=True)

    assert (verdict.state, verdict.spent) == (SmsState.FAILED, False)


def test_wrong_key_goes_to_another_gateway_at_once():
    error = GatewayError("http_401", outcome="rejected", breaks=True)

    verdict = after(error, other_gateway=True)

    assert (verdict.state, verdict.spent, verdict.next_attempt_at) == (SmsState.QUEUED, None, NOW)


def test_wrong_key_without_another_gateway_fails():
    error = GatewayError("http_401", outcome="rejected", breaks=True)

    assert after(error, other_gateway=False).state == SmsState.FAILED


def test_not_sent_waits_longer_each_time_within_the_cap():
    error = GatewayError("refused", outcome="not_sent")

    waits = [
        (after(error, Tries(made, 99, NOW + timedelta(hours=1))).next_attempt_at - NOW).total_seconds()
        for made in range(1, 8)
    ]

    assert [round(wait) for wait in waits] == [2, 4, 8, 16, 32, 60, 60]


def test_gateways_wish_to_wait_is_obeyed_when_longer():
    error = GatewayError("http_429", outcome="not_sent", retry_after_s=30)

    assert after(error).next_attempt_at == NOW + timedelta(seconds=30)


@pytest.mark.parametrize(("tries", "reason"), [(SPENT, "no tries left"), (LATE, "no time left")])
def test_not_sent_fails_when_tries_or_time_are_spent(tries, reason):
    verdict = after(GatewayError("refused", outcome="not_sent"), tries)

    assert (verdict.state, verdict.spent) == (SmsState.FAILED, False)
    assert reason in verdict.reason


def test_nothing_is_tried_past_its_expiry():
    error = GatewayError("http_429", outcome="not_sent", retry_after_s=301)

    assert after(error).state == SmsState.FAILED
