"""What a round proves, over every kind of answer."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporters.errors import DEVICE_REASONS, UPSTREAM_REASONS, Reason
from exporters.ports import Observation, RoundResult, Status
from exporters.rounds import Suspicion, judge_round


def seen(number, word):
    """An observation from one word: a status, or the reason why there is none."""
    if word in ("online", "offline"):
        return Observation(f"id{number}", Status(word), {"name": "n"})
    return Observation(f"id{number}", Status.UNKNOWN, {}, Reason(word))


def make_result(*words, upstream_ok=True, upstream_reason="", complete=True):
    observations = tuple(seen(number, word) for number, word in enumerate(words))
    errors = Counter(str(one.reason) for one in observations if one.reason)
    return RoundResult(observations, (), errors, upstream_ok, upstream_reason, complete, 0.1)


def all_known(count, status="online"):
    return {f"id{number}": status for number in range(count)}


def test_a_round_with_every_answer_is_believed():
    judged = judge_round(make_result("online", "offline", "online"), all_known(3))

    assert judged.trustworthy
    assert (judged.upstream_ok, judged.upstream_reason) == (True, "")
    assert judged.counts() == {"online": 2, "offline": 1, "unknown": 0}


@pytest.mark.parametrize("reason", sorted(UPSTREAM_REASONS))
def test_more_than_half_without_an_answer_means_that_the_cms_failed(reason):
    judged = judge_round(make_result(reason, reason, reason, "online", "offline"), all_known(5))

    assert not judged.upstream_ok
    assert judged.upstream_reason == reason
    assert not judged.trustworthy
    assert not judged.complete


@pytest.mark.parametrize("reason", sorted(UPSTREAM_REASONS))
def test_half_without_an_answer_is_not_yet_a_failed_cms(reason):
    judged = judge_round(make_result(reason, reason, "online", "offline"), all_known(4))

    assert judged.upstream_ok


@pytest.mark.parametrize("reason", sorted(DEVICE_REASONS))
def test_a_reason_of_the_devices_does_not_blame_the_cms(reason):
    judged = judge_round(make_result(reason, reason, reason, "online"), {})

    assert judged.upstream_ok


def test_the_most_common_failure_is_the_reason():
    judged = judge_round(make_result("timeout", "http_5xx", "http_5xx", "online"), all_known(4))

    assert judged.upstream_reason == Reason.HTTP_5XX


def test_a_poller_that_understood_nothing_is_believed_without_targets():
    result = make_result(upstream_ok=False, upstream_reason=Reason.HTTP_401)

    judged = judge_round(result, {})

    assert (judged.upstream_ok, judged.upstream_reason) == (False, Reason.HTTP_401)


def test_an_exporter_without_targets_is_no_failure():
    judged = judge_round(make_result(), {})

    assert judged.trustworthy
    assert judged.counts() == {"online": 0, "offline": 0, "unknown": 0}


def test_an_empty_answer_is_suspect_and_nobody_is_offline():
    judged = judge_round(make_result("no_data", "no_data", "no_data"), all_known(3))

    assert judged.upstream_ok
    assert judged.suspicion is Suspicion.EMPTY_ANSWER
    assert judged.counts()["unknown"] == 3


@pytest.mark.parametrize(("missing", "suspicion"), [(4, Suspicion.NONE), (5, Suspicion.HALF_MISSING)])
def test_half_of_the_known_devices_missing_is_suspect(missing, suspicion):
    words = ["no_data"] * missing + ["offline"] * (10 - missing)

    assert judge_round(make_result(*words), all_known(10)).suspicion is suspicion


def test_one_of_two_devices_missing_is_a_device_that_was_deleted_there():
    judged = judge_round(make_result("no_data", "online"), all_known(2))

    assert judged.trustworthy


def test_devices_that_the_cms_never_knew_raise_no_suspicion():
    previous = {"id0": "online", "id1": "unknown", "id2": "unknown", "id3": "unknown"}

    judged = judge_round(make_result("offline", "no_data", "no_data", "no_data"), previous)

    assert judged.trustworthy


def test_a_first_round_that_names_nobody_is_suspect():
    judged = judge_round(make_result("no_data", "no_data"), {"id0": "unknown", "id1": "unknown"})

    assert judged.suspicion is Suspicion.EMPTY_ANSWER


def test_unanswered_questions_do_not_count_as_devices_that_were_named():
    words = ["no_data"] * 4 + ["http_5xx"] * 4 + ["offline"] * 3

    assert judge_round(make_result(*words), all_known(11)).suspicion is Suspicion.HALF_MISSING


def test_words_that_we_do_not_know_are_suspect():
    words = ["unknown_status", "unknown_status", "online"]

    assert judge_round(make_result(*words), all_known(3)).suspicion is Suspicion.STRANGE_WORDS


def test_everybody_offline_at_once_is_stated_and_stays_stated():
    """Whether to act on it is the mass guard's question, not this one's."""
    judged = judge_round(make_result(*["offline"] * 20), all_known(20))

    assert judged.trustworthy
    assert judged.counts()["offline"] == 20


def test_a_target_that_the_poller_forgot_is_unknown():
    judged = judge_round(make_result("online"), all_known(2))

    assert judged.observations[1] == Observation("id1", Status.UNKNOWN, {}, Reason.NO_DATA)


def test_a_status_with_a_reason_is_unknown_whatever_the_poller_says():
    wrong = Observation("id0", Status.OFFLINE, {}, Reason.TIMEOUT)

    judged = judge_round(RoundResult((wrong,), (), Counter(), True, "", True, 0.1), all_known(1))

    assert judged.observations[0].status is Status.UNKNOWN


WORDS = st.sampled_from(["online", "offline", *Reason])


@given(
    words=st.lists(WORDS, max_size=40),
    upstream_ok=st.booleans(),
    previous=st.lists(st.sampled_from(["online", "offline", "unknown"]), max_size=45),
)
def test_no_round_makes_a_device_offline_that_the_cms_did_not_call_offline(words, upstream_ok, previous):
    before = {f"id{number}": status for number, status in enumerate(previous)}

    judged = judge_round(make_result(*words, upstream_ok=upstream_ok, upstream_reason="timeout"), before)

    stated = {f"id{number}": word for number, word in enumerate(words)}
    ids = [one.external_id for one in judged.observations]
    assert len(ids) == len(set(ids))
    assert set(ids) == set(stated) | set(before)
    for one in judged.observations:
        word = stated.get(one.external_id, "no_data")
        assert one.status == (word if word in ("online", "offline") else "unknown")
    assert not (judged.suspect and not judged.upstream_ok)
