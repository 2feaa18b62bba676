"""A round in the tables: what is seen is kept, what nobody could say is UNKNOWN, never offline."""

import gzip
import random
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import connection

from devices.models import Device
from exporters.errors import UPSTREAM_REASONS, Reason
from exporters.models import Exporter, ExporterTarget, FoundDevice, PollRound, Snapshot
from exporters.ports import Observation, RoundResult, Status, Target
from exporters.rounds import failed_round
from exporters.selectors import served_exporter
from exporters.services import (
    add_targets,
    claim_due,
    correct_target,
    poll_now,
    remove_targets,
    rounds,
    store_round,
)
from exporters.services.rounds import KEEP_ROUNDS, refresh_snapshot
from exporters.serving import exposition_of
from exporters.signals import round_finished
from tests.factories import make_device, make_exporter, make_target

pytestmark = [pytest.mark.django_db, pytest.mark.databases]

START = datetime(2100, 3, 3, 12, 0, tzinfo=UTC)  # after whatever the tables stamp themselves
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def make_fleet(platform, count=3, **fields):
    """An exporter with ``count`` targets that were there long before."""
    exporter = make_exporter(platform, **fields)
    for _number in range(count):
        make_target(exporter, make_device(platform))
    return exporter


def ids_of(exporter):
    return list(exporter.targets.order_by("pk").values_list("external_id", flat=True))


def answer(exporter, *words, **over):
    """A round that says ``words`` of the targets: a status, a reason, or an Observation with facts."""
    observations = [
        word
        if isinstance(word, Observation)
        else Observation(key, Status(word))
        if word in ("online", "offline")
        else Observation(key, Status.UNKNOWN, reason=Reason(word))
        for key, word in zip(ids_of(exporter), words, strict=False)
    ]
    errors = Counter(str(one.reason) for one in observations if one.reason)
    return replace(RoundResult(tuple(observations), (), errors, True, "", True, 0.25), **over)


def store(exporter, result, at=START, **over):
    return store_round(
        exporter_id=exporter.pk, result=result, started_at=at, finished_at=at + timedelta(seconds=1), **over
    )


def states(exporter):
    return list(exporter.targets.order_by("pk").values_list("device__state", flat=True))


def text_of(exporter, now=START):
    return exposition_of(
        served_exporter(platform_id=exporter.platform_id, exporter_id=exporter.pk),
        now=now,
        openmetrics=False,
        compressed=False,
    ).decode()


def test_a_good_round_reaches_every_table(north):
    exporter = make_fleet(north, 2)
    first = ids_of(exporter)[0]
    facts = {"name": "Касса", "ip": "10.0.0.7", "last_online_at": START}

    stored = store(exporter, answer(exporter, Observation(first, Status.ONLINE, facts), "offline"))

    exporter.refresh_from_db()
    device = Device.objects.get(mac=first)
    target = exporter.targets.get(external_id=first)
    assert states(exporter) == ["online", "offline"]
    assert (device.observed_at, device.state_source) == (START, f"exporter:{exporter.pk}")
    assert device.facts == {"name": "Касса", "ip": "10.0.0.7"}
    assert (target.status, target.stated, target.observed_at, target.status_since) == (
        "online", "online", START, START,
    )  # fmt: skip
    assert target.facts == {"name": "Касса", "ip": "10.0.0.7", "last_online_at": START.isoformat()}
    assert (exporter.is_up, exporter.suspect_reason, exporter.last_error) == (True, "", "")
    assert exporter.last_round_at == exporter.last_success_at == exporter.up_since == stored.finished_at
    assert (stored.targets, stored.online, stored.offline, stored.unknown) == (2, 1, 1, 0)
    assert (
        f'device_status{{platform_id="{north.pk}",exporter_id="{exporter.pk}",mac="{first}"}} 1'
        in text_of(exporter)
    )


@pytest.mark.parametrize("reason", sorted(UPSTREAM_REASONS))
def test_a_failed_round_makes_everybody_unknown_and_nobody_offline(north, reason):
    exporter = make_fleet(north, 3)
    store(exporter, answer(exporter, "online", "offline", "online"))
    later = START + timedelta(seconds=30)

    store(
        exporter, answer(exporter, reason, reason, reason, upstream_ok=False, upstream_reason=reason), later
    )

    exporter.refresh_from_db()
    targets = list(exporter.targets.order_by("pk"))
    assert states(exporter) == ["unknown"] * 3
    assert [target.stated for target in targets] == ["online", "offline", "online"]
    assert {target.observed_at for target in targets} == {START}
    assert {target.reason for target in targets} == {reason}
    assert set(Device.objects.values_list(Device.OBSERVED_AT, flat=True)) == {START}
    assert (exporter.is_up, exporter.last_error, exporter.up_since) == (False, reason, None)
    assert exporter.last_success_at == START + timedelta(seconds=1)
    assert "device_status{" not in text_of(exporter, later)
    assert text_of(exporter, later).count("device_info{") == 3


def test_a_missing_answer_makes_only_its_own_device_unknown(north):
    exporter = make_fleet(north, 3)

    store(exporter, answer(exporter, "online", "timeout", "offline"))

    assert states(exporter) == ["online", "unknown", "offline"]


def test_facts_and_names_survive_an_outage(north):
    exporter = make_fleet(north, 1)
    (key,) = ids_of(exporter)
    store(exporter, answer(exporter, Observation(key, Status.ONLINE, {"name": "Касса", "outip": "1.2.3.4"})))

    store(exporter, answer(exporter, "timeout", upstream_ok=False, upstream_reason="timeout"))

    assert f'mac="{key}",name="Касса",ip="",outip="1.2.3.4"}} 1' in text_of(exporter)


def test_a_device_without_a_name_in_the_cms_bears_ours(north):
    exporter = make_exporter(north)
    make_target(exporter, make_device(north, name="Витрина «Юг»"))

    store(exporter, answer(exporter, "online"))

    assert 'name="Витрина «Юг»"' in text_of(exporter)


def test_a_device_named_after_its_mac_takes_the_name_of_the_cms(north):
    exporter = make_exporter(north)
    add_targets(exporter=exporter, lines="02:00:00:00:00:01\n02:00:00:00:00:02 Витрина")
    seen = [Observation(key, Status.ONLINE, {"name": f"CMS {key[-1]}"}) for key in ids_of(exporter)]

    store(exporter, answer(exporter, *seen))

    assert sorted(Device.objects.values_list("name", flat=True)) == ["CMS 1", "Витрина"]


def test_half_a_list_puts_the_cms_in_doubt(north):
    exporter = make_fleet(north, 4)
    store(exporter, answer(exporter, *["online"] * 4))

    store(
        exporter, answer(exporter, "online", "offline", "no_data", "no_data"), START + timedelta(seconds=30)
    )

    exporter.refresh_from_db()
    assert (exporter.is_up, exporter.suspect_reason) == (True, "half_missing")
    assert exporter.last_success_at == START + timedelta(seconds=1)
    assert exporter.up_since is None
    assert states(exporter) == ["online", "offline", "unknown", "unknown"]
    assert f'remosa_exporter_up{{platform_id="{north.pk}",exporter_id="{exporter.pk}"}} 0' in text_of(
        exporter
    )


def test_a_lasting_outage_does_not_become_plausible(north):
    exporter = make_fleet(north, 4)
    store(exporter, answer(exporter, *["online"] * 4))
    for number in range(1, 4):
        store(exporter, answer(exporter, *["no_data"] * 4), START + timedelta(seconds=30 * number))

        exporter.refresh_from_db()
        assert exporter.suspect_reason == "empty_answer"


def test_recovery_is_up_since_its_first_good_round(north):
    exporter = make_fleet(north, 2)
    for number, words in enumerate((["timeout"] * 2, ["online"] * 2, ["online"] * 2)):
        store(exporter, answer(exporter, *words), START + timedelta(seconds=30 * number))

    exporter.refresh_from_db()
    assert exporter.up_since == START + timedelta(seconds=31)


def test_a_target_deleted_in_mid_round_stays_deleted(north):
    exporter = make_fleet(north, 3)
    result = answer(exporter, "online", "online", "online")
    gone = exporter.targets.order_by("pk").first()
    gone.delete()

    stored = store(exporter, result)

    assert stored.targets == 2
    assert not ExporterTarget.objects.filter(external_id=gone.external_id).exists()
    assert gone.external_id not in text_of(exporter)
    assert Device.objects.get(mac=gone.external_id).state == "unknown"


def test_a_target_added_in_mid_round_waits_for_the_next(north):
    exporter = make_fleet(north, 1)
    result = answer(exporter, "online")
    begun = datetime.now(UTC)
    add_targets(exporter=exporter, lines="02:00:00:00:00:01\n02:00:00:00:00:02")

    stored = store(exporter, result, at=begun)

    exporter.refresh_from_db()
    assert (stored.targets, stored.unknown, exporter.suspect_reason) == (1, 0, "")
    assert set(exporter.targets.values_list("reason", flat=True)) == {""}


def test_a_device_out_of_service_is_left_out(north):
    exporter = make_fleet(north, 2)
    result = answer(exporter, "online", "online")
    Device.objects.filter(mac=ids_of(exporter)[0]).update(is_active=False)

    assert store(exporter, result).targets == 1


def test_a_round_of_an_exporter_that_is_gone_is_dropped(north):
    exporter = make_fleet(north, 1)
    result = answer(exporter, "online")
    Exporter.objects.all().delete()

    assert store(exporter, result) is None


def test_a_poller_that_lost_its_lease_stores_nothing(north):
    exporter = make_fleet(north, 1)
    claim_due(owner="slow", now=START, lease=timedelta(seconds=10), limit=1)
    claim_due(owner="quick", now=START + timedelta(seconds=11), lease=timedelta(seconds=10), limit=1)

    late = store(exporter, answer(exporter, "offline"), owner="slow")
    right = store(exporter, answer(exporter, "online"), owner="quick")
    twice = store(exporter, answer(exporter, "offline"), owner="quick")

    assert (late, right is not None, twice) == (None, True, None)
    assert states(exporter) == ["online"]
    assert PollRound.objects.count() == 1


def test_the_lease_ends_with_the_round_and_poll_now_is_not_forgotten(north):
    exporter = make_fleet(north, 1, interval_s=600)
    claim_due(owner="me", now=START, lease=timedelta(seconds=30), limit=1)
    Exporter.objects.update(next_poll_at=START + timedelta(seconds=2))  # somebody presses "poll now"

    store(exporter, answer(exporter, "online"), owner="me")

    exporter.refresh_from_db()
    assert (exporter.lease_owner, exporter.lease_until) == ("", None)
    assert Exporter.objects.due(START + timedelta(seconds=3)).exists()


def test_a_sentence_about_the_settings_is_kept_for_people(north):
    exporter = make_fleet(north, 2)
    result = failed_round([Target(key) for key in ids_of(exporter)], Reason.BAD_SETTINGS, duration_s=0.0)

    store(exporter, result, note="Enter the token.")

    exporter.refresh_from_db()
    assert (exporter.is_up, exporter.last_error) == (False, "Enter the token.")
    assert exporter.snapshot.errors_total == {"bad_settings": 1}


def test_errors_are_counted_for_ever_and_the_version_changes(north):
    exporter = make_fleet(north, 3)
    versions = set()
    for number in range(3):
        store(exporter, answer(exporter, "online", "online", "timeout"), START + timedelta(seconds=number))
        versions.add(Snapshot.objects.get().version)

    assert Snapshot.objects.get().errors_total == {"timeout": 3}
    assert len(versions) == 3
    assert "errors_total{" in text_of(exporter)


def test_the_bell_rings_once_after_the_commit(north, django_capture_on_commit_callbacks):
    exporter, heard = make_fleet(north, 1), []

    def listen(sender, *, exporter_id, **kwargs):
        heard.append(exporter_id)

    round_finished.connect(listen)
    try:
        with django_capture_on_commit_callbacks(execute=True):
            store(exporter, answer(exporter, "online"))
            assert heard == []
    finally:
        round_finished.disconnect(listen)

    assert heard == [exporter.pk]


def test_a_device_that_another_cms_answers_for_is_not_unknown(north):
    one, two = make_exporter(north, interval_s=30), make_exporter(north, interval_s=30)
    device = make_device(north)
    make_target(one, device)
    make_target(two, device)
    store(one, answer(one, "online"))

    store(two, answer(two, "timeout"), START + timedelta(seconds=20))
    still = Device.objects.get(pk=device.pk).state
    store(two, answer(two, "timeout"), START + timedelta(seconds=200))

    assert (still, Device.objects.get(pk=device.pk).state) == ("online", "unknown")


def test_found_devices_wait_until_they_are_added_or_gone(north):
    exporter = make_fleet(north, 2)
    taken = ids_of(exporter)[0]

    store(exporter, answer(exporter, "online", "online", found=(Target("7", "Вход"), Target(taken, "x"))))
    store(exporter, answer(exporter, "online", "online", found=(Target("7", "Вход 2"), Target("8"))))
    seen = list(exporter.found.order_by("external_id").values_list("external_id", "name"))
    store(exporter, answer(exporter, "timeout", "timeout", complete=False))
    after_outage = exporter.found.count()
    store(exporter, answer(exporter, "online", "online", found=(Target("8"),)))

    assert seen == [("7", "Вход 2"), ("8", "")]
    assert after_outage == 2
    assert [found.external_id for found in FoundDevice.objects.all()] == ["8"]


def test_old_rounds_are_pruned(north):
    exporter = make_fleet(north, 1, interval_s=10)
    for moment in (START - timedelta(seconds=10 * KEEP_ROUNDS + 5), START - timedelta(seconds=60), START):
        store(exporter, answer(exporter, "online"), moment)

    assert [row.started_at for row in PollRound.objects.order_by("started_at")] == [
        START - timedelta(seconds=60), START,
    ]  # fmt: skip


def test_a_steady_round_costs_the_same_statements_for_any_number_of_targets(
    north, django_assert_max_num_queries
):
    type(north).objects.update(device_limit=1000)
    north.refresh_from_db()
    exporter = make_fleet(north, 60)
    store(exporter, answer(exporter, *["online"] * 60))

    with django_assert_max_num_queries(22):
        store(exporter, answer(exporter, *["online"] * 60), START + timedelta(seconds=30))

    assert set(exporter.targets.values_list(ExporterTarget.OBSERVED_AT, flat=True)) == {
        START + timedelta(seconds=30)
    }
    assert set(Device.objects.values_list(Device.OBSERVED_AT, flat=True)) == {START + timedelta(seconds=30)}


def test_the_served_body_is_compressed_once(north):
    exporter = make_fleet(north, 3)
    store(exporter, answer(exporter, "online", "offline", "timeout"))
    rows = served_exporter(platform_id=exporter.platform_id, exporter_id=exporter.pk)

    compressed = exposition_of(rows, now=START, openmetrics=False, compressed=True)

    assert gzip.decompress(compressed).decode() == text_of(exporter)


# --- what must not outlive its answer --------------------------------------------------------------------


def body_of(exporter, now=START + timedelta(seconds=2)):
    found = served_exporter(platform_id=exporter.platform_id, exporter_id=exporter.pk)
    return exposition_of(found, now=now, openmetrics=False, compressed=False).decode()


def test_a_number_counts_for_its_own_answer_only(north):
    exporter = make_fleet(north, 1, kind="addreality", secret="t")
    (key,) = ids_of(exporter)
    store(exporter, answer(exporter, Observation(key, Status.ONLINE, {"player_status": 1, "name": "Вход"})))
    assert "remosa_exporter_addreality_player_status{" in body_of(exporter)

    store(exporter, answer(exporter, Observation(key, Status.ONLINE)), at=START + timedelta(seconds=30))

    text = body_of(exporter, now=START + timedelta(seconds=32))
    assert "remosa_exporter_addreality_player_status{" not in text
    assert 'name="Вход"' in text  # a fact stays until another one is told


def test_who_was_taken_off_is_not_served_any_more(north, alice):
    exporter = make_fleet(north, 2)
    gone, stays = ids_of(exporter)
    store(exporter, answer(exporter, "online", "offline"))
    taken_at = Snapshot.objects.get(exporter=exporter).taken_at

    remove_targets(exporter=exporter, external_ids=[gone], by=alice)

    text = body_of(exporter)
    assert gone not in text
    assert text.count(stays) == 2
    assert 'state="online"} 0' in text
    assert Snapshot.objects.get(exporter=exporter).taken_at == taken_at


def test_a_corrected_id_is_unknown_until_it_is_asked_for(north, alice):
    exporter = make_fleet(north, 1)
    (target,) = exporter.targets.all()
    store(exporter, answer(exporter, "online"))

    correct_target(target, external_id="AA-BB-CC-00-00-99", by=alice)

    target.refresh_from_db()
    assert (target.external_id, target.status) == ("aa:bb:cc:00:00:99", "unknown")
    assert (target.device.mac, Device.objects.get(pk=target.device_id).state) == (
        "aa:bb:cc:00:00:99",
        "unknown",
    )
    assert "remosa_exporter_cubic_device_status{" not in body_of(exporter)
    assert Exporter.objects.get(pk=exporter.pk).next_poll_at is None


def test_an_id_that_is_taken_or_none_is_no_correction(north, alice):
    exporter = make_fleet(north, 2)
    first, second = exporter.targets.order_by("pk")

    for wrong in (second.external_id, "nonsense"):
        with pytest.raises(ValidationError):
            correct_target(first, external_id=wrong, by=alice)

    assert first.external_id in ids_of(exporter)


# --- a CMS in trouble ----------------------------------------------------------------------------------


def test_a_cms_that_keeps_failing_is_asked_less_often_and_carefully(north):
    exporter = make_fleet(north, 1, interval_s=30, timeout_s=15)
    pauses = []
    for number in range(8):
        at = START + timedelta(hours=number)
        (work,) = claim_due(owner="me", now=at, lease=timedelta(seconds=60), limit=1)
        store(exporter, failed_round(work.targets, Reason.HTTP_5XX, duration_s=1), at=at, owner="me")
        exporter.refresh_from_db()
        pauses.append(round((exporter.next_poll_at - at).total_seconds()))

    assert [30 <= pause <= 32 for pause in pauses[:2]] == [True, True]
    assert pauses[2:4] == [60, 120]
    assert pauses[-1] == 2 * (2 * 30 + 15)  # the console would call a longer silence a dead poller
    assert work.settings.is_cautious

    at = START + timedelta(hours=9)
    claim_due(owner="me", now=at, lease=timedelta(seconds=60), limit=1)
    store(exporter, answer(exporter, "online"), at=at, owner="me")
    exporter.refresh_from_db()
    assert exporter.failures == 0
    assert exporter.next_poll_at - at <= timedelta(seconds=32)
    assert not exporter.poll_settings.is_cautious


def test_poll_now_breaks_the_pause(north):
    exporter = make_fleet(north, 1, failures=9)
    (work,) = claim_due(owner="me", now=START, lease=timedelta(seconds=60), limit=1)
    poll_now(exporter)

    store(exporter, failed_round(work.targets, Reason.TIMEOUT, duration_s=1), owner="me")

    exporter.refresh_from_db()
    assert exporter.next_poll_at is None


def test_a_list_that_may_go_on_is_said_to_be_truncated(north):
    exporter = make_fleet(north, 1)

    store(exporter, answer(exporter, "online", is_truncated=True, latency_s=0.2))

    exporter.refresh_from_db()
    assert exporter.is_truncated
    assert exporter.rounds.get().latency_s == 0.2


# --- limits and old names --------------------------------------------------------------------------------


def test_an_exporter_over_the_limit_of_series_is_not_shown_and_says_so(north):
    small, large = make_fleet(north, 1), make_fleet(north, 3)
    north.series_limit = 6
    north.save()
    store(small, answer(small, "online"))
    store(large, answer(large, "online", "offline", "online"))

    text = body_of(large)
    large.refresh_from_db()
    assert large.refused_series == 6
    assert "cubic_device" not in text
    assert f'remosa_exporter_refused_series{{platform_id="{north.pk}",exporter_id="{large.pk}"}} 6\n' in text
    assert "remosa_exporter_up{" in text
    assert set(Device.objects.filter(targets__exporter=large).values_list("state", flat=True)) == {
        "online",
        "offline",
    }  # what is judged does not depend on it
    assert "cubic_device_status{" in body_of(small)

    north.series_limit = 8
    north.save()
    store(large, answer(large, "online", "offline", "online"), at=START + timedelta(seconds=30))

    assert body_of(large, now=START + timedelta(seconds=31)).count("cubic_device_status{") == 3
    assert "refused_series" not in body_of(large)


def test_the_old_names_are_there_for_who_wants_them(north):
    exporter = make_fleet(north, 3, has_old_names=True)
    one, two, three = ids_of(exporter)
    store(
        exporter,
        answer(
            exporter,
            Observation(one, Status.ONLINE, {"name": "Касса", "ip": "10.0.0.1"}),
            Observation(two, Status.OFFLINE, {"name": "Касса"}),
            Observation(three, Status.UNKNOWN, {"name": "Вход"}, "no_data"),
        ),
    )

    text = body_of(exporter)
    place = f'platform_id="{north.pk}",exporter_id="{exporter.pk}"'
    assert f'json_exporter_device_status{{name="Касса ({one})",{place}}} 1\n' in text
    assert f'json_exporter_device_status{{name="Касса ({two})",{place}}} 0\n' in text
    assert f'json_exporter_device_info{{name="Вход",ip="",{place}}} 1\n' in text
    assert text.count("json_exporter_device_status{") == 2  # unknown is absent here too
    assert "# TYPE json_exporter_device_status gauge\n" in text
    assert "json_exporter_device_status" not in body_of(exporter, now=START + timedelta(hours=1))


# --- lines that are kept between rounds ------------------------------------------------------------------


def fresh_body(exporter):
    """The body as a process renders it that knows nothing of earlier rounds."""
    refresh_snapshot(exporter)
    return body_of(exporter, now=START + timedelta(seconds=2))


def test_kept_lines_say_what_fresh_ones_say(north, django_capture_on_commit_callbacks):
    """Twenty rounds of changes of every kind; after each the body is that of a process without memory."""
    chance = random.Random(6)
    exporter = make_fleet(north, 12, kind="addreality", secret="t", interval_s=86400)
    for number in range(20):
        if number % 6 == 5:
            remove_targets(exporter=exporter, external_ids=[chance.choice(ids_of(exporter))])
        if number % 5 == 4:
            device = chance.choice(Device.objects.filter(targets__exporter=exporter))
            Device.objects.filter(pk=device.pk).update(name=f"Зал {number}")
        seen = [
            Observation(
                key,
                Status(word),
                {"player_status": chance.randrange(2), "time_zone": f"z{chance.randrange(3)}"},
            )
            if (word := chance.choice(["online", "offline", "unknown"])) != "unknown"
            else Observation(key, Status.UNKNOWN, reason=Reason.TIMEOUT)
            for key in ids_of(exporter)
        ]
        with django_capture_on_commit_callbacks(execute=True):
            store(exporter, answer(exporter, *seen), at=START + timedelta(microseconds=number))

        kept = body_of(exporter)

        if number % 3 == 0:
            assert fresh_body(exporter) == kept  # and the version is another one now: the lines are dropped
        assert kept.count("addreality_device_info{") == len(ids_of(exporter))


def test_only_what_changed_is_rendered_again(north, django_capture_on_commit_callbacks, monkeypatch):
    exporter = make_fleet(north, 5)
    rendered = []
    original = rounds.render_each

    def counting(shape, rows, **where):
        listed = list(rows)
        rendered.append(len(listed))
        return original(shape, listed, **where)

    monkeypatch.setattr(rounds, "render_each", counting)
    for number, words in enumerate((["online"] * 5, ["online"] * 5, ["offline", *["online"] * 4])):
        with django_capture_on_commit_callbacks(execute=True):
            store(exporter, answer(exporter, *words), at=START + timedelta(seconds=number))

    assert rendered == [5, 0, 1]


def steps_of(exporter, result, at):
    """How many thousands of steps SQLite took to store a round; without statistics, as on a young database."""
    steps = 0

    def count():
        nonlocal steps
        steps += 1

    connection.connection.set_progress_handler(count, 1000)
    try:
        store(exporter, result, at)
    finally:
        connection.connection.set_progress_handler(None, 0)
    return steps


@pytest.mark.skipif("connection.vendor != 'sqlite'", reason="SQLite counts its steps")
@pytest.mark.parametrize(
    ("first", "then"),
    [("online", "online"), ("online", "timeout"), ("timeout", "timeout"), ("online", "offline")],
)
def test_the_work_of_a_round_grows_no_faster_than_its_devices(north, first, then):
    steps = {}
    for count in (100, 800):
        exporter = make_exporter(north)
        macs = [f"02:00:{count >> 8:02x}:{count & 255:02x}:{n >> 8:02x}:{n & 255:02x}" for n in range(count)]
        rows = Device.objects.bulk_create(Device(platform=north, name=mac, mac=mac) for mac in macs)
        ExporterTarget.objects.bulk_create(
            ExporterTarget(exporter=exporter, device=row, external_id=row.mac, created_at=LONG_AGO)
            for row in rows
        )
        store(exporter, answer(exporter, *[first] * count))
        steps[count] = steps_of(exporter, answer(exporter, *[then] * count), START + timedelta(minutes=1))
    assert steps[800] <= 2 * 8 * steps[100] + 10
