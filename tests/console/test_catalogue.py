"""The catalogue is data that the superadmin edits: tried before it is kept, kept in versions, never half."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from devices.models import CatalogueVersion, CommandTemplate, DeviceModel
from devices.services.rules import keep_version, restore_version, try_reply
from devices.services.templates import load_catalogue_into_tables
from platforms.models import Platform, User
from tests.factories import NOW

Pages = Callable[[User], Client]


@pytest.fixture
def model(db: None) -> DeviceModel:
    return DeviceModel.objects.get(code="D210")


def cycle(model: DeviceModel) -> CommandTemplate:
    return CommandTemplate.objects.get(model=model, key="power_cycle")


def test_every_model_begins_with_a_version_and_a_second_load_makes_none(db: None) -> None:
    before = CatalogueVersion.objects.count()

    load_catalogue_into_tables()

    assert {row.model.code for row in CatalogueVersion.objects.all()} == {
        "D210", "D410", "T40-T20", "T80", "GSM-SOCKET", "ISOCKET-706",
    }  # fmt: skip
    assert CatalogueVersion.objects.count() == before


def test_what_was_edited_survives_an_update_and_can_be_restored(model: DeviceModel, root: User) -> None:
    first = CatalogueVersion.objects.filter(model=model).latest("number")
    CommandTemplate.objects.filter(pk=cycle(model).pk).update(name_en="Ours", is_edited=True)
    DeviceModel.objects.filter(pk=model.pk).update(reply_rules=[], rules_edited=True)
    second = keep_version(model, what="edited", by=root, now=NOW)
    load_catalogue_into_tables()

    assert cycle(model).name_en == "Ours"
    assert second is not None
    assert second.number == first.number + 1
    assert keep_version(model, what="nothing new", by=root, now=NOW) is None

    restore_version(first, by=root, now=NOW)

    model.refresh_from_db()
    assert cycle(model).name_en == "Power cycle: off for N minutes then on"
    assert len(model.reply_rules) > 10
    assert CatalogueVersion.objects.filter(model=model).latest("number").content == first.content


def test_a_text_is_tried_by_rules_that_are_not_kept(model: DeviceModel) -> None:
    draft = [
        {
            "name": "x",
            "pattern": "Реле (?P<s>вкл|выкл)",
            "verdict": "info",
            "facts": {"relay": {"group": "s"}},
        }
    ]

    verdict = try_reply(model, text="Реле вкл", rules=draft)

    assert (verdict.kind, verdict.facts) == ("info", {"relay": "вкл"})
    assert try_reply(model, text="Реле вкл").kind == "unrecognised"


def try_url(model: DeviceModel) -> str:
    return reverse("admin:devices_devicemodel_try", args=[model.pk])


def test_the_test_box_shows_facts_and_masks_passwords(
    model: DeviceModel, root: User, browser_of: Pages
) -> None:
    page = browser_of(root).post(
        try_url(model),
        {"text": "OUT1 OFF 5 MIN", "template": "power_cycle", "rules": json.dumps(model.reply_rules)},
    )
    masked = browser_of(root).post(
        try_url(model),
        {"text": "Your password is: 1234", "template": "", "rules": json.dumps(model.reply_rules)},
    )

    assert "off_for_minutes" in page.content.decode()
    assert "It says that the command was done." in page.content.decode()
    assert "password is: ****" in masked.content.decode()
    model.refresh_from_db()
    assert CatalogueVersion.objects.filter(model=model).count() == 1


@pytest.mark.parametrize(
    "rules", ['[{"name": "x", "pattern": "(a+)+b", "verdict": "info"}]', "[", "{}", '[{"name": 1}]']
)
def test_a_bad_draft_is_refused_with_a_sentence(
    model: DeviceModel, root: User, browser_of: Pages, rules: str
) -> None:
    page = browser_of(root).post(try_url(model), {"text": "a", "template": "", "rules": rules})

    assert page.status_code == 400


def test_a_member_tries_texts_but_edits_nothing(
    model: DeviceModel, bob: User, alice: User, browser_of: Pages
) -> None:
    page = browser_of(bob).post(try_url(model), {"text": "OUT1 ON", "rules": "[]"})
    version = CatalogueVersion.objects.filter(model=model).get()

    assert "output_on" in page.content.decode(), "by the model's own rules, not by theirs"
    restore = reverse("admin:devices_catalogueversion_restore", args=[version.pk])
    assert browser_of(alice).post(restore).status_code == 403


def form_of(template: CommandTemplate, **over: Any) -> dict[str, Any]:
    names = (
        "model", "key", "category", "name_ru", "name_en", "body", "effect", "power", "line", "min_role", "source",
    )  # fmt: skip
    values = {name: getattr(template, f"{name}_id" if name == "model" else name) for name in names}
    return {**values, "params": json.dumps(template.params), **over}


def test_the_superadmin_edits_a_template_and_a_version_is_kept(
    model: DeviceModel, root: User, north: Platform, browser_of: Pages
) -> None:
    template = cycle(model)
    url = reverse("admin:devices_commandtemplate_change", args=[template.pk])

    bad = browser_of(root).post(url, form_of(template, body="#12#0#{hours}#1#"))
    twin = browser_of(root).post(url, form_of(template, body="#01#0#", params="[]", effect="non-idempotent"))
    lax = browser_of(root).post(url, form_of(template, effect="idempotent"))
    good = browser_of(root).post(url, form_of(template, name_en="Reboot"))

    assert [page.status_code for page in (bad, twin, lax, good)] == [200, 200, 200, 302]
    assert (cycle(model).name_en, cycle(model).is_edited, cycle(model).body) == (
        "Reboot",
        True,
        "#12#0#{minutes}#1#",
    )
    assert (
        CatalogueVersion.objects.filter(model=model).latest("number").what.startswith("power_cycle: name_en")
    )


def test_edited_rules_are_our_own_and_a_bad_one_is_refused(
    model: DeviceModel, root: User, browser_of: Pages
) -> None:
    url = reverse("admin:devices_devicemodel_change", args=[model.pk])
    form = {"vendor": model.vendor, "code": model.code, "lines": model.lines}

    bad = browser_of(root).post(
        url, {**form, "reply_rules": '[{"name": "x", "pattern": "(a+)+b", "verdict": "info"}]'}
    )
    good = browser_of(root).post(
        url, {**form, "reply_rules": '[{"name": "x", "pattern": "a", "verdict": "info"}]'}
    )

    model.refresh_from_db()
    assert (bad.status_code, good.status_code) == (200, 302)
    assert model.rules_edited
    assert [rule["name"] for rule in model.reply_rules] == ["x"]
