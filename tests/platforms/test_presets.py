"""What a new client starts with: the preset's limits, exporters and jobs, and an invited first admin."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.test import Client
from django.urls import reverse

from automation.models import Job
from automation.states import Mode
from exporters.models import Exporter
from platforms import presets
from platforms.errors import BadPreset
from platforms.models import AuditEvent, Invitation, Platform, User
from platforms.presets import create_client, shipped
from remosa.lib.clock import utcnow
from tests.api.conftest import Call

CODES = sorted(shipped())


@pytest.fixture
def cms(settings: Any) -> None:
    settings.EXPORTER_URLS = {"cubic": "https://cms.example.org"}


@pytest.fixture
def own_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """``own_data(jobs=…)``: the repository holds this one preset instead."""

    def write(**over: Any) -> None:
        words = {"en": "One", "ru": "Один"}
        data = {"version": 1, "order": 1, "name": words, "about": words, **over}
        (tmp_path / "one.json").write_text(json.dumps(data), encoding="utf-8")
        monkeypatch.setattr(presets, "DATA", tmp_path)
        shipped.cache_clear()

    yield write
    shipped.cache_clear()


@pytest.mark.parametrize("code", CODES)
def test_each_shipped_preset_makes_a_client_whose_jobs_only_watch(code: str, root: User, cms: None) -> None:
    preset = shipped()[code]

    platform = create_client(name="new", by=root, now=utcnow(), preset=code)

    for column, value in preset.platform.items():
        assert getattr(platform, column) == value
    jobs = list(Job.objects.filter(platform=platform))
    assert len(jobs) == len(preset.parts.get("jobs", ()))
    assert {job.mode for job in jobs} <= {Mode.SHADOW}
    assert not any(job.may_darken_others for job in jobs)
    assert Exporter.objects.filter(platform=platform).count() == len(preset.parts.get("exporters", ()))
    line = AuditEvent.objects.get(verb="platform.preset_applied", platform=platform)
    assert (line.after["preset"], line.after["version"]) == (code, preset.version)
    assert line.actor_id == str(root.pk)


def test_some_preset_brings_jobs_and_exporters() -> None:
    assert {"jobs", "exporters"} <= set(shipped()["screens"].parts)


@pytest.mark.parametrize("code", CODES)
def test_each_shipped_preset_speaks_both_languages(code: str) -> None:
    preset = shipped()[code]
    texts = [preset.name, preset.about, *(job["name"] for job in preset.parts.get("jobs", ()))]

    assert all(set(text) == {"en", "ru"} and all(text.values()) for text in texts)


def test_what_is_given_wins_over_the_preset(root: User) -> None:
    platform = create_client(name="new", by=root, now=utcnow(), preset="trial", sms_limit=7)

    assert (platform.sms_limit, platform.device_limit) == (7, shipped()["trial"].platform["device_limit"])


def test_without_an_address_of_the_cms_no_exporter_is_made_and_the_preset_says_so(
    root: User, settings: Any
) -> None:
    settings.EXPORTER_URLS = {"cubic": ""}

    platform = create_client(name="new", by=root, now=utcnow(), preset="screens")

    assert not Exporter.objects.filter(platform=platform).exists()
    assert "No exporter “CubicMedia”" in " ".join(shipped()["screens"].brings())


@pytest.mark.parametrize("mode", Mode.values)
def test_no_preset_says_in_which_mode_its_jobs_begin(own_data: Callable[..., None], mode: str) -> None:
    own_data(jobs=[{"name": {"en": "Job"}, "template_key": "power_cycle", "mode": mode}])

    with pytest.raises(BadPreset, match="mode"):
        shipped()


@pytest.mark.parametrize(
    "over",
    [
        {"platform": {"is_active": False}},
        {"gateways": []},
        {"jobs": [{"name": {"en": "Job"}, "hold_s": -1}]},
        {"jobs": [{"name": {"en": "Job"}, "may_darken_others": True}]},
        {"exporters": [{"kind": "addreality", "name": "needs a key"}]},
        {"exporters": [{"kind": "cubic", "name": "x", "secret": "s"}]},
        {"exporters": [{"kind": "cubic", "name": "x", "interval_s": 0}]},
    ],
)
def test_a_preset_that_says_too_much_is_refused_at_the_start(
    own_data: Callable[..., None], over: dict[str, Any]
) -> None:
    own_data(**over)

    with pytest.raises(BadPreset, match="one"):
        shipped()


def test_all_of_a_preset_is_made_or_nothing(root: User, own_data: Callable[..., None]) -> None:
    own_data(jobs=[{"name": {"en": "Job"}, "template_key": "no such command"}])

    with pytest.raises(ValidationError):
        create_client(name="new", by=root, now=utcnow(), preset="one")

    assert not Platform.objects.filter(name="new").exists()
    assert not AuditEvent.objects.filter(verb__startswith="platform.").exists()


def test_the_first_admin_is_invited(root: User) -> None:
    platform = create_client(name="new", by=root, now=utcnow(), preset="screens", admin_email="a@example.org")

    row = Invitation.objects.get(platform=platform)
    assert (row.email, row.role, row.invited_by) == ("a@example.org", "admin", root)


# --- the console ---------------------------------------------------------------------------------


def test_the_superadmin_chooses_a_preset_and_sees_what_it_brings(
    root: User, cms: None, browser_of: Callable[[User], Client]
) -> None:
    client = browser_of(root)
    url = reverse("admin:platforms_platform_add")

    chooser = client.get(url).content.decode()
    page = client.get(url, {"preset": "trial"})

    for preset in shipped().values():
        assert preset.name["en"] in chooser
        assert f"?preset={preset.code}" in chooser
    assert "in shadow. Watches all players" in chooser
    form = page.context["adminform"].form
    assert form["device_limit"].value() == shipped()["trial"].platform["device_limit"]
    assert "in shadow. Watches all players" in page.content.decode()

    fields = {name: form[name].value() for name in form.fields if form[name].value() is not None}
    answer = client.post(
        url, fields | {"name": "Fresh", "is_active": "on", "sms_limit": 44, "admin_email": "a@example.org"}
    )

    platform = Platform.objects.get(name="Fresh")
    assert answer.status_code == 302
    assert (platform.sms_limit, platform.device_limit) == (44, 20)
    assert Job.objects.get(platform=platform).mode == Mode.SHADOW
    assert Invitation.objects.filter(platform=platform, role="admin").exists()


def test_nobody_else_sees_the_presets(alice: User, browser_of: Callable[[User], Client]) -> None:
    answer = browser_of(alice).get(reverse("admin:platforms_platform_add"))

    assert answer.status_code == 403
    assert "Trial" not in answer.content.decode()


# --- the API -------------------------------------------------------------------------------------


def test_the_api_lists_the_presets_and_applies_one(root: User, api: Call) -> None:
    caller = api(root)

    offered = caller.get("/api/v1/platforms/presets/").json()
    made = caller.post(
        "/api/v1/platforms/", {"name": "Fresh", "preset": "network", "admin_email": "a@example.org"}
    )

    assert [each["code"] for each in offered] == list(shipped())
    assert made.status_code == 201
    assert "preset" not in made.json()
    assert Job.objects.get(platform=made.json()["id"]).mode == Mode.SHADOW
    assert Platform.objects.get(name="Fresh").device_limit == 1000


@pytest.mark.parametrize(
    ("body", "field"),
    [({"preset": "no such"}, "preset"), ({"preset": "trial", "admin_email": "x"}, "admin_email")],
)
def test_the_api_refuses_what_is_no_preset_and_no_address(
    root: User, api: Call, body: dict[str, str], field: str
) -> None:
    answer = api(root).post("/api/v1/platforms/", {"name": "Fresh", **body})

    assert (answer.status_code, list(answer.json()["error"]["fields"])) == (400, [field])
    assert not Platform.objects.filter(name="Fresh").exists()


def test_the_api_shows_presets_to_the_superadmin_alone(alice: User, api: Call) -> None:
    assert api(alice).get("/api/v1/platforms/presets/").status_code == 403


def test_a_preset_is_for_a_new_client_only(root: User, north: Platform, api: Call) -> None:
    answer = api(root).patch(f"/api/v1/platforms/{north.pk}/", {"preset": "trial"})

    assert answer.status_code == 200
    assert not Job.objects.filter(platform=north).exists()
    assert Platform.objects.get(pk=north.pk).device_limit == north.device_limit
