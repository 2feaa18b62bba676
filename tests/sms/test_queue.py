"""The page of the queue: what waits, what is stuck and what to do; each sees their own platforms."""

from datetime import timedelta

import pytest
from django.urls import reverse

from remosa.lib.clock import utcnow
from sms.display import trouble_text
from sms.errors import GatewayError
from sms.models import Gateway, InboundSms, ModemStatus, SmsMessage
from sms.queue import queue_of
from sms.services.gateways import note_failure, note_inbox_error
from sms.states import InboundState, SmsState
from tests.factories import make_gateway
from tests.sms.fakes import make_command, make_fake, make_notice, not_sent

PAGE = "/admin/sms/smsmessage/queue/"
S = SmsState


def notice(platform, **columns):
    row = make_notice(platform, now=utcnow() - timedelta(minutes=3), expires_at=utcnow() + timedelta(hours=1))
    SmsMessage.objects.filter(pk=row.pk).update(**columns)
    return row


def titles(platform, **options) -> list[str]:
    found = queue_of([platform.pk], everything=False, now=utcnow(), **options)
    return [row.title for row in found.stuck]


def test_queue_counts_what_waits_and_names_the_oldest(north, south, gateway):
    first = notice(north, created_at=utcnow() - timedelta(hours=2))
    notice(north)
    notice(north, state=S.SENT, sent_at=utcnow(), gateway=gateway)
    notice(south)

    queue = queue_of([north.pk], everything=False, now=utcnow())

    assert (queue.waiting, queue.oldest.pk, queue.left_hour) == (2, first.pk, 1)
    assert [(lane.gateway, lane.waiting, lane.left) for lane in queue.lanes] == [
        (None, 2, 0),
        (gateway, 0, 1),
    ]
    assert [(row["platform__name"], row["n"]) for row in queue.platforms] == [("north", 2)]


@pytest.mark.parametrize(
    ("columns", "title"),
    [
        ({"state": S.QUEUED}, "Due, but nobody takes it up"),
        ({"state": S.SENDING, "lease_until": -10}, "Left behind by a process that died"),
        ({"state": S.CLAIMED, "lease_until": -10}, "Left behind by a process that died"),
        ({"state": S.QUEUED, "expires_at": -5, "next_attempt_at": 5}, "Too late, but still in the queue"),
        ({"state": S.QUEUED, "next_attempt_at": 5, "reason": "no_gateway"}, "No gateway"),
        (
            {"state": S.QUEUED, "next_attempt_at": 5, "reason": "gateway_suspended"},
            "The gateway is suspended",
        ),
        ({"state": S.QUEUED, "next_attempt_at": 5, "reason": "rate_limit"}, "Waits for its turn"),
        ({"state": S.QUEUED, "next_attempt_at": 5, "reason": "day_limit"}, "The gateway's day is used up"),
        ({"state": S.QUEUED, "next_attempt_at": 5, "reason": "waits_for_modem"}, "Waits for the modem"),
        ({"state": S.QUEUED, "next_attempt_at": 5, "reason": "error"}, "Moved aside after an error"),
        (
            {"state": S.QUEUED, "next_attempt_at": 5, "reason": "no_accepted_sender"},
            "No gateway with a number that the device obeys",
        ),
        ({"state": S.UNKNOWN, "state_changed_at": -60}, "Outcome unknown, within a day"),
        ({"state": S.EXPIRED, "state_changed_at": -60}, "Too late to send, within a day"),
        ({"state": S.FAILED, "state_changed_at": -60}, "Refused or not delivered, within a day"),
        ({"state": S.UNDELIVERED, "state_changed_at": -60}, "Refused or not delivered, within a day"),
    ],
)
def test_each_stuck_state_is_named(north, gateway, columns, title):
    moments = {
        name: utcnow() + timedelta(minutes=value) for name, value in columns.items() if isinstance(value, int)
    }

    notice(north, **{**columns, **moments})

    assert titles(north) == [title]


@pytest.mark.parametrize(
    "columns",
    [
        {"state": S.QUEUED, "next_attempt_at": 1}, {"state": S.SENDING, "lease_until": 1}, {"state": S.SENT},
        {"state": S.UNKNOWN, "state_changed_at": -60 * 25},
    ],
)  # fmt: skip
def test_what_is_on_its_way_or_long_over_is_not_stuck(north, gateway, columns):
    moments = {
        name: utcnow() + timedelta(minutes=value) for name, value in columns.items() if isinstance(value, int)
    }

    notice(north, **{**columns, **moments})

    assert titles(north) == []


def test_incoming_that_answers_nothing_and_silent_modems_are_named(north, fake):
    gateway = make_gateway(north, kind="modem", config={"port": "/dev/ttyUSB0"})
    ModemStatus.objects.create(gateway=gateway, state="ready", seen_at=utcnow() - timedelta(minutes=9))
    InboundSms.objects.create(
        gateway=gateway, platform=north, sender="+79160000000", body="?", received_at=utcnow(), dedupe_key="k",
        state=InboundState.UNMATCHED, state_changed_at=utcnow(),
    )  # fmt: skip

    assert titles(north) == ["Incoming SMS that answer nothing", "Modems whose process is silent"]
    ModemStatus.objects.update(seen_at=utcnow())
    assert titles(north) == ["Incoming SMS that answer nothing"]


def test_number_of_queries_does_not_grow(north, south, fake, django_assert_max_num_queries):
    for platform in (north, south):
        for _ in range(3):
            make_fake(platform)
            notice(platform)

    with django_assert_max_num_queries(14):
        queue_of([north.pk, south.pk], everything=True, now=utcnow())


# --- the page ------------------------------------------------------------------------------------------
def test_page_says_what_is_blocked_and_shows_the_own_platform_only(client, north, south, alice, fake):
    gateway = make_fake(north, name="SMSC")
    for _ in range(3):
        make_command(north, now=utcnow())
    notice(south)
    Gateway.objects.update(breaker="open", breaker_since=utcnow(), last_error="http_401: no money")
    client.force_login(alice)

    page = client.get(PAGE, headers={"accept-language": "ru"}).content.decode()

    assert "SMSC отклоняет с " in page
    assert "ждут 3 команды" in page
    assert reverse("admin:sms_gateway_change", args=[gateway.pk]) in page
    assert "south" not in page


def test_shared_gateway_keeps_its_name_and_words_to_itself(client, north, alice, fake):
    make_fake(None, name="Operator's own", last_error="http_500: canary", breaker="open")
    make_command(north, now=utcnow())
    client.force_login(alice)

    page = client.get(PAGE).content.decode()

    assert "Operator" not in page
    assert "canary" not in page


def test_page_is_for_who_sees_a_whole_platform(client, north):
    from tests.factories import make_user

    client.force_login(make_user("erik", platform=north, role="user"))

    assert client.get(PAGE).status_code == 403


def test_home_says_it_too(client, north, alice, fake):
    make_fake(north, name="SMSC", breaker="open", breaker_since=utcnow(), last_error="deadline")
    client.force_login(alice)

    page = client.get("/admin/", headers={"accept-language": "ru"}).content.decode()

    assert "SMSC не принимает SMS с " in page
    assert "он отвечает слишком медленно" in page


def test_person_tries_a_suspended_gateway_again(client, north, alice, fake):
    gateway = make_fake(north, breaker="open", breaker_until=utcnow() + timedelta(hours=1), failures_in_row=7)
    client.force_login(alice)

    client.post(reverse("admin:sms_gateway_try_again", args=[gateway.pk]))

    gateway.refresh_from_db()
    assert (gateway.breaker, gateway.failures_in_row, gateway.breaker_until) == ("closed", 0, None)


@pytest.mark.parametrize(("kind", "rates"), [("modem", ("6", "100")), ("http", ("60", ""))])
def test_gateway_with_a_sim_card_of_its_own_begins_carefully(client, north, alice, kind, rates):
    client.force_login(alice)

    form = client.get(f"{reverse('admin:sms_gateway_add')}?kind={kind}").context["adminform"].form

    shown = [form[name].value() for name in ("rate_per_minute", "rate_per_day")]
    assert tuple("" if value is None else str(value) for value in shown) == rates


# --- the gateway's own page ------------------------------------------------------------------------------
def test_page_of_a_modem_says_that_its_process_is_silent(north, root, client):
    modem = make_gateway(north, kind="modem", config={"port": "/dev/ttyUSB0"})
    client.force_login(root)

    def page() -> str:
        return client.get(f"/admin/sms/gateway/{modem.pk}/change/").content.decode()

    assert "manage.py modem" in page()
    status = ModemStatus.objects.create(gateway=modem, state="ready", seen_at=utcnow())
    assert "manage.py modem" not in page()
    ModemStatus.objects.filter(pk=status.pk).update(seen_at=utcnow() - timedelta(minutes=3))
    assert "manage.py modem" in page()


def test_inbox_that_is_not_read_hides_no_reason_of_a_suspension(north, fake):
    gateway = make_fake(north)
    note_inbox_error(gateway, not_sent(), now=utcnow())
    before = Gateway.objects.get().last_error
    note_failure(gateway, GatewayError("http_403", outcome="rejected", breaks=True), now=utcnow())

    note_inbox_error(gateway, not_sent(), now=utcnow())

    assert (before, Gateway.objects.get().last_error) == ("inbox: refused", "http_403")
    assert "inbox" not in trouble_text(before)
    assert trouble_text("refused") in trouble_text(before)
