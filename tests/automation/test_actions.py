"""Soft steps: a signed webhook through the one door, a notice; asked for once, done at most once."""

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from automation.actions.webhook import signature
from automation.models import ActionCall, Case, Webhook
from automation.services import actions
from automation.services.cases import cancel_case
from notifications.models import Notice
from platforms import switches
from platforms.models import Platform, User
from tests.automation.receiver import Receiver
from tests.automation.world import World, told
from tests.factories import make_platform, minutes

pytestmark = pytest.mark.django_db
SECRET = "webhook-secret"


@pytest.fixture
def world() -> World:
    return World(players=4, ladder=[{"do": "wait", "wait_s": 3600}])


def case_of(world: World) -> Case:
    """A case that waits with its first step, so that a test asks for the deeds."""
    return world.until_fired(world.players[0])


def ask(case: Case, url: str, *, step: int = 2) -> ActionCall:
    webhook, _new = Webhook.objects.get_or_create(
        platform=case.platform, name="restart", defaults={"url": url, "secret": SECRET}
    )
    return actions.request_action(
        case, kind="webhook", config={"webhook": webhook.pk}, step=step, now=now_of(case)
    )


def now_of(case: Case) -> datetime:
    return Case.objects.get(pk=case.pk).device.observed_at


def run(call: ActionCall, *, after: timedelta = timedelta(seconds=1)) -> str:
    actions.run_call(call.pk, now=call.created_at + after)
    call.refresh_from_db()
    return call.state


def test_a_webhook_is_called_once_and_signed(world: World, receiver: Receiver) -> None:
    case = case_of(world)
    call = ask(case, receiver.url)

    assert ask(case, receiver.url).pk == call.pk, "the same step is the same deed"
    assert run(call) == "done"
    assert run(call, after=timedelta(minutes=1)) == "done"

    ((headers, body),) = receiver.got
    timestamp = headers["X-Remosa-Timestamp"]
    assert headers["X-Remosa-Signature"] == signature(SECRET, timestamp=timestamp, body=body)
    assert headers["Idempotency-Key"] == f"case:{case.pk}:2"
    assert json.loads(body)["device"]["mac"] == world.players[0].mac
    assert told(case) == ["opened", "acted", "action_done"]


@pytest.mark.parametrize(
    ("status", "state"),
    [
        (204, "done"), (400, "failed"), (404, "failed"), (302, "failed"), (429, "queued"), (503, "queued"),
        (500, "unknown"),
    ],
)  # fmt: skip
def test_what_an_answer_means(world: World, receiver: Receiver, status: int, state: str) -> None:
    receiver.status = status

    assert run(ask(case_of(world), receiver.url)) == state


def test_nothing_listens_and_it_is_tried_again(world: World, receiver: Receiver) -> None:
    receiver.close()

    call = ask(case_of(world), receiver.url)

    assert run(call) == "queued", "no connection: nothing left"
    assert call.next_attempt_at > call.created_at
    assert run(call, after=timedelta(minutes=6)) == "cancelled", "too late"
    assert call.reason == "too_late"


def test_an_inner_address_is_refused(world: World, receiver: Receiver, settings: Any) -> None:
    settings.EGRESS_ALLOW = []

    call = ask(case_of(world), receiver.url)

    assert run(call) == "queued"
    assert call.reason == "egress"
    assert receiver.got == []


def test_a_call_that_lost_its_worker_is_unknown(world: World, receiver: Receiver) -> None:
    call = ask(case_of(world), receiver.url)
    ActionCall.objects.filter(pk=call.pk).update(state="sending", lease_until=call.created_at)

    actions.ring_due(now=call.created_at + timedelta(seconds=1))

    call.refresh_from_db()
    assert (call.state, call.reason) == ("unknown", "worker_lost")
    assert receiver.got == []


def test_nothing_is_called_for_a_case_that_has_ended(world: World, receiver: Receiver, alice: User) -> None:
    case = case_of(world)
    call = ask(case, receiver.url)
    cancel_case(case, by=alice, reason="mine", now=world.now)

    assert run(call) == "cancelled"
    assert receiver.got == []


def test_a_stop_of_automation_stops_it(world: World, receiver: Receiver, root: User) -> None:
    call = ask(case_of(world), receiver.url)
    switches.engage(scope="platform", platform=world.platform, reason="x", by=root, now=world.now)

    assert run(call) == "cancelled"
    assert (call.reason, receiver.got) == ("kill_switch_platform", [])


def test_a_foreign_webhook_is_no_webhook(world: World, receiver: Receiver) -> None:
    foreign = Webhook.objects.create(platform=make_platform(), name="theirs", url=receiver.url)
    call = actions.request_action(
        case_of(world), kind="webhook", config={"webhook": foreign.pk}, step=2, now=world.now
    )

    assert (run(call), call.reason, receiver.got) == ("failed", "webhook_gone", [])


def test_a_device_that_came_back_meanwhile_is_left_alone(world: World, receiver: Receiver) -> None:
    call = ask(case_of(world), receiver.url)
    world.recover()
    world.after(1)
    world.poll()

    assert (run(call, after=minutes(1)), call.reason, receiver.got) == ("cancelled", "condition_cleared", [])


def test_an_unknown_kind_is_a_mistake(world: World) -> None:
    with pytest.raises(ImproperlyConfigured):
        actions.request_action(case_of(world), kind="nuke", config={}, step=2, now=world.now)


def test_a_notice_tells_people_once(world: World, north: Platform) -> None:
    case = case_of(world)
    User.objects.create_superuser("boss", email="boss@example.org", password=None)
    call = actions.request_action(case, kind="notice", config={}, step=2, now=world.now)

    assert run(call) == "done"

    notice = Notice.objects.get()
    assert (notice.kind, notice.case_id) == ("step", case.pk)
    assert notice.deliveries.exists()
