"""Jobs as people edit them: versions, their differences and the way back; copies; dry runs on present values."""

from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from automation.dry_run import dry_run
from automation.job_templates import TEMPLATES
from automation.models import Case, Job, JobState, Webhook
from automation.services import health, jobs
from devices.models import Command, Device
from exporters.models import Exporter
from platforms.models import AuditEvent, Platform, User
from tests.automation.world import World
from tests.factories import NOW, make_device, make_exporter, make_job, make_platform, make_user, minutes

pytestmark = pytest.mark.django_db
BACKEND = "platforms.authentication.UsernameOrEmailBackend"


@pytest.fixture
def manager(north: Platform) -> User:
    return make_user("manager", platform=north, role="manager", language="en")


@pytest.fixture
def console(manager: User) -> Client:
    client = Client()
    client.force_login(manager, backend=BACKEND)
    return client


@pytest.fixture
def api(manager: User) -> APIClient:
    client = APIClient(headers={"accept-language": "en"})
    client.force_login(manager, backend=BACKEND)
    return client


def body_of(job: Job, **over: Any) -> dict[str, Any]:
    """What a browser sends back of a job's form."""
    shown = {
        "platform": job.platform_id, "name": job.name, "mode": job.mode, "source": job.source, "exporter": "",
        "site": "", "labels": "", "hold_s": job.hold_s, "fresh_samples": job.fresh_samples, "operator": "==",
        "threshold": 0, "alert_labels": "", "template_key": "power_cycle", "params": "minutes = 1",
        "keep_firing_s": 0, "flap_changes": 6, "flap_window_s": 3600, "hours": "", "on_air": "suggest",
        "on_air_wait_s": 1800, "off_air": "before", "lead_s": 3600, "max_attempts": 2, "verify_s": 900,
        "stable_s": 300, "cooldown_s": 3600, "max_actions_per_day": 3, "max_actions_per_week": 6, "patience_s": 1800,
        "is_enabled": "on", "event_kind": "", "event_within_s": 3600, "cron": "", "promql": "", "overlap": "take_over",
    }  # fmt: skip
    body = {**shown, **over}
    return {name: f"{value:g} s" if name.endswith("_s") else value for name, value in body.items()}


def rows_of(*rows: tuple[Any, Any, Any]) -> dict[str, Any]:
    """The rows of the ladder as a browser sends them: what, minutes off, minutes of waiting."""
    return {f"ladder_{3 * n + part}": value for n, row in enumerate(rows) for part, value in enumerate(row)}


# --- the ladder ----------------------------------------------------------------------------------


def test_a_ladder_is_built_in_the_form_kept_in_versions_and_copied(
    north: Platform, console: Client, manager: User
) -> None:
    hook = Webhook.objects.create(platform=north, name="Restart", url="https://example.org/")
    job = make_job(north, mode="shadow")
    url = reverse("admin:automation_job_change", args=[job.pk])
    rows = rows_of((f"webhook:{hook.pk}", "", "3"), ("cycle", "", "15"), ("", "", ""), ("cycle", "5", "0.5"))

    saved = console.post(url, body_of(job, **rows))
    assert saved.status_code == 302, saved.context["errors"]

    job.refresh_from_db()
    assert job.ladder == [
        {"do": "webhook", "webhook": hook.pk, "wait_s": 180.0}, {"do": "cycle", "wait_s": 900.0},
        {"do": "cycle", "minutes": 5, "wait_s": 30.0},
    ]  # fmt: skip
    page = console.get(url).content.decode()
    assert (
        "1) call the webhook “Restart”, wait 3 min; 2) power cycle, wait 15 min; 3) power cycle of 5 min"
        in page
    )
    assert f'value="webhook:{hook.pk}" selected' in page
    assert jobs.clone(job, name="copy", by=manager, now=NOW).ladder == job.ladder
    console.post(url, body_of(job, **rows_of(("notice", "", "1"))))
    versions = console.get(reverse("admin:automation_job_restore", args=[job.pk])).content.decode()
    assert "→ tell people, wait 1 min" in versions
    jobs.restore(job, job.versions.get(number=2), by=manager, now=NOW)
    assert len(job.ladder) == 3
    hook.delete()
    job.refresh_from_db()
    Job.objects.filter(pk=job.pk).update(ladder=[])
    with pytest.raises(ValidationError):
        jobs.restore(job, job.versions.get(number=2), by=manager, now=NOW)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (("cycle", "5", ""), "Step 1: say how long it waits"), (("", "5", "3"), "Step 1: choose what it does"),
        (("notice", "5", "3"), "Step 1: only a power cycle has minutes"),
        (("webhook:1", "", "3"), "Select a valid choice"),
        (("cycle", "9999", "3"), "less than or equal to 720"),
    ],
)  # fmt: skip
def test_a_step_that_is_none_is_said(north: Platform, console: Client, row: Any, said: str) -> None:
    job = make_job(north)
    Webhook.objects.create(pk=1, platform=make_platform(), name="theirs", url="https://example.org/")

    answer = console.post(reverse("admin:automation_job_change", args=[job.pk]), body_of(job, **rows_of(row)))

    assert answer.status_code == 200
    assert said in answer.content.decode()
    assert Job.objects.get(pk=job.pk).ladder == []


def test_a_foreign_webhook_looks_like_one_that_is_not_there(north: Platform, api: APIClient) -> None:
    foreign = Webhook.objects.create(platform=make_platform(), name="theirs", url="https://example.org/")
    job = make_job(north)
    address = f"/api/v1/jobs/{job.pk}/"

    answers = [
        api.patch(address, {"ladder": [{"do": "webhook", "webhook": key, "wait_s": 60}]}, format="json")
        for key in (foreign.pk, 999_999_999)
    ]

    assert [answer.status_code for answer in answers] == [400, 400]
    assert answers[0].json() == answers[1].json()
    good = api.patch(address, {"ladder": [{"do": "cycle", "minutes": 2, "wait_s": 60}]}, format="json")
    assert (good.status_code, good.json()["version"]) == (200, 2), good.content


def test_webhooks_are_kept_by_the_api_and_their_secrets_never_read(north: Platform, api: APIClient) -> None:
    made = api.post(
        "/api/v1/webhooks/",
        {"platform": north.pk, "name": "Restart", "url": "https://hook.example.org/", "secret": "swordfish-and-more"},
        format="json",
    )  # fmt: skip
    address = f"/api/v1/webhooks/{made.json()['id']}/"
    changed = api.patch(address, {"name": "Restart the player"}, format="json")

    assert (made.status_code, changed.status_code) == (201, 200), (made.content, changed.content)
    assert b"swordfish" not in made.content + changed.content + api.get(address).content
    row = Webhook.objects.get()
    assert (row.name, row.secret) == ("Restart the player", "swordfish-and-more")
    assert (
        api.post("/api/v1/webhooks/", {"platform": north.pk, "name": "x", "url": "ftp://x/"}).status_code
        == 400
    )
    viewer = APIClient()
    viewer.force_login(make_user("viewer", platform=north, role="viewer"), backend=BACKEND)
    assert (viewer.get(address).status_code, viewer.get("/api/v1/webhooks/").json()["results"]) == (404, [])
    assert api.delete(address).status_code == 204
    lines = AuditEvent.objects.filter(verb__startswith="webhook.")
    assert sorted(line.verb for line in lines) == ["webhook.changed", "webhook.created", "webhook.deleted"]
    assert "swordfish" not in str([(line.before, line.after) for line in lines])


# --- versions ------------------------------------------------------------------------------------


def test_each_change_is_a_version_that_says_what_it_changed(north: Platform, console: Client) -> None:
    job = make_job(north, hold_s=600, mode="shadow")
    url = reverse("admin:automation_job_change", args=[job.pk])

    saved = console.post(url, body_of(job, hold_s=300))
    assert saved.status_code == 302, saved.context["errors"]
    job.refresh_from_db()
    console.post(url, body_of(job, devices=[make_device(north).pk], hours="mon-fri 09:00-22:00"))
    job.refresh_from_db()
    console.post(
        url, body_of(job, devices=list(job.devices.values_list("pk", flat=True)), hours="mon-fri 9:00-22:00")
    )

    found = [
        (row.number, row.by, dict((n, new) for n, _old, new in changed))
        for row, changed in jobs.versions_of(job)
    ]
    assert [(number, by) for number, by, _changed in found] == [(3, "manager"), (2, "manager"), (1, "")]
    assert found[1][2] == {"hold_s": 300.0}
    assert found[0][2].keys() == {"devices", "hours"}


def test_an_old_rule_comes_back_as_a_new_version_and_the_mode_stays(north: Platform, api: APIClient) -> None:
    job = make_job(north, hold_s=600, mode="shadow", name="first")
    address = f"/api/v1/jobs/{job.pk}/"
    api.patch(address, {"hold_s": 300, "site": None, "devices": [make_device(north).pk]})
    api.patch(address, {"mode": "auto", "name": "second"})

    answer = api.post(f"{address}restore/", {"version": 1})

    job.refresh_from_db()
    assert answer.status_code == 200, answer.content
    assert (answer.data["hold_s"], answer.data["devices"], answer.data["version"]) == (600.0, [], 4)
    assert (job.mode, job.name) == ("auto", "second")
    versions = api.get(f"{address}versions/").json()
    assert [row["number"] for row in versions] == [4, 3, 2, 1]
    assert {change["field"] for change in versions[0]["changes"]} == {"hold_s", "devices"}
    assert AuditEvent.objects.get(verb="job.restored").after["version"] == 1
    assert api.post(f"{address}restore/", {"version": 9}).status_code == 400


def test_a_rule_whose_devices_are_gone_does_not_come_back_wider(north: Platform, manager: User) -> None:
    """Without its devices it would watch all of the platform."""
    job = make_job(north)
    device = make_device(north)
    job.devices.set([device])
    first = jobs.keep_version(job, by="", now=NOW)
    job.devices.clear()
    jobs.new_version(job, by="", now=NOW)
    device.delete()

    with pytest.raises(ValidationError):
        jobs.restore(job, first, by=manager, now=NOW)

    job.refresh_from_db()
    assert job.version == 2


def test_a_rule_whose_exporter_is_gone_does_not_come_back(north: Platform, manager: User) -> None:
    exporter = make_exporter(north)
    job = make_job(north, exporter=exporter)
    first = jobs.keep_version(job, by="", now=NOW)
    Job.objects.filter(pk=job.pk).update(exporter=None)
    job.refresh_from_db()
    jobs.new_version(job, by="", now=NOW)
    Exporter.objects.filter(pk=exporter.pk).delete()

    with pytest.raises(ValidationError):
        jobs.restore(job, first, by=manager, now=NOW)


def test_versions_are_read_and_brought_back_in_the_console(north: Platform, console: Client) -> None:
    job = make_job(north, hold_s=600)
    console.post(reverse("admin:automation_job_change", args=[job.pk]), body_of(job, hold_s=300, mode="auto"))
    url = reverse("admin:automation_job_restore", args=[job.pk])

    page = console.get(url).content.decode()
    console.post(url, {"version": job.versions.get(number=1).pk})

    assert "10 min → 5 min" in page
    job.refresh_from_db()
    assert (job.hold_s, job.version) == (600, 3)


def test_switching_a_job_off_and_on_is_told_in_its_versions(north: Platform, console: Client) -> None:
    job = make_job(north)

    console.post(reverse("admin:automation_job_disable", args=[job.pk]))

    job.refresh_from_db()
    assert (job.is_enabled, job.version) == (False, 2)
    assert jobs.versions_of(job)[0][1] == [("is_enabled", True, False)]


# --- copies and templates ------------------------------------------------------------------------


def test_a_copy_only_watches_and_bears_its_own_name(north: Platform, api: APIClient, console: Client) -> None:
    job = make_job(north, mode="auto", hold_s=120, name="first")
    job.devices.set([make_device(north)])

    made = api.post(f"/api/v1/jobs/{job.pk}/clone/", {"name": "second"})
    taken = api.post(f"/api/v1/jobs/{job.pk}/clone/", {"name": "second"})
    console.post(reverse("admin:automation_job_clone", args=[job.pk]), {"name": "third"})

    copy = Job.objects.get(name="second")
    assert (made.status_code, taken.status_code) == (201, 400)
    assert (copy.mode, copy.hold_s, copy.version) == ("shadow", 120, 1)
    assert list(copy.devices.all()) == list(job.devices.all())
    assert Job.objects.get(name="third").mode == "shadow"
    assert copy.versions.count() == 1


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda one: one.key)
def test_each_template_is_a_job_that_can_be_stored(north: Platform, template: Any, api: APIClient) -> None:
    told = {row["key"]: row["fields"] for row in api.get("/api/v1/jobs/templates/").json()}

    made = api.post("/api/v1/jobs/", {"platform": north.pk, "name": "of a template", **told[template.key]})

    assert made.status_code == 201, made.content
    assert made.data["mode"] == "shadow"


def test_the_form_of_a_new_job_is_filled_in_by_a_template(north: Platform, console: Client) -> None:
    page = console.get(reverse("admin:automation_job_add"), {"template": "offline_10"})

    form = page.context["adminform"].form
    assert str(form["name"].value()) == "Reboot players offline for 10 minutes"
    assert form["hold_s"].value() == "10 min"
    assert "minutes = 1" in page.content.decode()


# --- dry runs ------------------------------------------------------------------------------------


def test_a_dry_run_says_of_each_device_what_would_be_done_and_does_nothing(db: None) -> None:
    world = World(players=20, mode="auto")
    hung, young, hushed, unplugged = world.players[:4]
    world.turns(2)
    world.hang(hung)
    world.hush(hushed)
    for minute in range(12):
        world.after(1)
        if minute == 8:
            world.hang(young)
        world.poll()
        health.beat(now=world.now)
    world.hang(unplugged)
    unplugged.power_links.update(valid_to=world.now)
    Device.objects.filter(pk=unplugged.pk).update(state="offline", state_since=world.now - minutes(40))
    unplugged.targets.update(status="offline", status_since=world.now - minutes(40))

    found = dry_run(world.job, now=world.now)

    would = {line.device.pk: line.would for line in found.lines}
    assert [would[player.pk] for player in (hung, young, hushed, unplugged)] == [
        "act",
        "hold",
        "unknown",
        "refused",
    ]
    assert (found.matching, found.breach, found.unknown) == (20, 3, 1)
    assert found.lines[0].device == hung
    refusal = next(line.refusal for line in found.lines if line.device == unplugged)
    assert refusal is not None
    assert refusal.reason == "no_power_link"
    assert not Case.objects.exists()
    assert not Command.objects.exists()
    assert not JobState.objects.exists()


def test_a_dry_run_promises_nothing_where_a_person_has_the_case(db: None) -> None:
    world = World(players=2, mode="suggest")
    case = world.until_fired(world.players[0])

    untouched = dry_run(world.job, now=world.now).lines[0]
    Case.objects.filter(pk=case.pk).update(state="escalated")
    handed_over = dry_run(world.job, now=world.now).lines[0]

    assert (untouched.device, handed_over.device) == (world.players[0], world.players[0])
    assert (untouched.would, handed_over.would) == ("suggest", "case")


@pytest.mark.parametrize(("mode", "said"), [("shadow", "write"), ("suggest", "suggest"), ("auto", "act")])
def test_a_dry_run_knows_the_mode(db: None, mode: str, said: str) -> None:
    world = World(mode=mode)
    world.poll()
    world.hang(world.players[0])
    for _minute in range(12):
        world.after(1)
        world.poll()

    assert dry_run(world.job, now=world.now).lines[0].would == said


def test_a_form_is_tried_on_present_values_and_nothing_is_stored(
    north: Platform, console: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(platform=north, mode="shadow")
    world.poll()
    world.hang(world.players[0], world.players[1])
    for _minute in range(6):
        world.after(1)
        world.poll()
    monkeypatch.setattr("automation.admin.jobs.utcnow", lambda: world.now)
    body = body_of(world.job, hold_s=120, devices=[world.players[0].pk, world.players[2].pk], _try="1")
    url = reverse("admin:automation_job_change", args=[world.job.pk])

    page = console.post(url, body)
    added = console.post(reverse("admin:automation_job_add"), {**body, "name": "new"})

    for answer in (page, added):
        tried = answer.context["tried"]
        assert (tried.matching, tried.breach) == (2, 1)
        assert tried.lines[0].would == "write"
        assert "Nothing was stored and nothing was sent." in answer.content.decode()
    assert "10 min" in page.context["sentence"]  # the head goes on telling the rule in force
    assert "2 min" in page.context["tried_sentence"]
    world.job.refresh_from_db()
    assert (world.job.hold_s, world.job.version) == (600, 1)
    assert Job.objects.count() == 1
    assert world.job.devices.count() == 0


def test_who_may_not_change_a_job_may_not_try_one(north: Platform) -> None:
    job = make_job(north)
    viewer = make_user("viewer", platform=north, role="viewer")
    client = Client()
    client.force_login(viewer, backend=BACKEND)

    urls = [reverse("admin:automation_job_change", args=[job.pk]), reverse("admin:automation_job_add")]
    assert [client.post(url, body_of(job, _try="1")).status_code for url in urls] == [403, 403]


def test_the_api_tells_a_dry_run(north: Platform, api: APIClient, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(platform=north, players=3)
    world.poll()
    monkeypatch.setattr("automation.api.utcnow", lambda: world.now)

    found = api.get(f"/api/v1/jobs/{world.job.pk}/dry-run/").json()

    assert (found["matching"], found["breach"], len(found["lines"])) == (3, 0, 3)
    assert {line["would"] for line in found["lines"]} == {"nothing"}


def test_a_new_job_reboots_unless_told_otherwise_and_offers_no_command_that_leaves_the_output_off(
    console: Client,
) -> None:
    form = console.get(reverse("admin:automation_job_add")).context["adminform"].form

    offered = {key for key, _name in form.fields["template_key"].choices}
    assert {"power_cycle"} <= offered
    assert offered.isdisjoint({"power_off", "off_after", "schedule_off"})
    assert form["template_key"].value() == "power_cycle"
    assert form["params"].value() == "minutes = 1"
