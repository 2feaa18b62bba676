"""Invitations: one link, once, for one address, by somebody who may still grant the role."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core import mail
from django.core.exceptions import ValidationError
from django.test import Client
from django.urls import reverse

from platforms import invitations
from platforms.errors import InvitationClosed, RoleTooHigh
from platforms.models import AuditEvent, Invitation, Membership, Platform, User
from platforms.roles import RANK, Role
from platforms.services import set_role
from tests.api.conftest import Call
from tests.factories import make_user
from tests.together import together

pytestmark = pytest.mark.django_db
Invite = Callable[..., Invitation]
NOW = datetime.now(UTC)
PASSWORD = "correct horse battery"


@pytest.fixture
def invite(north: Platform, alice: User) -> Invite:
    """``invite("x@example.org", role="viewer")`` by alice."""

    def make(email: str = "new@example.org", *, role: str = "viewer", by: User | None = None) -> Invitation:
        return invitations.invite(platform=north, email=email, role=role, by=by or alice, now=NOW)

    return make


def path_of(row: Invitation) -> str:
    return "/admin/invitation/" + invitations.link_of(row).rstrip("/").rpartition("/")[2] + "/"


def account(**over: str) -> dict[str, str]:
    return {
        "username": "newcomer",
        "full_name": "Nina New",
        "password": PASSWORD,
        "repeated": PASSWORD,
        **over,
    }


def test_the_link_opens_an_account_with_the_role_and_signs_in(
    invite: Invite, north: Platform, client: Client
) -> None:
    row = invite(role="manager")

    page = client.get(path_of(row))
    answer = client.post(path_of(row), account())

    person = User.objects.get(username="newcomer")
    assert (page.status_code, answer.url) == (200, "/admin/")
    assert (person.email, person.get_full_name(), person.is_staff) == ("new@example.org", "Nina New", True)
    assert Membership.objects.get(user=person, platform=north).role == "manager"
    assert client.get("/admin/").status_code == 200
    assert Client().get(path_of(row)).status_code == 404, "and the link is used up"


def test_somebody_with_an_account_joins_by_signing_in_and_never_by_a_new_password(
    invite: Invite, north: Platform, charlie: User, client: Client
) -> None:
    row = invite(charlie.email.upper(), role="user")

    by_stranger = client.post(path_of(row), account())
    client.force_login(charlie, backend="platforms.authentication.UsernameOrEmailBackend")
    joined = client.post(path_of(row))

    charlie.refresh_from_db()
    assert by_stranger.status_code == 200
    assert not charlie.check_password(PASSWORD)
    assert joined.url == "/admin/"
    assert set(charlie.memberships.values_list("platform__name", "role")) == {
        ("north", "user"),
        ("south", "admin"),
    }


def test_somebody_else_who_is_signed_in_does_not_join(
    invite: Invite, bob: User, charlie: User, client: Client
) -> None:
    row = invite(charlie.email)
    client.force_login(bob, backend="platforms.authentication.UsernameOrEmailBackend")

    client.post(path_of(row))

    assert charlie.memberships.count() == 1
    with pytest.raises(InvitationClosed):
        invitations.join(row, user=bob, now=NOW)


@pytest.mark.parametrize("end", ["withdrawn", "renewed", "expired", "demoted", "dismissed", "platform"])
def test_a_link_ends(invite: Invite, north: Platform, client: Client, end: str) -> None:
    mary = make_user("mary", platform=north, role="manager")
    row = invite(role="user", by=mary)
    path = path_of(row)
    if end == "withdrawn":
        invitations.withdraw(row, by=mary, now=NOW)
    elif end == "renewed":
        invitations.renew(row, by=mary, now=NOW)
    elif end == "expired":
        Invitation.objects.update(expires_at=NOW - timedelta(seconds=1))
    elif end == "demoted":
        set_role(user=mary, platform=north, role="viewer")
    elif end == "dismissed":
        User.objects.filter(pk=mary.pk).update(is_active=False)
    else:
        Platform.objects.filter(pk=north.pk).update(is_active=False)

    answer = client.post(path, account())

    assert answer.status_code == 404
    assert not User.objects.filter(username="newcomer").exists()


@pytest.mark.parametrize("own", [*Role.values, None])
@pytest.mark.parametrize("wanted", Role.values)
def test_nobody_invites_above_their_own_role(
    north: Platform, invite: Invite, own: str | None, wanted: str
) -> None:
    person = make_user("person", platform=north, role=own) if own else make_user("person")
    may = own == Role.ADMIN or (own == Role.MANAGER and RANK[wanted] < RANK[Role.MANAGER])

    if may:
        assert invite(role=wanted, by=person).role == wanted
    else:
        with pytest.raises(RoleTooHigh):
            invite(role=wanted, by=person)
        assert not Invitation.objects.exists()


def test_a_member_or_an_invited_address_is_not_invited_again(invite: Invite, bob: User) -> None:
    invite()

    for email in (bob.email.upper(), "NEW@example.org"):
        with pytest.raises(ValidationError):
            invite(email)


def test_an_invitation_does_not_wake_a_superadmin_who_was_switched_off(invite: Invite, root: User) -> None:
    User.objects.filter(pk=root.pk).update(is_active=False)
    row = invite(root.email)

    with pytest.raises(InvitationClosed):
        invitations.open_account(row, username="", full_name="x", password=PASSWORD, now=NOW)

    assert not User.objects.get(pk=root.pk).is_active


def test_a_dismissed_person_comes_back_by_invitation(invite: Invite, north: Platform, client: Client) -> None:
    gone = make_user("gone", email="new@example.org")
    User.objects.filter(pk=gone.pk).update(is_active=False)

    client.post(path_of(invite()), account())

    gone.refresh_from_db()
    assert gone.is_active
    assert gone.check_password(PASSWORD)
    assert gone.memberships.get().role == "viewer"


@pytest.mark.parametrize(
    "over", [{"repeated": "another horse"}, {"password": "123", "repeated": "123"}, {"username": "ALICE"}]
)
def test_what_cannot_be_is_a_sentence_and_the_link_still_works(
    invite: Invite, client: Client, over: dict[str, str]
) -> None:
    path = path_of(invite())

    refused = client.post(path, account(**over))

    assert refused.status_code == 400
    assert client.post(path, account()).status_code == 302


def test_a_link_is_not_guessed(invite: Invite, client: Client) -> None:
    key = path_of(invite()).split("/")[3]

    for other in (key[:-1] + ("0" if key[-1] != "0" else "1"), "0" * 72, key[:32], "é" * 72, key + "0"):
        assert client.get(f"/admin/invitation/{other}/").status_code == 404


def test_the_mail_brings_the_link_once_and_a_failure_is_seen(invite: Invite, monkeypatch: Any) -> None:
    row = invite()

    def refuse(*_args: Any, **_options: Any) -> None:
        raise ConnectionRefusedError

    with monkeypatch.context() as broken:
        broken.setattr(invitations, "send_mail", refuse)
        failed = invitations.mail(row, now=NOW)
    row.refresh_from_db()
    error = row.mail_error

    sent = invitations.mail(row, now=NOW)
    row.refresh_from_db()
    again = invitations.mail(row, now=NOW)

    assert (failed, error, sent, again, row.mail_error) == (False, "ConnectionRefusedError", True, False, "")
    assert [message.to for message in mail.outbox] == [["new@example.org"]]
    assert invitations.link_of(row) in mail.outbox[0].body
    assert invitations.link_of(row) not in str(list(AuditEvent.objects.values()))


def test_the_api_invites_lists_and_withdraws(
    api: Call, north: Platform, alice: User, bob: User, charlie: User
) -> None:
    body = {"platform": north.pk, "email": "new@example.org", "role": "user"}

    made = api(alice).post("/api/v1/invitations/", body)
    address = f"/api/v1/invitations/{made.json()['id']}/"
    seen = [api(person).get(address).status_code for person in (alice, bob, charlie)]
    again = api(alice).post(f"{address}resend/")
    gone = api(alice).delete(address)

    assert (made.status_code, again.status_code, gone.status_code) == (201, 200, 204)
    assert seen == [200, 404, 404]
    assert "nonce" not in made.content.decode()
    assert api(alice).post(f"{address}resend/").status_code == 409


def test_the_console_shows_the_link_once(north: Platform, alice: User, client: Client) -> None:
    client.force_login(alice, backend="platforms.authentication.UsernameOrEmailBackend")
    form = {"platform": north.pk, "email": "new@example.org", "role": "viewer"}

    answer = client.post(reverse("admin:platforms_invitation_add"), form)

    row = Invitation.objects.get()
    assert invitations.link_of(row) in answer.content.decode()
    assert "no-store" in answer["Cache-Control"]
    assert client.get(reverse("admin:platforms_invitation_change", args=[row.pk])).status_code == 200


@pytest.mark.databases
@pytest.mark.django_db(transaction=True)
def test_of_two_who_use_one_link_one_gets_in(north: Platform, alice: User) -> None:
    row = invitations.invite(platform=north, email="new@example.org", role="viewer", by=alice, now=NOW)

    def use(number: int) -> User:
        return invitations.open_account(
            Invitation.objects.get(pk=row.pk),
            username=f"new{number}",
            full_name="x",
            password=PASSWORD,
            now=NOW,
        )

    answers = together(3, use)

    assert sum(isinstance(answer, User) for answer in answers) == 1
    assert User.objects.filter(email="new@example.org").count() == 1
