"""Gateways and the queue in a real browser, at a desk and on a phone, in Russian."""

import os
from datetime import timedelta
from pathlib import Path

import pytest
from django.urls import reverse

from remosa.lib.clock import utcnow
from sms.models import Gateway, SmsMessage
from sms.states import SmsState
from tests.console.test_browser import Watch, alice, north, phone, sign_in
from tests.factories import make_gateway
from tests.servers.chromium import PHONE, is_too_wide
from tests.sms.fakes import make_command, make_notice

__all__ = ["alice", "north", "phone"]

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]
DESK = {"width": 1280, "height": 900}
PICTURES = os.environ.get("SMS_PICTURES", "")  # a folder, to keep what was seen
HTTP = {"url": "https://sms.example/send", "json": {"to": "{to}", "text": "{text}"}, "id_path": "id"}


def keep(page, name: str) -> None:
    if PICTURES:
        page.screenshot(path=Path(PICTURES) / f"sms-{name}.png", full_page=True)


@pytest.fixture
def trouble(north, alice):
    """A provider that refuses, three commands that wait for it, a spare, and some history."""
    now = utcnow()
    smsc = make_gateway(
        north, name="SMSC", kind="http", config=HTTP, priority=1, sender_msisdn="+79160000001", price="3.20",
        rate_per_minute=60, breaker="open", breaker_since=now - timedelta(minutes=4),
        breaker_until=now + timedelta(minutes=1), last_error="http_401: unauthorized", last_error_at=now,
        last_ok_at=now - timedelta(minutes=9),
    )  # fmt: skip
    make_gateway(
        north, name="Запасной телефон", kind="android", priority=2, sender_msisdn="+79160000002", price="2.10",
        config={}, rate_per_minute=6, rate_per_day=100, last_ok_at=now - timedelta(minutes=2),
    )  # fmt: skip
    for _ in range(3):
        make_command(north, now=now)
    SmsMessage.objects.update(reason="gateway_suspended", next_attempt_at=now + timedelta(seconds=30))
    for state in (SmsState.UNKNOWN, SmsState.SENT, SmsState.SENT, SmsState.EXPIRED):
        row = make_notice(north, now=now)
        SmsMessage.objects.filter(pk=row.pk).update(
            state=state, state_changed_at=now - timedelta(minutes=20), gateway=smsc,
            sent_at=now - timedelta(minutes=20) if state == SmsState.SENT else None,
        )  # fmt: skip
    return smsc


def test_operator_sees_what_is_blocked_and_tries_it_again(
    trouble: Gateway, phone: tuple[object, Watch], live_server
):
    page, watch = phone
    page.set_viewport_size(DESK)
    sign_in(page, live_server)
    said = page.inner_text("body")
    assert "SMSC отклоняет с " in said
    assert "ждут 3 команды" in said

    for name, address in (
        ("queue", reverse("admin:sms_queue")),
        ("gateways", reverse("admin:sms_gateway_changelist")),
        ("gateway", reverse("admin:sms_gateway_change", args=[trouble.pk])),
    ):
        page.set_viewport_size(DESK)
        page.goto(f"{live_server.url}{address}")
        keep(page, name)
        page.set_viewport_size(PHONE)
        assert not is_too_wide(page), name
        keep(page, f"{name}-phone")

    assert "он не знает нашего ключа" in page.inner_text("body")
    page.click("a:has-text('Попробовать сейчас')")
    page.click("form button[type=submit]:has-text('Попробовать сейчас')")
    page.wait_for_selector("text=Шлюз снова пробуют")
    trouble.refresh_from_db()
    assert trouble.breaker == Gateway.Breaker.CLOSED
    assert watch.violations(page) == []


def test_form_of_every_kind_reads_well_at_a_desk_and_on_a_phone(
    alice, settings, phone: tuple[object, Watch], live_server
):
    page, watch = phone
    sign_in(page, live_server)
    for kind in ("", *settings.SMS_GATEWAYS):
        page.set_viewport_size(DESK)
        page.goto(f"{live_server.url}{reverse('admin:sms_gateway_add')}?kind={kind}")
        page.evaluate("document.querySelectorAll('details').forEach(found => found.open = true)")
        keep(page, f"form-{kind or 'choose'}")
        page.set_viewport_size(PHONE)
        assert not is_too_wide(page), kind
        keep(page, f"form-{kind or 'choose'}-phone")

    page.set_viewport_size(DESK)
    page.goto(f"{live_server.url}{reverse('admin:my_settings')}")
    keep(page, "my-settings")
    page.set_viewport_size(PHONE)
    assert not is_too_wide(page)
    keep(page, "my-settings-phone")
    assert watch.violations(page) == []
