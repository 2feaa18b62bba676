"""The bench check: replies become rules, all steps must be seen, and until then jobs leave a model alone."""

import json
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from devices.bench import propose_rule, read_step, steps_for
from devices.catalogue import TemplateSpec, load_catalogue
from devices.models import BenchCheck, CatalogueVersion, CommandTemplate, Device, DeviceModel
from devices.replies import ReplyRule, load_rules, read_reply
from devices.services.bench import (
    BenchIncomplete,
    is_bench_checked,
    pass_check,
    read_replies,
    received,
    steps_of,
    use_rules,
    withdraw,
)
from platforms.models import AuditEvent, Platform, User
from tests.console.conftest import *  # noqa: F403  its fixtures
from tests.console.world import make_command
from tests.factories import NOW, make_socket

SPECS = {(spec.model, spec.key): spec for spec in load_catalogue()}
SEEN = ("came_back", "lost_on", "mains_back")
UNHEARD = "Реле: выкл на 1 мин, t 23C"  # words that no shipped rule knows


@pytest.fixture
def model(db: None) -> DeviceModel:
    return DeviceModel.objects.get(code="D210")


def answers_of(model: DeviceModel) -> dict[str, str]:
    """What the simulator's D210 answers on the bench."""
    said = {
        "status": "OUT1 ON; T=23C; MAINS OK; GSM 20", "power_cycle": "OUT1 OFF 1 MIN",
        "power_on": "OUT1 ON", "power_off": "OUT1 OFF",
    }  # fmt: skip
    return {step.key: said[step.template.key] for step in steps_of(model) if step.template is not None}


# --- proposals -------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["D210", "D410", "T40-T20", "T80", "GSM-SOCKET", "ISOCKET-706"])
def test_every_model_has_steps_for_each_way_in_which_it_is_switched(model: str) -> None:
    own = [spec for spec in SPECS.values() if spec.model == model]

    wanted = {step.template.key for step in steps_for(own) if step.template is not None}

    assert wanted >= {
        spec.key for spec in own if spec.power in ("on", "off", "cycle", "on_later") and not spec.dangerous
    }
    assert "lost_on" in {step.key for step in steps_for(own)}


def test_a_proposed_rule_reads_its_text_and_the_same_with_other_numbers() -> None:
    spec = SPECS["D210", "power_cycle"]

    rule = ReplyRule.from_dict(propose_rule(UNHEARD, spec, sent={"minutes": 1}))

    again = read_reply("Реле: выкл на 5 мин, t -7C", [rule], awaiting=spec, sent={"minutes": 5})
    foreign = read_reply("Реле: выкл на 5 мин, t -7C", [rule], awaiting=spec, sent={"minutes": 1})
    assert (again.kind, again.facts) == ("confirmed", {"temperature_c": -7})
    assert foreign.mismatch == "other_value"


def test_a_status_becomes_outputs_and_temperature() -> None:
    rule = ReplyRule.from_dict(propose_rule("State: ON, temp 21 C, sig 17", SPECS["D210", "status"]))

    read = read_reply("State: OFF, temp 4 C, sig 3", [rule], awaiting=SPECS["D210", "status"])

    assert (read.kind, read.facts) == ("confirmed", {"out1": "off", "temperature_c": 4})


@example(text="0000000", spec=SPECS["D210", "status"])
@example(text="ICCID 89701012345678901234 5", spec=SPECS["D210", "status"])
@example(text="1" * 50, spec=SPECS["D210", "status"])
@example(text="0:0:0:0:0", spec=SPECS["D210", "status"])
@example(text="OUT ON 21 C " * 10, spec=SPECS["D210", "status"])
@given(
    text=st.text(min_size=1, max_size=120).filter(str.strip),
    spec=st.sampled_from([spec for spec in SPECS.values() if spec.power or spec.key == "status"]),
)
def test_what_is_proposed_is_either_a_rule_that_reads_the_text_or_refused_as_too_long(
    text: str, spec: TemplateSpec
) -> None:
    plain = propose_rule(text, spec)
    if len(plain["pattern"]) > 500:
        return

    read = read_reply(text, [ReplyRule.from_dict(plain)], awaiting=spec)

    tidy = "".join(text.split()) != "" and not re.search(r"[\r\x0b\x0c\x1c-\x1e\x85\u00a0\u2028\u2029]", text)
    assert read.answers or not tidy


def test_nothing_is_proposed_for_what_is_understood() -> None:
    step = next(step for step in steps_for([SPECS["D210", "power_cycle"]]) if step.template is not None)
    rules = load_rules(json.loads(json.dumps(_shipped())))

    assert read_step(step, "OUT1 OFF 1 MIN", rules).is_done
    assert read_step(step, "OUT1 OFF 1 MIN", rules).proposal is None
    assert read_step(step, UNHEARD, rules).proposal is not None


def _shipped() -> list[dict]:
    from devices.services.templates import shipped_models

    return next(row["rules"] for row in shipped_models() if row["code"] == "D210")


# --- the check -------------------------------------------------------------------------------------


def test_a_check_passes_only_when_every_step_is_done(model: DeviceModel, root: User) -> None:
    DeviceModel.objects.filter(pk=model.pk).update(bench_checked_at=None)
    texts = answers_of(model)

    for lacking in (*texts, *SEEN):
        with pytest.raises(BenchIncomplete) as refused:
            pass_check(
                model, texts={k: v for k, v in texts.items() if k != lacking},
                seen=[name for name in SEEN if name != lacking], firmware="", by=root, now=NOW,
            )  # fmt: skip
        assert refused.value.missing == [lacking]
    model.refresh_from_db()
    assert model.bench_checked_at is None

    pass_check(model, texts=texts, seen=SEEN, firmware="", by=root, now=NOW)

    assert model.bench_checked_at == NOW
    assert AuditEvent.objects.get(verb="devicemodel.bench_passed").actor_label == root.username


def test_a_socket_of_another_firmware_stays_with_people(
    model: DeviceModel, north: Platform, root: User
) -> None:
    pass_check(model, texts=answers_of(model), seen=SEEN, firmware="2.1", by=root, now=NOW)
    unknown, same, other = (
        make_socket(north, checked=False, labels=labels)
        for labels in ({}, {"firmware": "2.1"}, {"firmware": "3.0"})
    )

    assert [is_bench_checked(row) for row in (unknown, same, other)] == [True, True, False]

    withdraw(model, why="it lies", by=root, now=NOW)
    assert not any(is_bench_checked(Device.objects.get(pk=row.pk)) for row in (unknown, same, other))
    assert BenchCheck.objects.get().withdrawn_why == "it lies"


def test_a_reply_that_came_in_is_offered_and_its_rule_switched_on(
    model: DeviceModel, north: Platform, root: User
) -> None:
    socket = make_socket(north)
    command = make_command(socket, key="power_cycle", state="replied")
    type(command).objects.filter(pk=command.pk).update(
        reply_text=UNHEARD, replied_at=NOW, params={"minutes": 1}
    )
    texts = {key: came.text for key, came in received(model).items()}
    assert texts == {"reply_power_cycle": UNHEARD}
    read = next(item for item in read_replies(model, texts) if item.step.key == "reply_power_cycle")
    assert read.proposal is not None

    use_rules(model, [read.proposal], by=root, now=NOW)

    read = next(item for item in read_replies(model, texts) if item.step.key == "reply_power_cycle")
    assert read.is_done
    assert model.rules_edited
    assert CatalogueVersion.objects.filter(model=model).latest("number").what == "bench: bench_power_cycle"


# --- the page --------------------------------------------------------------------------------------


def test_the_superadmin_passes_the_check_on_its_page(
    model: DeviceModel, root: User, alice: User, browser_of
) -> None:
    DeviceModel.objects.filter(pk=model.pk).update(bench_checked_at=None)
    url = f"/admin/devices/devicemodel/{model.pk}/bench/"
    assert browser_of(alice).get(url).status_code == 403
    page = browser_of(root)
    texts = answers_of(model) | {"reply_power_cycle": UNHEARD}

    read = page.post(url, texts)
    assert "bench_power_cycle" in read.content.decode()
    refused = page.post(url, {**texts, "pass": "1"} | dict.fromkeys(SEEN, "on"))
    assert refused.status_code == 400
    rule = json.dumps(read_replies(model, texts)[1].proposal)
    page.post(url, {**texts, "use": "1", "use_reply_power_cycle": "on", "rule_reply_power_cycle": rule})
    page.post(url, {**texts, "pass": "1", "firmware": "2.1"} | dict.fromkeys(SEEN, "on"))

    model.refresh_from_db()
    assert model.bench_checked_at is not None
    assert BenchCheck.objects.get().firmware == "2.1"
    page.post(url, {"withdraw": "1"})
    model.refresh_from_db()
    assert model.bench_checked_at is None


@pytest.mark.parametrize("rule", ["[", "{}", '{"name": "x", "pattern": "(a+)+", "verdict": "info"}'])
def test_a_bad_rule_is_refused_with_a_sentence(model: DeviceModel, root: User, browser_of, rule: str) -> None:
    page = browser_of(root).post(
        f"/admin/devices/devicemodel/{model.pk}/bench/",
        {
            "use": "1",
            "reply_power_cycle": UNHEARD,
            "use_reply_power_cycle": "on",
            "rule_reply_power_cycle": rule,
        },
    )

    assert page.status_code == 400
    model.refresh_from_db()
    assert not model.rules_edited


def test_another_text_of_a_command_ends_the_check(model: DeviceModel, root: User, browser_of) -> None:
    DeviceModel.objects.filter(pk=model.pk).update(bench_checked_at=NOW)
    row = CommandTemplate.objects.get(model=model, key="power_cycle")
    fields = {
        "category": row.category, "name_ru": row.name_ru, "name_en": row.name_en, "effect": row.effect,
        "power": row.power, "line": row.line, "min_role": row.min_role, "source": row.source,
        "params": json.dumps(row.params), "model": model.pk, "key": row.key,
    }  # fmt: skip
    url = f"/admin/devices/commandtemplate/{row.pk}/change/"

    browser_of(root).post(url, {**fields, "body": row.body, "name_en": "Reboot"})
    model.refresh_from_db()
    assert model.bench_checked_at == NOW

    browser_of(root).post(url, {**fields, "body": "#12#9#{minutes}#1#"})
    model.refresh_from_db()
    assert model.bench_checked_at is None
