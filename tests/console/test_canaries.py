"""Names that would do harm if they were believed: in pages, in formats, in headers."""

import re
from collections.abc import Callable

import pytest
from django.test import Client
from django.urls import reverse

from automation.models import Job
from devices.models import Device, Site
from exporters.models import Exporter
from notifications.models import Notice
from platforms.models import Platform, User
from sms.models import Gateway, InboundSms
from tests.console.test_pages import everything
from tests.console.world import World

Pages = Callable[[User], Client]

HARM = "<script>zq()</script>'\"><img src=x onerror=zq()>{{7*7}}{% now 'Y' %}%(x)s{0}%s"
RAW = re.compile(r"<script>zq|<img src=x|onerror=zq\(\)>(?!\{)", re.IGNORECASE)


@pytest.fixture
def harmful(northern: World) -> World:
    """North, where every text is a trap."""
    Platform.objects.filter(pk=northern.platform.pk).update(name=HARM)
    for model in (Site, Device, Exporter, Gateway, Job):
        for row in model.objects.all():
            model.objects.filter(pk=row.pk).update(name=f"{HARM}{row.pk}"[:100])
    Device.objects.update(
        labels={HARM: HARM}, notes=HARM, facts={HARM: HARM, "name": HARM}, external_id=HARM[:100]
    )
    northern.case.title = HARM
    northern.case.save(update_fields=["title"])
    northern.case.events.create(
        at=northern.case.opened_at, kind="cancelled", data={"reason": HARM}, by=HARM[:100]
    )
    northern.case.events.create(
        at=northern.case.opened_at, kind="acted", data={"socket": HARM, "attempt": HARM}
    )
    northern.case.refusals.update(guard="power", reason="feeds_healthy_players", data={"players": [HARM]})
    InboundSms.objects.update(body=HARM)
    Notice.objects.update(data={"title": HARM, "why": HARM})
    User.objects.filter(pk=northern.admin.pk).update(first_name=HARM[:150])
    return northern


@pytest.mark.parametrize("who", ["alice", "root"])
def test_no_name_is_believed(who: str, harmful: World, browser_of: Pages, request: pytest.FixtureRequest):
    client = browser_of(request.getfixturevalue(who))

    answers = {url: client.get(url) for url in everything(harmful)}

    assert [url for url, answer in answers.items() if answer.status_code >= 500] == []
    pages = {url: answer.content.decode() for url, answer in answers.items()}
    assert [url for url, page in pages.items() if RAW.search(page)] == []
    assert [url for url, page in pages.items() if re.search(r"\b49\b.{0,20}%\(x\)s", page)] == []


def test_pages_bring_no_inline_script_and_call_nobody_else(northern: World, root: User, browser_of: Pages):
    client = browser_of(root)
    inline = re.compile(
        r"<script(?![^>]*\bsrc=)(?![^>]*type=\"(?:application/json|text/template)\")[^>]*>\s*\S|\son[a-z]+=\"",
        re.IGNORECASE,
    )
    called = re.compile(r"""(?:src|href|action|hx-get)="(?:https?:)?//(?!127\.0\.0\.1|localhost)([^"/]+)""")

    pages = {url: client.get(url).content.decode() for url in everything(northern)}

    assert {url: found[0] for url, page in pages.items() if (found := inline.search(page))} == {}
    assert {url: hosts for url, page in pages.items() if (hosts := called.findall(page))} == {}


def test_the_policy_for_scripts_is_strict(alice: User, browser_of: Pages):
    policy = browser_of(alice).get("/admin/")["Content-Security-Policy"]

    assert "script-src 'self' 'unsafe-eval'" in policy
    assert "frame-ancestors 'none'" in policy


def test_a_gateways_key_is_kept_when_its_field_is_left_empty(northern: World, alice: User, browser_of: Pages):
    client = browser_of(alice)
    url = reverse("admin:sms_gateway_change", args=[northern.gateway.pk])
    form = {
        "name": "renamed", "is_enabled": "on", "secret": "", "hook_secret": "", "sender_msisdn": "", "priority": "5",
        "rate_per_minute": "60", "validity_s": "300 s", "price": "1", "price_in": "0",
        "currency": "RUB", "poll_interval_s": "5 s",
    }  # fmt: skip

    answer = client.post(url, form)

    row = Gateway.objects.get(pk=northern.gateway.pk)
    assert answer.status_code == 302, answer.context["adminform"].form.errors
    assert (row.name, str(row.secret)) == ("renamed", "s3cr3t-canary-77")


def test_an_exporters_key_is_replaced_and_the_audit_does_not_say_it(
    northern: World, alice: User, browser_of: Pages
):
    client = browser_of(alice)
    url = reverse("admin:exporters_exporter_change", args=[northern.exporter.pk])
    form = {
        "name": "renamed", "is_enabled": "on", "base_url": "https://cms.example.org/", "secret": "another-canary",
        "interval_s": "30 s", "timeout_s": "15 s", "concurrency": "10", "rate_per_s": "0", "jitter_s": "0",
    }  # fmt: skip

    answer = client.post(url, form)

    row = Exporter.objects.get(pk=northern.exporter.pk)
    assert answer.status_code == 302, answer.context["adminform"].form.errors
    assert str(row.secret) == "another-canary"
    history = client.get(reverse("admin:exporters_exporter_history", args=[row.pk])).content.decode()
    assert "another-canary" not in history
    assert "renamed" in history


def test_pasted_macs_become_devices_and_bad_lines_are_named(north: Platform, alice: User, browser_of: Pages):
    form = {
        "platform": north.pk, "name": "cms", "kind": "cubic", "base_url": "https://cms.example.org/", "secret": "",
        "lines": "AA-BB-CC-00-00-01 Lobby\naabbcc000002\nnonsense\naa:bb:cc:00:00:01\n", "interval_s": "30 s",
        "timeout_s": "15 s", "concurrency": "10",
    }  # fmt: skip

    answer = browser_of(alice).post(reverse("admin:exporters_exporter_add"), form, follow=True)

    page = answer.content.decode()
    assert set(Device.objects.values_list("mac", flat=True)) == {"aa:bb:cc:00:00:01", "aa:bb:cc:00:00:02"}
    assert Device.objects.get(mac="aa:bb:cc:00:00:01").name == "Lobby"
    assert "Line 3" in page
    assert "Pasted twice: 1." in page
