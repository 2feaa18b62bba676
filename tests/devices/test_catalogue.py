"""The command catalogue: whole, consistent, and impossible to talk into sending something else."""

import csv
import json
import random
import re
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices.catalogue import (
    COLUMNS,
    ONE_SEPTET,
    SHIPPED,
    CatalogueError,
    ParamError,
    ParamSpec,
    TemplateSpec,
    check_template,
    grammar,
    load_catalogue,
    params_schema,
    parse_body,
    render,
)
from sms import segments

FIXTURES = Path(__file__).parent.parent / "fixtures" / "sockets"
CATALOGUE = load_catalogue()
BY_KEY = {(spec.model, spec.key): spec for spec in CATALOGUE}
WITH_PARAMS = [spec for spec in CATALOGUE if spec.params]
CYCLE = BY_KEY["D210", "power_cycle"]

# What a parameter of each type may look like in an SMS, written here a second time on purpose.
ALLOWED = {
    "int": r"-?[0-9]{1,3}",
    "enum": r"[A-Z0-9*]{1,8}",
    "e164": r"\+[0-9]{7,15}",
    "e164_list": r"\+[0-9]{7,15}(#\+[0-9]{7,15}){0,9}",
    "hhmm": r"[0-2][0-9][0-5][0-9]",
    "clock": r"[0-2][0-9]:[0-5][0-9]",
    "digits": r"[0-9]{4}",
    "text": r"[A-Z0-9]{1,16}",
}


def model_specs(model: str) -> list[TemplateSpec]:
    return [spec for spec in CATALOGUE if spec.model == model]


def refusal(spec: TemplateSpec, params: dict) -> dict[str, str]:
    with pytest.raises(ParamError) as caught:
        render(spec, params)
    return {name: str(sentence) for name, sentence in caught.value.errors.items()}


def valid_value(param: ParamSpec) -> st.SearchStrategy:
    phone = st.from_regex(r"\A\+[1-9][0-9]{6,14}\Z")
    return {
        "int": st.integers(param.minimum, param.maximum),
        "enum": st.sampled_from([code for code, _word in param.choices] or ["-"]),
        "e164": phone,
        "e164_list": st.lists(
            phone, min_size=param.minimum or 1, max_size=min(param.maximum or 9, 9), unique=True
        ),
        "hhmm": st.builds("{:02d}{:02d}".format, st.integers(0, 23), st.integers(0, 59)),
        "clock": st.builds("{:02d}:{:02d}".format, st.integers(0, 23), st.integers(0, 59)),
        "digits": st.from_regex(r"\A[0-9]{4}\Z"),
        "text": st.from_regex(r"\A[A-Z0-9]{1,16}\Z"),
    }[param.type]


@st.composite
def spec_and_params(draw: st.DrawFn) -> tuple[TemplateSpec, dict]:
    spec = draw(st.sampled_from(CATALOGUE))
    params = {param.name: draw(valid_value(param)) for param in spec.params}
    for param in spec.params:
        if param.above:
            low = draw(st.integers(param.minimum, param.maximum - 1))
            params |= {param.above: low, param.name: draw(st.integers(low + 1, param.maximum))}
    return spec, params


# --- the shipped catalogue


def test_catalogue_has_every_command_of_every_model():
    counts = {model: len(model_specs(model)) for model in {spec.model for spec in CATALOGUE}}

    assert counts == {"D210": 43, "D410": 67, "T40-T20": 7, "T80": 20, "GSM-SOCKET": 21, "ISOCKET-706": 15}


def test_reboot_is_one_self_restoring_sms_that_acts_each_time():
    cycles = [spec for spec in CATALOGUE if spec.power == "cycle"]

    assert [(spec.model, spec.key) for spec in cycles] == [
        ("ISOCKET-706", "power_cycle"),
        ("ISOCKET-706", "restart"),
        ("D210", "power_cycle"),
    ]
    assert {spec.effect for spec in cycles} == {"non-idempotent"}
    assert render(CYCLE, {"minutes": 1}).body == "#12#0#1#1#"


def test_the_bytes_of_a_reboot_of_one_model_switch_another_on():
    read = {
        model: parse_body(model_specs(model), "#12#0#10#1#")
        for model in ("D210", "T40-T20", "T80", "D410", "GSM-SOCKET", "ISOCKET-706")
    }

    assert {model: found and found[0].power for model, found in read.items()} == {
        "D210": "cycle", "T40-T20": "on_later", "T80": "on_later", "D410": None, "GSM-SOCKET": None,
        "ISOCKET-706": None,
    }  # fmt: skip


def test_whatever_can_switch_off_is_never_repeatable():
    off = [spec for spec in CATALOGUE if spec.power in ("off", "cycle", "on_then_off", "off_later")]

    assert {spec.model for spec in off} == {spec.model for spec in CATALOGUE}
    assert len(off) == 20
    assert {spec.effect for spec in off} == {"non-idempotent"}


@pytest.mark.parametrize("prefix", ["#08#", "#06#", "#15#", "#00#", "#09#"])
def test_vendor_command_that_changes_who_is_in_control_needs_an_admin(prefix):
    changing = [
        spec for spec in model_specs("D210") if spec.body.startswith(prefix) and spec.effect != "query"
    ]

    assert changing
    assert all(spec.dangerous and spec.min_role in ("admin", "superadmin") for spec in changing)


def test_line_says_which_output_is_moved():
    lines = {spec.key: spec.line for spec in model_specs("D410") if spec.power in ("on", "off")}
    expected = {"power_on_all": 0, "power_on_line1": 1, "power_on_line2": 2}
    expected |= {"power_off_all": 0, "power_off_line1": 1, "power_off_line2": 2}

    assert lines == expected
    assert BY_KEY["D410", "power_off_all"].acts_on_all_lines
    assert not BY_KEY["D410", "power_off_line2"].acts_on_all_lines
    assert CYCLE.line == 1
    assert not CYCLE.acts_on_all_lines


def test_all_that_was_not_seen_in_a_manual_is_to_be_confirmed():
    assert all(spec.to_be_confirmed for spec in model_specs("D410"))
    assert [spec.key for spec in model_specs("D210") if spec.to_be_confirmed] == ["schedule_off"]
    assert [spec.key for spec in model_specs("ISOCKET-706") if spec.to_be_confirmed] == [
        "restart",
        "schedule_add",
    ]


def test_every_parameter_is_typed_and_bounded():
    assert {param.type for spec in CATALOGUE for param in spec.params} == set(ALLOWED)
    numbers = [param for spec in CATALOGUE for param in spec.params if param.type == "int"]

    assert all(param.minimum is not None and param.maximum is not None for param in numbers)
    assert {param.name for param in numbers if not param.unit} == {"input", "slot"}


def test_body_alphabet_takes_one_septet_each():
    assert all(segments.count(character) == segments.Segments("gsm7", 1, 1, 160) for character in ONE_SEPTET)


# --- the fixture

MODEL_OF = {
    "simpal_d210": "D210",
    "simpal_d410": "D410",
    "simpal_t40_t20": "T40-T20",
    "telemetrica_t80": "T80",
    "gsm_power_socket_oem": "GSM-SOCKET",
    "isocket_706_707": "ISOCKET-706",
}
KEYS = {
    ("simpal_d410", "schedule.set"): ("schedule_{line}", {"end": "stop"}),
    ("simpal_d410", "delay.on"): ("on_after_{line}", {}),
    ("simpal_d210", "off_for"): ("power_cycle", {}),
    ("simpal_d210", "thermo.set"): ("thermostat_set", {"min": "low", "max": "high"}),
    ("isocket_706_707", "off_for"): ("power_cycle", {}),
}
ROWS = [json.loads(line) for line in (FIXTURES / "render.jsonl").read_text(encoding="utf-8").splitlines()]
LISTED = [
    (model, entry)
    for model, entries in json.loads(
        (FIXTURES / "command_catalogues.json").read_text(encoding="utf-8")
    ).items()
    for entry in entries
]


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_every_row_of_the_fixture_is_reproduced(row):
    key, names = KEYS[row["model"], row["key"]]
    given = dict(row["params"])
    line = given.pop("line", None)
    spec = BY_KEY[MODEL_OF[row["model"]], key.format(line="all" if line == 0 else f"line{line}")]
    params = {names.get(name, name): value for name, value in given.items()}

    if "error" in row:
        assert list(refusal(spec, params)) == ["minutes"]
    else:
        assert render(spec, params).body == row["sms"]


# What stands for a placeholder of the listed commands; the rest is a number.
SAMPLES = {
    "phone": "+79001234567", "phones": "+79001234567#+79001234568", "p1": "+79001234567", "start": "0800",
    "end": "2000", "min": "10", "max": "20", "name": "LAMP", "z1": "DOOR", "z2": "HALL", "old": "1234", "new": "4321",
    "hh": "08", "mm": "00", "action": "ON", "day": "7", "line": "1",
}  # fmt: skip


@pytest.mark.parametrize(
    ("model", "entry"), LISTED, ids=lambda value: value if isinstance(value, str) else value["key"]
)
def test_every_listed_command_is_in_the_catalogue_of_its_model(model, entry):
    if entry["key"].startswith("lines.disable"):  # the field table has it as control by call
        assert parse_body(model_specs("D410"), entry["template"])[0].key.startswith("call_off")
        return
    body = entry["template"].replace("{p1}#...#{p4}", "+79001234567#+79001234568")

    def sample(found: re.Match) -> str:
        return found[1].split("|")[0] if "|" in found[1] else SAMPLES.get(found[1], "1")

    assert parse_body(model_specs(MODEL_OF[model]), re.sub(r"\{([^{}]*)\}", sample, body)) is not None


# --- rendering


def test_times_are_written_without_a_colon_and_kept_so():
    spec = BY_KEY["D410", "schedule_line2"]

    rendered = render(spec, {"day": 8, "start": "20:00", "stop": "0800"})

    assert rendered.body == "#20#2#8#2000#0800#"
    assert rendered.params == {"day": "8", "start": "2000", "stop": "0800"}


def test_password_is_masked_in_what_may_be_shown():
    rendered = render(BY_KEY["D210", "factory_reset"], {"password": "1234"})

    assert (rendered.body, rendered.masked) == ("#08#1234#", "#08#****#")


def test_missing_and_unknown_parameters_are_named_together():
    assert refusal(CYCLE, {"minute": 5}) == {
        "minute": "This command has no such parameter: leave it out.",
        "minutes": "Give a whole number from 1 to 720 min.",
    }


def test_thermostat_limits_may_not_be_swapped():
    spec = BY_KEY["D210", "thermostat_set"]

    assert refusal(spec, {"mode": 1, "low": 25, "high": 15}) == {
        "high": "Give more than in “Lowest temperature”."
    }


def test_a_list_that_does_not_fit_into_one_sms_is_refused_although_each_number_is_right():
    phones = [f"+7900123456789{number}" for number in range(10)]

    errors = refusal(BY_KEY["D410", "add_users_level2"], {"phones": phones})

    assert errors == {"phones": "The command would have 164 characters, one SMS holds 160: give less."}


@pytest.mark.parametrize(
    "given",
    [
        0,
        721,
        -1,
        pytest.param(10**5000, id="huge"),
        True,
        5.0,
        float("nan"),
        None,
        "",
        " 5",
        "5 ",
        "+5",
        "05",
    ],
)
@pytest.mark.parametrize("wrap", [lambda value: value, lambda value: [value]], ids=["bare", "listed"])
def test_a_number_outside_its_form_is_refused(given, wrap):
    assert refusal(CYCLE, {"minutes": wrap(given)}) == {"minutes": "Give a whole number from 1 to 720 min."}


@pytest.mark.parametrize(
    "given",
    ["1#", "1#0#", "５", "٥", "1\n", "1\r", "1\x1a", "1\x1b", "1\x00", "\u202e1", "1_0", "0x1", "1e1", "＃1"],
)
def test_an_injected_number_is_refused(given):
    assert list(refusal(CYCLE, {"minutes": given})) == ["minutes"]


@pytest.mark.parametrize(
    ("key", "name", "given"),
    [
        ("add_user", "phone", "8900123456"),
        ("add_user", "phone", "+7 900 123-45-67 ext. 2"),
        ("add_user", "phone", "+7 900#123-45-67"),
        ("add_user", "phone", "+79001234567#"),
        ("add_user", "phone", "+79001234567\n#08#1#"),
        ("add_user", "phone", "+7９001234567"),
        ("add_user", "phone", "+0123456789"),
        ("add_user", "phone", 79001234567),
        ("factory_reset", "password", "12345"),
        ("factory_reset", "password", "１２３４"),
        ("factory_reset", "password", 1234),
        ("sensor_names", "name1", "DOOR 1"),
        ("sensor_names", "name1", "door"),
        ("sensor_names", "name1", "ДВЕРЬ"),
        ("sensor_names", "name1", "A" * 17),
        ("sensor_names", "name1", "{0.__class__}"),
        ("sensor_names", "name1", "{name2}"),
        ("schedule_set", "start", "24:00"),
        ("schedule_set", "start", "7:30"),
        ("schedule_set", "start", "730"),
        ("schedule_set", "day", "every day"),
        ("schedule_set", "day", 10),
        ("schedule_set", "day", True),
        ("schedule_set", "start", "20;00"),
    ],
)
def test_a_value_outside_its_type_is_refused_by_name(key, name, given):
    good = {"phone": "+79001234567", "password": "1234", "name1": "A", "name2": "B"}
    good |= {"start": "0800", "stop": "2000", "day": "0"}
    spec = BY_KEY["D210", key]
    params = {param.name: good[param.name] for param in spec.params} | {name: given}

    assert list(refusal(spec, params)) == [name]


def test_a_refusal_never_repeats_what_was_given():
    errors = refusal(BY_KEY["D210", "factory_reset"], {"password": "98765"})

    assert errors == {"password": "Write 4 digits and nothing else."}


@pytest.mark.parametrize(
    "written", ["89001234567", "+7 (900) 123-45-67", "8 900 123 45 67", "9001234567", " +79001234567\n"]
)
def test_a_phone_is_taken_in_every_spelling_and_written_in_one(written):
    body = render(BY_KEY["D210", "add_user"], {"phone": written}).body

    assert body == "#06#+79001234567#"


def test_phone_list_takes_a_list_or_commas_and_no_number_twice():
    spec = BY_KEY["D410", "add_users_level2"]

    assert render(spec, {"phones": "+79001234567,+79001234568"}).body == "#60#+79001234567#+79001234568#"
    assert render(spec, {"phones": ["+79001234567"]}).body == "#60#+79001234567#"
    assert list(refusal(spec, {"phones": ["+79001234567", "+79001234567"]})) == ["phones"]
    assert list(refusal(spec, {"phones": ["+79001234567", "8 900 123-45-67"]})) == ["phones"]
    assert render(spec, {"phones": "8 900 123-45-67, +79001234568"}).body == "#60#+79001234567#+79001234568#"
    assert list(refusal(spec, {"phones": ["+79001234567", 5]})) == ["phones"]
    assert list(refusal(spec, {"phones": []})) == ["phones"]


# --- 20 000 fuzzed parameters

HOSTILE = [
    "#",
    "##",
    "#08#1234#",
    "\r",
    "\n",
    "\x1a",
    "\x1b",
    "\x00",
    "＃",
    "１",
    "\u202e",
    " ",
    "\t",
    "{0.__class__}",
]
HOSTILE += [
    "{minutes}",
    "%s",
    "+",
    "-",
    "٣",
    "Ａ",
    "é",
    "я",
    "\ud800",
    "🛠",
    "*",
    "\u200b",
    "0",
    "9",
    "A",
    "z",
    ":",
]
ODD = [
    None,
    True,
    False,
    1.0,
    float("nan"),
    float("inf"),
    -0.0,
    10**40,
    -(10**40),
    2**31,
    [],
    {},
    ["1"],
    {"a": 1},
    b"1",
    "",
]
PLAUSIBLE = [
    "0",
    "1",
    "5",
    "720",
    "721",
    "-30",
    "100",
    "2000",
    "08:00",
    "+79001234567",
    "1234",
    "DOOR",
    0,
    1,
    5,
    25,
    720,
]


def fuzzed_value(rng: random.Random) -> object:
    kind = rng.random()
    if kind < 0.45:
        return rng.choice(PLAUSIBLE)
    if kind < 0.6:
        return rng.choice(ODD)
    if kind < 0.65:
        return [fuzzed_value(rng) for _ in range(rng.randrange(12))]
    base = str(rng.choice(PLAUSIBLE))
    for _ in range(rng.randrange(1, 4)):
        place = rng.randrange(len(base) + 1)
        base = base[:place] + rng.choice(HOSTILE) + base[place + rng.randrange(2) :]
    return base


def fuzzed_params(rng: random.Random, spec: TemplateSpec) -> dict[str, object]:
    params = {param.name: fuzzed_value(rng) for param in spec.params if rng.random() > 0.02}
    if rng.random() < 0.02:
        params[rng.choice(["#", "self", "", "minutes ", "extra"])] = fuzzed_value(rng)
    return params


def escaped(spec: TemplateSpec, body: str) -> bool:
    """Whether ``body`` is anything but what ``spec`` may send, judged without the code under test."""
    types = {param.name: param.type for param in spec.params}
    allowed = re.sub(r"\\{(\w+)\\}", lambda found: f"({ALLOWED[types[found[1]]]})", re.escape(spec.body))
    own = re.fullmatch(allowed, body)
    return own is None or not body.isascii() or segments.count(body).parts != 1


def naive_render(spec: TemplateSpec, params: dict[str, object]) -> str:
    return spec.body.format(**params)


def test_20000_fuzzed_parameters_are_rendered_right_or_refused(request):
    rng = random.Random(20_000)
    rendered = refused = silent = 0
    escapes = []

    for _ in range(20_000):
        spec = rng.choice(WITH_PARAMS)
        params = fuzzed_params(rng, spec)
        try:
            body = render(spec, params).body
        except ParamError as exc:
            refused += 1
            silent += not exc.errors or not all(
                str(sentence).endswith(".") for sentence in exc.errors.values()
            )
            continue
        rendered += 1
        if grammar(spec).fullmatch(body) is None or escaped(spec, body):
            escapes.append((spec.key, params, body))

    assert escapes == []
    assert silent == 0
    assert rendered > 1_000
    assert refused > 10_000
    assert {spec.model for spec in WITH_PARAMS} == {spec.model for spec in CATALOGUE}
    tell(request, "params", f"{rendered + refused} fuzzed, {len(escapes)} escaped")


def test_the_fuzz_would_catch_a_renderer_that_trusts_its_parameters():
    rng = random.Random(20_000)
    escapes = 0

    for _ in range(2_000):
        spec = rng.choice(WITH_PARAMS)
        params = fuzzed_params(rng, spec)
        if {param.name for param in spec.params} <= set(params):
            escapes += escaped(spec, naive_render(spec, params))

    assert escapes > 1_000


def tell(request: pytest.FixtureRequest, name: str, text: str) -> None:
    """Report a figure of the run, through the reporter where there is one."""
    try:
        figure = request.getfixturevalue("figure")
    except pytest.FixtureLookupError:
        print(f"{name}: {text}")
    else:
        figure(name, text)


# --- reading back


@given(spec_and_params())
@settings(max_examples=300, deadline=None)
def test_what_was_rendered_is_read_back(drawn):
    spec, params = drawn

    rendered = render(spec, params)

    assert grammar(spec).fullmatch(rendered.body)
    assert parse_body(model_specs(spec.model), rendered.body) == (spec, rendered.params)


@given(spec_and_params())
@settings(max_examples=200, deadline=None)
def test_rendered_parameters_render_again_and_obey_the_schema(drawn):
    spec, params = drawn

    rendered = render(spec, params)

    assert render(spec, json.loads(json.dumps(rendered.params))) == rendered
    jsonschema.validate(rendered.params, params_schema(spec))


@given(st.text(alphabet="#0123456789+-A\n＃", max_size=40))
@settings(max_examples=300, deadline=None)
def test_whatever_is_read_renders_to_the_same_text(text):
    parsed = parse_body(model_specs("D410"), text)

    assert parsed is None or render(*parsed).body == text


def test_no_two_commands_of_a_model_can_send_the_same_text():
    for spec in CATALOGUE:
        if not spec.params:
            assert parse_body(model_specs(spec.model), spec.body) == (spec, {})


@pytest.mark.parametrize(
    "body",
    [
        "",
        "#12#0#721#1#",
        "#12#0#05#1#",
        "#12#0#5#1#\n",
        " #12#0#5#1#",
        "#12#0#５#1#",
        "#24#0#1#25#15#",
        "#99#",
        "x" * 161,
    ],
)
def test_a_text_that_no_command_sends_is_not_read(body):
    assert parse_body(model_specs("D210"), body) is None


def test_the_same_text_is_another_command_on_another_model():
    d210, _params = parse_body(model_specs("D210"), "#32#")

    assert d210.key == "status_thermostat"
    assert parse_body(model_specs("D410"), "#32#") is None
    assert parse_body(model_specs("D410"), "#12#0#10#1#") is None


# --- specs as JSON


def test_specs_survive_a_json_column():
    for spec in CATALOGUE:
        for param in spec.params:
            assert ParamSpec.from_dict(json.loads(json.dumps(param.to_dict()))) == param


@pytest.mark.parametrize(
    "plain",
    [
        {},
        {"name": "x"},
        {"name": "x", "type": "int"},
        {"name": "x", "type": "int", "minimum": True, "maximum": 5},
        {"name": "x", "type": "int", "minimum": 5, "maximum": 1},
        {"name": "x", "type": "regex"},
        {"name": "x", "type": ["int"]},
        {"name": "X y", "type": "hhmm"},
        {"name": "x", "type": "hhmm", "minimum": 1, "maximum": 2},
        {"name": "x", "type": "enum"},
        {"name": "x", "type": "enum", "choices": [["1", "a"], ["1", "b"]]},
        {"name": "x", "type": "enum", "choices": [["#", "a"]]},
        {"name": "x", "type": "enum", "choices": "12"},
        {"name": "x", "type": "digits", "minimum": 0, "maximum": 4},
        {"name": "x", "type": "hhmm", "secret": "yes"},
        {"name": "x", "type": "hhmm", "colour": "red"},
        {"name": "x", "type": "hhmm", "unit": "hours"},
    ],
    ids=str,
)
def test_an_unusable_spec_is_refused(plain):
    with pytest.raises(CatalogueError):
        ParamSpec.from_dict(plain)


# --- files with mistakes


def write_catalogue(path: Path, **changes: str) -> Path:
    """The shipped catalogue with cells of its row 12, the power cycle of the D210, replaced."""
    with SHIPPED.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    target = next(row for row in rows if row["key"] == "power_cycle")
    target.update(changes)
    with path.open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.mark.parametrize(
    ("column", "cell"),
    [
        ("params", "minutes:int"),
        ("params", "minutes:float:1..2"),
        ("params", "minutes:int:1..720:hours"),
        ("params", "minutes:int:720..1"),
        ("params", ""),
        ("params", "minutes:int:1..720;seconds:int:1..5"),
        ("params", "minutes:int:1..720:>hours"),
        ("body", "#12#0#{minutes}#{minutes}#"),
        ("body", "#12#0#{minutes}{minutes}#"),
        ("body", "#12#0#{minutes}}#1#"),
        ("body", "#12#0#{minutes}#1#\n"),
        ("body", "＃12#0#{minutes}#1#"),
        ("key", "power_on"),
        ("key", "Power on"),
        ("model", "d210"),
        ("effect", "idempotent"),
        ("effect", "sometimes"),
        ("power", "explode"),
        ("min_role", "root"),
        ("category", "misc"),
        ("line", "both"),
        ("dangerous", "maybe"),
        ("name_ru", " "),
        ("source", ""),
    ],
)
def test_a_bad_cell_is_named_by_row_and_column(tmp_path, column, cell):
    path = write_catalogue(tmp_path / "bad.csv", **{column: cell})

    with pytest.raises(CatalogueError, match=f"^row 12, column {column}: ") as caught:
        load_catalogue(path)

    assert (caught.value.row, caught.value.column) == (12, column)


def test_a_placeholder_without_a_parameter_is_named(tmp_path):
    path = write_catalogue(tmp_path / "bad.csv", body="#12#0#{hours}#1#")

    with pytest.raises(CatalogueError, match=r"^row 12, column params: the body has \['hours'\]"):
        load_catalogue(path)


def test_the_same_text_twice_in_one_model_is_refused(tmp_path):
    path = write_catalogue(tmp_path / "bad.csv", body="#01#0#", params="")

    with pytest.raises(CatalogueError, match="row 12, column body: D210 sends the same text for 'power_on'"):
        load_catalogue(path)


def test_a_dangerous_command_for_everybody_is_refused(tmp_path):
    path = write_catalogue(tmp_path / "bad.csv", dangerous="yes")

    with pytest.raises(CatalogueError, match="row 12, column min_role: a dangerous command needs admin"):
        load_catalogue(path)


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", ",".join(COLUMNS) + "\nD210,x\n"])
def test_a_file_of_another_shape_is_refused(tmp_path, text):
    path = tmp_path / "bad.csv"
    path.write_text(text, encoding="utf-8")

    with pytest.raises(CatalogueError, match=r"^row [12]: "):
        load_catalogue(path)


def test_an_edited_template_is_checked_by_the_same_rules():
    with pytest.raises(CatalogueError, match="column effect"):
        check_template(
            TemplateSpec("X1", "status", "status", "С", "S", "#7#", (), "query", "on", "user", "manual")
        )
