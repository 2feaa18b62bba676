"""Who may change what: a viewer nothing, everybody only their own, and never across a wall."""

from collections.abc import Callable

import pytest
from django.contrib import admin
from django.db import models
from django.test import Client
from django.urls import reverse

from automation.models import Case
from devices.models import Command, Device
from devices.services import link_power
from platforms.models import ApiToken, AuditEvent, KillSwitch, Membership, Platform, User
from platforms.roles import Role
from platforms.services import set_role
from tests.console.test_pages import change_url
from tests.console.world import World, registered, row_of
from tests.factories import make_platform, make_user

Pages = Callable[[User], Client]
NEVER = {"expires_at_0": "", "expires_at_1": ""}  # an end that is not given


def stored(model: type[models.Model]) -> list[dict]:
    """The table as it stands."""
    return list(model._base_manager.order_by("pk").values())


@pytest.mark.parametrize("who", ["bob", "charlie", "uma"])
def test_nobody_changes_what_they_may_only_read_or_not_even_see(
    who: str, northern: World, southern: World, browser_of: Pages, request: pytest.FixtureRequest
):
    client = browser_of(request.getfixturevalue(who))
    own_deeds = {("notifications.Notice", "mark_read"), ("notifications.Notice", "mark_all")}
    refused = {}

    for model, page in registered():
        row = row_of(model, northern)
        if row is None:
            continue
        base = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        urls = [reverse(f"{base}_change", args=[row.pk]), reverse(f"{base}_delete", args=[row.pk])]
        urls += [
            page.deed_url(deed, row)
            for deed in getattr(page, "deeds", ())
            if who == "charlie" or (model._meta.label, deed.name) not in own_deeds
        ]
        before = stored(model)
        for url in urls:
            answer = client.post(url, {"post": "yes", "reason": "x", "name": "zqtaken", "_save": "1"})
            if answer.status_code not in (403, 404):
                refused[url] = answer.status_code
        assert stored(model) == before, model._meta.label

    assert refused == {}


def device_form(device: Device, **over: str) -> dict[str, str]:
    """What a browser sends back of a device's page."""
    return {
        "name": device.name, "site": device.site_id or "", "mac": device.mac, "external_id": "",
        "msisdn": device.msisdn,
        "model": device.model_id or "", "owner": "", "labels": "", "notes": "", "power_socket": "", "power_line": "",
        "shares-TOTAL_FORMS": "0", "shares-INITIAL_FORMS": "0", "shares-MIN_NUM_FORMS": "0",
        "shares-MAX_NUM_FORMS": "1000",
        **over,
    }  # fmt: skip


@pytest.mark.parametrize("field", ["site", "owner", "power_socket"])
def test_a_foreign_choice_is_answered_like_one_that_never_was(
    field: str, northern: World, southern: World, alice: User, charlie: User, browser_of: Pages
):
    client = browser_of(alice)
    foreign = {"site": southern.site.pk, "owner": charlie.pk, "power_socket": southern.socket.pk}[field]
    url = change_url(northern.player)

    answers = [
        client.post(url, device_form(northern.player, **{field: str(value)})) for value in (foreign, 999_999)
    ]

    assert [answer.status_code for answer in answers] == [200, 200]
    said = [answer.context["adminform"].form.errors.get(field) for answer in answers]
    assert said[0] is not None
    assert said[0] == said[1]


def test_a_device_never_moves_to_another_platform(
    northern: World, southern: World, root: User, browser_of: Pages
):
    form = device_form(northern.player, platform=str(southern.platform.pk), name="renamed")

    answer = browser_of(root).post(change_url(northern.player), form)

    northern.player.refresh_from_db()
    assert answer.status_code == 302
    assert (northern.player.platform_id, northern.player.name) == (northern.platform.pk, "renamed")


def test_a_device_cannot_be_added_to_a_foreign_platform(
    northern: World, southern: World, charlie: User, browser_of: Pages
):
    form = {
        "platform": northern.platform.pk,
        "kind": "player",
        "name": "stray",
        "labels": "",
        "mac": "02:00:00:00:00:77",
    }

    answer = browser_of(charlie).post(reverse("admin:devices_device_add"), form)

    assert answer.status_code == 200
    assert not Device.objects.filter(name="stray").exists()


def test_a_change_leaves_a_line_with_before_and_after(northern: World, alice: User, browser_of: Pages):
    browser_of(alice).post(
        change_url(northern.shared), device_form(northern.shared, name="renamed", labels="hall = B")
    )

    line = AuditEvent.objects.filter(verb="device.changed").get()
    assert (line.actor_label, line.platform) == ("alice", northern.platform)
    assert line.before == {"name": "zqnorth-shared", "labels": {}}
    assert line.after == {"name": "renamed", "labels": {"hall": "B"}}


def test_the_only_platform_is_filled_in(northern: World, alice: User, browser_of: Pages):
    page = browser_of(alice).get(reverse("admin:devices_device_add"))

    field = page.context["adminform"].form["platform"]
    assert field.initial == northern.platform.pk
    assert [str(row) for row in field.field.queryset] == ["zqnorth-platform"]


def test_a_full_platform_is_a_sentence_in_the_form(northern: World, alice: User, browser_of: Pages):
    Platform.objects.filter(pk=northern.platform.pk).update(device_limit=3)
    form = {
        "platform": northern.platform.pk,
        "kind": "player",
        "name": "one too many",
        "labels": "",
        "mac": "02:00:00:00:00:01",
    }

    answer = browser_of(alice).post(reverse("admin:devices_device_add"), form)

    assert answer.status_code == 200
    assert "device limit" in str(answer.context["adminform"].form.non_field_errors())
    assert not Device.objects.filter(name="one too many").exists()


def test_the_power_link_of_a_device_is_set_and_closed_on_its_page(
    northern: World, alice: User, browser_of: Pages
):
    client, url = browser_of(alice), change_url(northern.shared)

    client.post(url, device_form(northern.shared, power_socket=str(northern.socket.pk), power_line="1"))
    linked = northern.shared.power_links.filter(valid_to=None).get()
    client.post(url, device_form(northern.shared))

    assert (linked.socket, linked.line) == (northern.socket, 1)
    assert not northern.shared.power_links.filter(valid_to=None).exists()


def test_an_output_that_the_socket_has_not_is_refused_at_its_field(
    northern: World, alice: User, browser_of: Pages
):
    form = device_form(northern.shared, power_socket=str(northern.socket.pk), power_line="2")

    answer = browser_of(alice).post(change_url(northern.shared), form)

    assert answer.status_code == 200
    assert "power_line" in answer.context["adminform"].form.errors


def test_taking_a_device_out_frees_its_place_and_its_line(northern: World, alice: User, browser_of: Pages):
    client = browser_of(alice)
    url = reverse("admin:devices_device_take_out", args=[northern.player.pk])

    asked = client.get(url)
    still_there = Device.objects.get(pk=northern.player.pk).is_active
    client.post(url)

    assert asked.status_code == 200
    assert still_there
    assert not Device.objects.get(pk=northern.player.pk).is_active
    assert not northern.player.power_links.filter(valid_to=None).exists()


# --- people ------------------------------------------------------------------------------------------


def test_a_manager_cannot_touch_an_admin(northern: World, alice: User, browser_of: Pages):
    mark = make_user("mark", platform=northern.platform, role=Role.MANAGER)
    own = Membership.objects.get(user=alice)

    client = browser_of(mark)
    changed = client.post(reverse("admin:platforms_membership_change", args=[own.pk]), {"role": "viewer"})
    deleted = client.post(reverse("admin:platforms_membership_delete", args=[own.pk]), {"post": "yes"})
    dismissed = client.post(reverse("admin:platforms_membership_dismiss", args=[own.pk]), {"successor": ""})

    assert (changed.status_code, deleted.status_code, dismissed.status_code) == (403, 403, 403)
    assert Membership.objects.get(user=alice).role == Role.ADMIN


def test_a_manager_is_not_offered_the_role_of_an_admin(northern: World, browser_of: Pages):
    mark = make_user("mark", platform=northern.platform, role=Role.MANAGER)
    url = reverse("admin:platforms_membership_add")
    form = {
        "platform": northern.platform.pk,
        "username": "newcomer",
        "role": "admin",
        "full_name": "",
        "email": "",
    }

    offered = browser_of(mark).get(url).context["adminform"].form["role"].field.choices
    answer = browser_of(mark).post(url, form)

    assert [role for role, _label in offered] == ["user", "viewer"]
    assert answer.status_code == 200
    assert not User.objects.filter(username="newcomer").exists()


def test_a_new_member_gets_an_account_whose_password_is_shown_once(
    northern: World, alice: User, browser_of: Pages
):
    form = {
        "platform": northern.platform.pk, "username": "newcomer", "role": "viewer", "full_name": "Nina New",
        "email": "nina@example.org",
    }  # fmt: skip

    answer = browser_of(alice).post(reverse("admin:platforms_membership_add"), form)

    person = User.objects.get(username="newcomer")
    password = answer.context["secret"]
    assert "no-store" in answer["Cache-Control"]
    assert person.check_password(password)
    assert person.is_staff
    assert person.memberships.get().role == "viewer"
    assert password not in str(list(AuditEvent.objects.values_list("before", "after")))


def test_the_last_admin_stays_and_the_page_says_why(northern: World, alice: User, browser_of: Pages):
    own = Membership.objects.get(user=alice)

    answer = browser_of(alice).post(
        reverse("admin:platforms_membership_change", args=[own.pk]), {"role": "viewer"}
    )

    assert answer.status_code == 200
    assert "last admin" in str(answer.context["adminform"].form.non_field_errors())
    assert Membership.objects.get(user=alice).role == Role.ADMIN


def test_an_admin_cannot_raise_the_limits(northern: World, alice: User, browser_of: Pages):
    members = Membership.objects.filter(platform=northern.platform).order_by("pk")
    form = {
        "name": "mine", "time_zone": "Europe/Moscow", "device_limit": "9999", "sms_limit": "9999", "is_active": "on",
        "sms_people_share_ratio": "0.3", "memberships-TOTAL_FORMS": str(len(members)),
        "memberships-INITIAL_FORMS": str(len(members)), "memberships-MIN_NUM_FORMS": "0",
        "memberships-MAX_NUM_FORMS": "1000",
    }  # fmt: skip
    for number, member in enumerate(members):
        form |= {
            f"memberships-{number}-id": str(member.pk), f"memberships-{number}-platform": str(northern.platform.pk),
            f"memberships-{number}-role": member.role,
        }  # fmt: skip

    answer = browser_of(alice).post(change_url(northern.platform), form)

    northern.platform.refresh_from_db()
    assert answer.status_code == 302
    assert (northern.platform.device_limit, northern.platform.sms_limit, northern.platform.name) == (
        100,
        1000,
        "zqnorth-platform",
    )
    assert northern.platform.sms_people_share_ratio == 0.3


def test_dismissing_a_member_closes_the_console_to_them(
    northern: World, alice: User, bob: User, browser_of: Pages
):
    bobs, hers = browser_of(bob), browser_of(alice)
    row = Membership.objects.get(user=bob)

    before = bobs.get("/admin/devices/device/").status_code
    hers.post(reverse("admin:platforms_membership_dismiss", args=[row.pk]), {"successor": ""})

    assert before == 200
    assert bobs.get("/admin/devices/device/").status_code in (302, 403)


def test_people_are_the_superadmins_page(northern: World, alice: User, root: User, browser_of: Pages):
    url = reverse("admin:platforms_user_changelist")

    assert browser_of(alice).get(url).status_code == 403
    assert browser_of(root).get(url).status_code == 200


# --- tokens, stops -----------------------------------------------------------------------------------


def test_a_token_is_shown_once_and_revoked(northern: World, alice: User, browser_of: Pages):
    client = browser_of(alice)
    form = {
        "name": "grafana",
        "platform": northern.platform.pk,
        "scopes": ["scrape", "edge"],
        "expires_at_0": "",
        "expires_at_1": "",
    }

    shown = client.post(reverse("admin:platforms_apitoken_add"), form)
    row = ApiToken.objects.get(name="grafana")
    again = client.get(change_url(row))
    client.post(reverse("admin:platforms_apitoken_revoke", args=[row.pk]))

    text = shown.context["secret"]
    assert text in shown.content.decode()
    assert text not in again.content.decode()
    assert row.scopes == ["edge", "scrape"]
    row.refresh_from_db()
    assert row.revoked_at is not None


@pytest.mark.parametrize("scope", ["operator", "read", "command"])
def test_the_scopes_of_the_operator_and_of_people_are_not_for_a_client(
    northern: World, alice: User, browser_of: Pages, scope: str
):
    form = {
        "name": "greedy",
        "platform": northern.platform.pk,
        "scopes": [scope],
        "expires_at_0": "",
        "expires_at_1": "",
    }

    answer = browser_of(alice).post(reverse("admin:platforms_apitoken_add"), form)

    assert answer.status_code == 200
    assert not ApiToken.objects.filter(name="greedy").exists()


def test_automation_is_stopped_with_a_reason_and_resumed(northern: World, alice: User, browser_of: Pages):
    client = browser_of(alice)
    stop = reverse("admin:platforms_platform_stop_automation", args=[northern.platform.pk])
    resume = reverse("admin:platforms_platform_resume_automation", args=[northern.platform.pk])

    without_reason = client.post(stop, {"reason": ""})
    client.post(stop, {"reason": "fire drill", "next": "/admin/"})
    home = client.get("/admin/").content.decode()
    client.post(resume)

    assert without_reason.status_code == 400
    assert "fire drill" in home
    switch = KillSwitch.objects.get(scope="platform")
    assert switch.released_by == alice


def test_only_the_superadmin_stops_everything(northern: World, alice: User, root: User, browser_of: Pages):
    url = reverse("admin:platforms_killswitch_add")
    form = {
        "scope": "global",
        "platform": "",
        "reason": "maintenance",
        "expires_at_0": "",
        "expires_at_1": "",
    }

    browser_of(alice).post(url, form)
    refused = KillSwitch.objects.filter(scope="global").count()
    browser_of(root).post(url, form)

    assert refused == 0
    assert KillSwitch.objects.filter(scope="global").count() == 1
    assert "maintenance" in browser_of(alice).get("/admin/").content.decode()


def test_a_redirect_after_a_deed_stays_in_the_house(northern: World, alice: User, browser_of: Pages):
    stop = reverse("admin:platforms_platform_stop_automation", args=[northern.platform.pk])

    answer = browser_of(alice).post(stop, {"reason": "x", "next": "https://evil.example.org/"})

    assert answer.url == change_url(northern.platform)


def test_the_deeds_of_a_page_are_asked_before_they_are_done(northern: World, root: User, browser_of: Pages):
    client = browser_of(root)
    changed = []

    for model, page in registered():
        row = row_of(model, northern)
        for deed in getattr(page, "deeds", ()) if row is not None else ():
            before = stored(model)
            client.get(page.deed_url(deed, row))
            changed += [(model._meta.label, deed.name)] if stored(model) != before else []

    assert changed == []


# --- cases and commands ------------------------------------------------------------------------------


def test_a_case_is_taken_by_one_click(northern: World, alice: User, browser_of: Pages):
    answer = browser_of(alice).post(reverse("admin:automation_case_take", args=[northern.case.pk]))

    northern.case.refresh_from_db()
    assert answer.status_code == 302
    assert northern.case.acknowledged_by == alice


def test_a_case_is_ended_with_a_reason(northern: World, alice: User, browser_of: Pages):
    browser_of(alice).post(
        reverse("admin:automation_case_cancel", args=[northern.case.pk]), {"reason": "screen removed"}
    )

    northern.case.refresh_from_db()
    assert northern.case.state == "cancelled"
    assert northern.case.events.get(kind="cancelled").data == {"reason": "screen removed"}


def test_the_objection_of_a_guard_is_said_and_written_down(northern: World, alice: User, browser_of: Pages):
    url = reverse("admin:automation_case_repair", args=[northern.case.pk])
    client = browser_of(alice)

    asked = client.get(url).content.decode()
    answer = client.post(url, follow=True)

    assert "Nothing is known of the device" in asked
    assert "Not done." in answer.content.decode()
    assert Case.objects.get(pk=northern.case.pk).refusals.filter(guard="evidence", reason="no_data").exists()
    assert not Command.objects.filter(case_id=northern.case.pk).exclude(pk=northern.command.pk).exists()


def test_a_command_whose_outcome_nobody_knows_is_closed_by_a_person(
    northern: World, alice: User, browser_of: Pages
):
    browser_of(alice).post(reverse("admin:devices_command_it_worked", args=[northern.command.pk]))

    northern.command.refresh_from_db()
    assert (northern.command.state, northern.command.failure_reason) == ("closed_by_operator", "executed")


def test_whoever_shares_a_player_cannot_switch_a_socket_that_is_not_theirs(
    northern: World, uma: User, browser_of: Pages
):
    link_power(device=northern.shared, socket=northern.socket, line=1)
    client = browser_of(uma)

    page = client.get(change_url(northern.shared)).content.decode()
    sent = client.post(
        reverse("admin:devices_device_send", args=[northern.socket.pk]), {"template": "power_cycle"}
    )

    assert "restart_alt" not in page
    assert sent.status_code == 404


def test_no_page_of_other_peoples_apps_is_left(db: None):
    apps = {model._meta.app_label for model in admin.site._registry}

    assert apps == {
        "platforms",
        "devices",
        "sms",
        "exporters",
        "automation",
        "notifications",
        "django_q",
        "axes",
    }


def test_a_platform_is_made_with_its_role_groups(root: User, browser_of: Pages):
    form = {
        "name": "Fresh", "time_zone": "Europe/Moscow", "is_active": "on", "device_limit": "10", "sms_limit": "20",
        "sms_people_share_ratio": "0.2", "series_limit": "10000", "currency": "RUB",
    }  # fmt: skip

    browser_of(root).post(reverse("admin:platforms_platform_add"), form)

    platform = Platform.objects.get(name="Fresh")
    member = make_user("first", platform=platform, role="admin")
    assert member.groups.count() == 1


def test_somebody_of_two_platforms_chooses_between_them(northern: World, alice: User, browser_of: Pages):
    east = make_platform("east")
    set_role(user=alice, platform=east, role="manager")

    field = browser_of(alice).get(reverse("admin:devices_device_add")).context["adminform"].form["platform"]

    assert {str(row) for row in field.field.queryset} == {"zqnorth-platform", "east"}
    assert field.initial is None
