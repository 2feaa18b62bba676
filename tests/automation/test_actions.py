"""Soft steps: a signed webhook through the one door, a notice; asked for once, done at most once."""

import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured, ValidationError

from automation.actions.webhook import signature
from automation.models import ActionCall, Case, Webhook
from automation.services import actions
from automation.services.cases import cancel_case
from notifications.models import Notice
from platforms import switches
from platforms.models import Platform, User
from tests.automation.world import World, told
from tests.factories import NOW, make_platform

pytestmark = pytest.mark.django_db
SECRET = "webhook-secret"


class Receiver:
    """A receiver on a real socket that answers what it is told and keeps what it got."""

    def __init__(self) -> None:
        self.status, self.got = 200, []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.got.append((dict(self.headers), body))
                self.send_response(receiver.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/restart"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def receiver(settings: Any) -> Iterator[Receiver]:
    settings.EGRESS_ALLOW = ["127.0.0.0/8"]
    made = Receiver()
    yield made
    made.close()


@pytest.fixture
def world() -> World:
    return World(players=4)


def case_of(world: World) -> Case:
    player = world.players[0]
    return Case.objects.create(
        platform=world.platform, device=player, job=world.job, job_version=1, subject=f"device:{player.pk}",
        title=player.name, mode="auto", opened_at=NOW, state_changed_at=NOW, down_since=NOW,
    )  # fmt: skip


def ask(case: Case, url: str, *, step: int = 1, **facts: Any) -> ActionCall:
    webhook, _new = Webhook.objects.get_or_create(
        platform=case.platform, name="restart", defaults={"url": url, "secret": SECRET}
    )
    return actions.request_action(
        case, kind="webhook", config={"webhook": webhook.pk}, step=step, facts=facts, now=NOW
    )


def run(call: ActionCall, *, after: timedelta = timedelta(seconds=1)) -> str:
    actions.run_call(call.pk, now=NOW + after)
    call.refresh_from_db()
    return call.state


def test_a_webhook_is_called_once_and_signed(world: World, receiver: Receiver) -> None:
    case = case_of(world)
    call = ask(case, receiver.url, why="frozen")

    assert ask(case, receiver.url).pk == call.pk, "the same step is the same deed"
    assert run(call) == "done"
    assert run(call, after=timedelta(minutes=1)) == "done"

    ((headers, body),) = receiver.got
    timestamp = headers["X-Remosa-Timestamp"]
    assert headers["X-Remosa-Signature"] == signature(SECRET, timestamp=timestamp, body=body)
    assert headers["Idempotency-Key"] == f"case:{case.pk}:1"
    sent = json.loads(body)
    assert (sent["device"]["mac"], sent["why"]) == (world.players[0].mac, "frozen")
    assert told(case) == ["action_done"]


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
    assert call.next_attempt_at > NOW
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
    ActionCall.objects.filter(pk=call.pk).update(state="sending", lease_until=NOW)

    actions.ring_due(now=NOW + timedelta(seconds=1))

    call.refresh_from_db()
    assert (call.state, call.reason) == ("unknown", "worker_lost")
    assert receiver.got == []


def test_nothing_is_called_for_a_case_that_has_ended(world: World, receiver: Receiver, alice: User) -> None:
    case = case_of(world)
    call = ask(case, receiver.url)
    cancel_case(case, by=alice, reason="mine", now=NOW)

    assert run(call) == "cancelled"
    assert receiver.got == []


def test_a_stop_of_automation_stops_it(world: World, receiver: Receiver, root: User) -> None:
    call = ask(case_of(world), receiver.url)
    switches.engage(scope="platform", platform=world.platform, reason="x", by=root, now=NOW)

    assert run(call) == "cancelled"
    assert (call.reason, receiver.got) == ("kill_switch_platform", [])


def test_a_foreign_webhook_is_no_webhook(world: World, receiver: Receiver) -> None:
    foreign = Webhook.objects.create(platform=make_platform(), name="theirs", url=receiver.url)

    with pytest.raises(ValidationError):
        actions.request_action(
            case_of(world), kind="webhook", config={"webhook": foreign.pk}, step=1, facts={}, now=NOW
        )
    assert ActionCall.objects.count() == 0


def test_an_unknown_kind_is_a_mistake(world: World) -> None:
    with pytest.raises(ImproperlyConfigured):
        actions.request_action(case_of(world), kind="nuke", config={}, step=1, facts={}, now=NOW)


def test_a_notice_tells_people_once(world: World, north: Platform) -> None:
    case = case_of(world)
    User.objects.create_superuser("boss", email="boss@example.org", password=None)
    call = actions.request_action(case, kind="notice", config={}, step="look", facts={}, now=NOW)

    assert run(call) == "done"

    notice = Notice.objects.get()
    assert (notice.kind, notice.case_id) == ("step", case.pk)
    assert notice.deliveries.exists()
