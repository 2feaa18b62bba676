"""Stops of automation by the API: who may stop what, and the way back."""

from datetime import timedelta

import pytest

from platforms import switches
from platforms.models import AuditEvent, KillSwitch, Platform, User
from remosa.lib.clock import utcnow
from tests.api.conftest import Call
from tests.factories import make_device, make_job

pytestmark = pytest.mark.django_db
STOPS = "/api/v1/stops/"


def test_a_platform_is_stopped_and_resumed(api: Call, north: Platform, alice: User) -> None:
    made = api(alice).post(STOPS, {"scope": "platform", "platform": north.pk, "reason": "wiring"})
    running = switches.stopping(platform_id=north.pk, now=utcnow())
    resumed = api(alice).post(f"{STOPS}{made.data['id']}/release/")
    again = api(alice).post(f"{STOPS}{made.data['id']}/release/")

    assert (made.status_code, resumed.status_code, again.status_code) == (201, 200, 409)
    assert running is not None
    assert running.reason == "wiring"
    assert switches.stopping(platform_id=north.pk, now=utcnow()) is None
    assert set(AuditEvent.objects.filter(platform=north).values_list("verb", flat=True)) >= {
        "automation.stopped", "automation.resumed",
    }  # fmt: skip


def test_a_job_or_a_device_is_stopped_by_its_name(api: Call, north: Platform, alice: User) -> None:
    job, device = make_job(north), make_device(north)

    by_job = api(alice).post(STOPS, {"scope": "job", "job": job.pk, "reason": "x"})
    by_device = api(alice).post(STOPS, {"scope": "device", "device": device.pk, "reason": "x"})

    assert (by_job.data["platform"], by_job.data["target_id"]) == (north.pk, job.pk)
    assert (by_device.data["platform"], by_device.data["target_id"]) == (north.pk, device.pk)


def test_only_the_superadmin_stops_everything(api: Call, alice: User, root: User) -> None:
    refused = api(alice).post(STOPS, {"scope": "global", "reason": "x"})
    made = api(root).post(STOPS, {"scope": "global", "reason": "x"})

    assert (refused.status_code, made.status_code) == (403, 201)
    assert KillSwitch.objects.count() == 1


def test_nobody_stops_what_is_anothers(
    api: Call, north: Platform, south: Platform, alice: User, bob: User, charlie: User
) -> None:
    job, device = make_job(south), make_device(south)
    theirs = api(charlie).post(STOPS, {"scope": "platform", "platform": south.pk, "reason": "x"})

    tried = [
        api(alice).post(STOPS, {"scope": "platform", "platform": south.pk, "reason": "x"}),
        api(alice).post(STOPS, {"scope": "job", "job": job.pk, "reason": "x"}),
        api(alice).post(STOPS, {"scope": "device", "device": device.pk, "reason": "x"}),
    ]
    by_viewer = api(bob).post(STOPS, {"scope": "platform", "platform": north.pk, "reason": "x"})
    release = api(alice).post(f"{STOPS}{theirs.data['id']}/release/")

    assert [answer.status_code for answer in tried] == [400, 400, 400]
    assert (by_viewer.status_code, release.status_code) == (403, 404)
    assert KillSwitch.objects.filter(released_at=None).count() == 1


def test_a_stop_says_what_is_missing_or_too_much(api: Call, north: Platform, alice: User) -> None:
    job = make_job(north)
    past = (utcnow() - timedelta(minutes=1)).isoformat()

    bad = {
        "platform": {"scope": "platform", "reason": "x"},
        "job": {"scope": "job", "reason": "x"},
        "scope": {"scope": "device", "job": job.pk, "device": make_device(north).pk, "reason": "x"},
        "reason": {"scope": "platform", "platform": north.pk},
        "expires_at": {"scope": "platform", "platform": north.pk, "reason": "x", "expires_at": past},
    }
    for field, body in bad.items():
        answer = api(alice).post(STOPS, body)
        assert answer.status_code == 400, body
        assert field in answer.json()["error"]["fields"], answer.json()
    assert not KillSwitch.objects.exists()
