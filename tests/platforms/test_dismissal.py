"""Dismissal: at once, everywhere on that platform, with a successor, and without stopping anything."""

import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import transaction
from django.test import Client
from django.urls import reverse
from rest_framework_simplejwt.tokens import AccessToken

from automation.models import Case, Job
from devices.models import Command, CommandTemplate, Device, DeviceShare
from devices.services import refusal_at_barrier, request_command
from devices.states import CommandState
from platforms import dismissal, jwt, tokens
from platforms.errors import LastAdmin, RoleTooHigh
from platforms.models import ApiToken, AuditEvent, Membership, Platform, User
from platforms.services import set_role
from tests.api.conftest import Call
from tests.factories import make_device, make_gateway, make_job, make_socket, make_user

pytestmark = pytest.mark.django_db
NOW = datetime.now(UTC)
BACKEND = "platforms.authentication.UsernameOrEmailBackend"
Member = Callable[[User], Membership]


@pytest.fixture
def mary(north: Platform) -> User:
    return make_user("mary", platform=north, role="manager", phone="+79001112233", telegram_id=7)


def member(user: User, platform: Platform) -> Membership:
    return Membership.objects.get(user=user, platform=platform)


def browser(user: User) -> Client:
    client = Client()
    client.force_login(user, backend=BACKEND)
    return client


def registered(socket: Device, number: str, *, key: str = "add_user", state: str = "replied") -> Command:
    template = CommandTemplate.objects.get(model=socket.model, key=key)
    return Command.objects.create(
        platform=socket.platform, device=socket, template=template, params={"phone": number}, body="x", source="person",
        effect=template.effect, state=state, state_changed_at=NOW, cause_id=uuid.uuid4(), idem_key=uuid.uuid4().hex,
        expires_at=NOW, created_at=NOW + timedelta(minutes=Command.objects.count()),
    )  # fmt: skip


def test_everything_ends_at_once(north: Platform, alice: User, mary: User) -> None:
    session, pair = browser(mary), jwt.sign_in(mary)
    _row, text = tokens.issue(name="t", scopes=["read"], by=mary, user=mary)
    DeviceShare.objects.create(device=make_device(north), user=mary)
    before = session.get("/admin/").status_code

    dismissal.dismiss(member(mary, north), successor=None, by=alice, now=NOW)

    mary.refresh_from_db()
    assert (before, session.get("/admin/").status_code) == (200, 302)
    assert jwt.person_of(AccessToken(pair["access"])) is None
    assert tokens.find(text, scope="read", now=NOW) is None
    assert ApiToken.objects.get(user=mary).revoked_at is not None
    assert not DeviceShare.objects.filter(user=mary).exists()
    assert (mary.is_active, mary.is_staff, mary.telegram_id, mary.groups.count()) == (False, False, None, 0)


def test_somebody_with_another_platform_keeps_the_account_there(
    north: Platform, south: Platform, alice: User, mary: User
) -> None:
    set_role(user=mary, platform=south, role="viewer")
    shared = DeviceShare.objects.create(device=make_device(south), user=mary)
    _row, text = tokens.issue(name="t", scopes=["read"], by=mary, user=mary)
    session = browser(mary)

    dismissal.dismiss(member(mary, north), successor=None, by=alice, now=NOW)

    mary.refresh_from_db()
    assert mary.is_active
    assert session.get("/admin/").status_code == 302, "signs in again"
    assert browser(mary).get(f"/admin/platforms/platform/{north.pk}/change/").status_code == 404
    assert DeviceShare.objects.filter(pk=shared.pk).exists()
    assert tokens.find(text, scope="read", now=NOW) is not None


def test_what_they_owned_passes_on_and_no_job_stops(north: Platform, alice: User, mary: User) -> None:
    own, other = make_device(north, owner=mary), make_device(north, owner=alice)
    job = make_job(north)
    case = Case.objects.create(
        platform=north, subject="x", title="x", device=own, job=job, opened_at=NOW, state_changed_at=NOW,
        acknowledged_by=mary, acknowledged_at=NOW,
    )  # fmt: skip

    counts = dismissal.dismiss(member(mary, north), successor=alice, by=alice, now=NOW, reason="left")

    own.refresh_from_db()
    other.refresh_from_db()
    case.refresh_from_db()
    line = AuditEvent.objects.get(verb="member.dismissed")
    assert (own.owner, other.owner, case.acknowledged_by) == (alice, alice, alice)
    assert counts["devices"] == 1
    assert Job.objects.get(pk=job.pk).is_enabled
    assert (line.reason, line.before["role"], line.after["successor"]) == ("left", "manager", "alice")


def test_without_a_successor_their_cases_wait_for_somebody_again(
    north: Platform, alice: User, mary: User
) -> None:
    case = Case.objects.create(
        platform=north, subject="x", title="x", opened_at=NOW, state_changed_at=NOW, acknowledged_by=mary,
        acknowledged_at=NOW,
    )  # fmt: skip

    dismissal.dismiss(member(mary, north), successor=None, by=alice, now=NOW)

    case.refresh_from_db()
    assert case.acknowledged_by is None


def test_a_command_on_its_way_is_refused_at_the_barrier(north: Platform, alice: User, mary: User) -> None:
    make_gateway(north)
    command = request_command(
        device=make_socket(north), template_key="status", params={}, source="person", idem_key="k",
        cause_id=uuid.uuid4(), now=NOW, actor=mary,
    )  # fmt: skip
    state = command.state

    dismissal.dismiss(member(mary, north), successor=alice, by=alice, now=NOW)

    assert state == CommandState.QUEUED
    with transaction.atomic():
        assert refusal_at_barrier(command.pk, now=NOW) == "actor_lost_right"


@pytest.mark.parametrize("chosen", ["themselves", "stranger", "inactive"])
def test_the_successor_is_an_active_member(
    north: Platform, alice: User, bob: User, charlie: User, mary: User, chosen: str
) -> None:
    User.objects.filter(pk=bob.pk).update(is_active=False)
    successor = {"themselves": mary, "stranger": charlie, "inactive": bob}[chosen]

    with pytest.raises(ValidationError):
        dismissal.dismiss(member(mary, north), successor=successor, by=alice, now=NOW)

    assert member(mary, north).role == "manager"


def test_the_last_admin_and_whoever_is_above_cannot_be_dismissed(
    north: Platform, alice: User, mary: User
) -> None:
    with pytest.raises(LastAdmin):
        dismissal.dismiss(member(alice, north), successor=None, by=alice, now=NOW)
    with pytest.raises(RoleTooHigh):
        dismissal.dismiss(member(alice, north), successor=None, by=mary, now=NOW)
    assert User.objects.get(pk=alice.pk).is_active


@pytest.mark.parametrize(
    ("later", "state", "listed"),
    [
        (None, "", True),
        ("remove_user", "replied", False),
        ("remove_user", "sent", True),  # nobody knows yet whether the socket forgot
        ("remove_all_users", "verified", False),
    ],
)
def test_sockets_that_obey_the_number_are_listed(
    north: Platform, alice: User, mary: User, later: str | None, state: str, listed: bool
) -> None:
    socket, other = make_socket(north, name="zq-holds"), make_socket(north, name="zq-other")
    registered(socket, "+7 900 111-22-33")
    registered(other, "+79009999999")
    registered(other, "+79001112233", state="cancelled")
    if later:
        registered(socket, "+79001112233", key=later, state=state)

    page = browser(alice).get(reverse("admin:platforms_membership_dismiss", args=[member(mary, north).pk]))

    assert ("zq-holds" in page.content.decode()) is listed
    assert "zq-other" not in page.content.decode()


def test_the_console_dismisses_with_a_successor(
    north: Platform, alice: User, mary: User, charlie: User
) -> None:
    device, row = make_device(north, name="zq-player", owner=mary), member(mary, north)
    url = reverse("admin:platforms_membership_dismiss", args=[row.pk])

    page = browser(alice).get(url).content.decode()
    foreign = browser(alice).post(url, {"successor": charlie.pk, "reason": ""})
    still = User.objects.get(pk=mary.pk).is_active
    done = browser(alice).post(url, {"successor": alice.pk, "reason": "left"})

    device.refresh_from_db()
    assert "zq-player" in page
    assert "charlie" not in page
    assert (foreign.status_code, still, done.status_code) == (400, True, 302)
    assert (device.owner, User.objects.get(pk=mary.pk).is_active) == (alice, False)


def test_the_api_dismisses_with_a_successor(
    api: Call, north: Platform, alice: User, mary: User, charlie: User
) -> None:
    device, row = make_device(north, owner=mary), member(mary, north)
    address = f"/api/v1/members/{row.pk}/"

    foreign = api(alice).delete(f"{address}?successor={charlie.pk}")
    missing = api(alice).delete(f"{address}?successor=999999")
    done = api(alice).delete(f"{address}?successor={alice.pk}")

    device.refresh_from_db()
    assert (foreign.status_code, missing.status_code, done.status_code) == (400, 400, 204)
    assert device.owner == alice
