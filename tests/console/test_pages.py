"""Every page of the console, opened by everybody: who reads what, and nothing of anybody else."""

from collections.abc import Callable, Iterator

import pytest
from django.contrib import admin
from django.db import models
from django.test import Client
from django.urls import reverse

from platforms.admin_base import PlatformAdmin, SuperadminAdmin
from platforms.models import User
from tests.console.world import SECRET, World, registered, row_of

Pages = Callable[[User], Client]


def addresses(model: type[models.Model], page: admin.ModelAdmin, row: models.Model | None) -> Iterator[str]:
    """Every address of one page class, those of ``row`` among them."""
    base = f"admin:{model._meta.app_label}_{model._meta.model_name}"
    yield reverse(f"{base}_changelist")
    yield reverse(f"{base}_add")
    if row is None:
        return
    for name in ("change", "history", "delete"):
        yield reverse(f"{base}_{name}", args=[row.pk])
    for deed in getattr(page, "deeds", ()):
        yield page.deed_url(deed, row)
    if model._meta.label == "devices.Device":
        yield reverse("admin:devices_device_send", args=[row.pk])


def everything(world: World) -> list[str]:
    """All addresses of the console, with this client's rows in them."""
    found = [
        "/admin/",
        "/admin/live/",
        "/admin/me/",
        f"/admin/search/?s={world.mark}",
        f"/admin/search/?s={world.mark}&extended=1",
    ]
    for model, page in registered():
        found += addresses(model, page, row_of(model, world))
    return found


def test_every_page_stands_on_a_base_of_ours(db: None):
    strange = [
        model._meta.label
        for model, page in registered()
        if not isinstance(page, PlatformAdmin | SuperadminAdmin)
    ]

    assert strange == []


def test_every_tenant_model_has_the_tenant_base(db: None):
    wrong = [
        model._meta.label
        for model, page in registered()
        if hasattr(model, "PLATFORM_PATH") and not isinstance(page, PlatformAdmin)
    ]

    assert wrong == []


def test_the_world_has_a_row_of_every_tenant_model(northern: World):
    missing = [
        model._meta.label
        for model, page in registered()
        if isinstance(page, PlatformAdmin) and row_of(model, northern) is None
    ]

    assert missing == []


@pytest.mark.parametrize("who", ["alice", "bob", "uma", "root"])
def test_no_page_breaks_or_tells_too_much(
    who: str, northern: World, southern: World, browser_of: Pages, request: pytest.FixtureRequest
):
    client = browser_of(request.getfixturevalue(who))

    answers = {url: client.get(url) for url in everything(northern)}

    known = (200, 302, 403, 404)
    assert {
        url: answer.status_code for url, answer in answers.items() if answer.status_code not in known
    } == {}
    assert [url for url, answer in answers.items() if SECRET in answer.content.decode()] == []
    if who != "root":  # neither lists, nor filters, nor choices name the other client
        assert [url for url, answer in answers.items() if "zqsouth" in answer.content.decode()] == []


def test_a_stranger_finds_nothing_of_north(
    northern: World, southern: World, charlie: User, browser_of: Pages
):
    client = browser_of(charlie)

    answers = {url: client.get(url) for url in everything(northern)}

    told = [url for url, answer in answers.items() if "zqnorth" in strip(answer.content.decode(), url)]
    assert told == []
    rows = {
        model._meta.label: row_of(model, northern)
        for model, page in registered()
        if isinstance(page, PlatformAdmin)
    }
    for label, row in rows.items():
        assert client.get(change_url(row)).status_code == 404, label


def strip(text: str, url: str) -> str:
    """The page without the words that were asked for."""
    return text.replace(f"s={'zqnorth'}", "")


def change_url(row: models.Model) -> str:
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])


def test_what_is_foreign_looks_like_what_is_missing(northern: World, charlie: User, browser_of: Pages):
    client = browser_of(charlie)
    base = "admin:devices_device_"

    foreign = [
        client.get(reverse(base + name, args=[northern.player.pk]))
        for name in ("change", "history", "delete")
    ]
    missing = [client.get(reverse(base + name, args=[999_999])) for name in ("change", "history", "delete")]

    assert [answer.status_code for answer in foreign] == [404, 404, 404]
    assert [answer.content for answer in foreign] == [answer.content for answer in missing]


def test_somebody_with_one_shared_device_sees_that_device_alone(
    northern: World, uma: User, browser_of: Pages
):
    client = browser_of(uma)

    listed = client.get(reverse("admin:devices_device_changelist")).content.decode()

    assert "zqnorth-shared" in listed
    assert "zqnorth-player" not in listed
    assert "zqnorth-socket" not in listed
    assert client.get(change_url(northern.shared)).status_code == 200
    for row in (northern.player, northern.socket, northern.case, northern.command):
        assert client.get(change_url(row)).status_code == 404
    for row in (northern.job, northern.exporter, northern.gateway):
        assert client.get(change_url(row)).status_code in (403, 404)


def test_a_viewer_reads_the_devices_and_is_offered_no_button(northern: World, bob: User, browser_of: Pages):
    page = browser_of(bob).get(change_url(northern.player)).content.decode()

    assert "zqnorth-player" in page
    assert "_save" not in page
    assert "/take-out/" not in page
    assert "/send/" not in page


@pytest.mark.parametrize("number", ["0", "-1", "99999999999999999999", "abc", "%00", "1/../2", "_5F"])
def test_a_strange_number_is_no_page(number: str, northern: World, alice: User, browser_of: Pages):
    client = browser_of(alice)

    for path in ("devices/device", "devices/command", "automation/case"):
        assert client.get(f"/admin/{path}/{number}/change/").status_code in (302, 400, 404)


@pytest.mark.parametrize(
    "query",
    [
        "platform__sms_limit__gte=1",
        "owner__password__startswith=p",
        "secret__startswith=s",
        "lease_owner=x",
        "device__platform=1",
    ],
)
def test_a_list_answers_only_to_the_filters_that_it_offers(
    query: str, northern: World, alice: User, browser_of: Pages
):
    client = browser_of(alice)

    for path in ("devices/device", "exporters/exporter", "sms/gateway"):
        assert client.get(f"/admin/{path}/?{query}").status_code == 400


@pytest.mark.parametrize(
    "query",
    [
        "p=abc",
        "o=99.-99",
        "q=%00",
        "state__exact=%00",
        "platform__id__exact=x",
        "at__year=abc",
        "p=-1",
        "all=",
        "_facets=True",
    ],
)
def test_bad_words_in_a_list_are_no_error_of_ours(
    query: str, northern: World, alice: User, browser_of: Pages
):
    client = browser_of(alice)

    for path in ("devices/device", "automation/case", "sms/smsmessage", "platforms/auditevent"):
        assert client.get(f"/admin/{path}/?{query}").status_code in (200, 302, 400)


def test_a_foreign_filter_value_finds_nothing(
    northern: World, southern: World, charlie: User, browser_of: Pages
):
    url = reverse("admin:devices_device_changelist")

    page = browser_of(charlie).get(f"{url}?platform__id__exact={northern.platform.pk}").content.decode()

    assert "zqnorth" not in page


def autocomplete(field: str, model: str = "automation.job", term: str = "zq") -> str:
    app_label, model_name = model.split(".")
    return (
        f"/admin/autocomplete/?term={term}&app_label={app_label}&model_name={model_name}&field_name={field}"
    )


def test_an_autocomplete_completes_own_devices_only(
    northern: World, southern: World, charlie: User, browser_of: Pages
):
    answer = browser_of(charlie).get(autocomplete("devices"))

    assert answer.status_code == 200
    assert {item["text"] for item in answer.json()["results"]} == {
        "zqsouth-player",
        "zqsouth-shared",
        "zqsouth-socket",
    }


@pytest.mark.parametrize(
    ("field", "model"),
    [
        ("device", "devices.command"),
        ("platform", "devices.device"),
        ("user", "devices.deviceshare"),
        ("owner", "devices.device"),
    ],
)
def test_an_autocomplete_that_no_page_asks_for_is_closed(
    field: str, model: str, northern: World, alice: User, browser_of: Pages
):
    assert browser_of(alice).get(autocomplete(field, model)).status_code == 403


def test_the_search_finds_own_objects_by_name(
    northern: World, southern: World, charlie: User, browser_of: Pages
):
    client = browser_of(charlie)

    assert "zqsouth-player" in client.get("/admin/search/?s=zqsouth-play").content.decode()
    assert "zqnorth-player" not in client.get("/admin/search/?s=-player").content.decode()


def test_a_stranger_at_the_door_is_sent_to_the_sign_in(db: None, client: Client):
    answer = client.get("/admin/devices/device/")

    assert answer.status_code == 302
    assert answer.url.startswith("/admin/login/?next=")
