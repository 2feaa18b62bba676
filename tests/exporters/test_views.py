"""The metrics views: who gets what, in which form, and never a question to a CMS."""

import base64
import gzip
import json
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client
from prometheus_client import openmetrics, parser
from prometheus_client.openmetrics import parser as openmetrics_parser

from exporters.models import Exporter, Snapshot
from exporters.ports import Observation, RoundResult, Status
from exporters.selectors import SnapshotCache
from exporters.services import store_round, update_exporter
from exporters.serving import Bodies, accepts_gzip, end_of_second
from platforms import tokens
from platforms.models import ApiToken
from remosa.lib.clock import utcnow
from tests.factories import make_device, make_exporter, make_target

pytestmark = [pytest.mark.django_db, pytest.mark.databases]

PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)


def make_token(platform, *, scopes=("scrape",), **fields):
    _row, text = tokens.issue(name="t", scopes=scopes, by=None, platform=platform, **fields)
    return text


def poll(platform, words=("online", "offline"), *, at=None, names=None, exporter=None, **fields):
    """An exporter after one round that said ``words``."""
    exporter = exporter or make_exporter(platform, **fields)
    while exporter.targets.count() < len(words):
        make_target(exporter, make_device(platform))
    seen = []
    for number, (target, word) in enumerate(zip(exporter.targets.order_by("pk"), words, strict=True)):
        facts = {"name": names[number]} if names else {}
        known = word in ("online", "offline")
        seen.append(
            Observation(
                target.external_id,
                Status(word) if known else Status.UNKNOWN,
                facts,
                "" if known else word,
            )
        )
    errors = Counter(one.reason for one in seen if one.reason)
    at = at or utcnow()
    store_round(
        exporter_id=exporter.pk,
        result=RoundResult(tuple(seen), (), errors, True, "", True, 0.5),
        started_at=at,
        finished_at=at,
    )
    exporter.refresh_from_db()
    return exporter


def get(path, token="", **headers):
    if token:
        headers["Authorization"] = f"Bearer {token}"
    return Client().get(path, headers=headers)


def samples(response):
    """{(name, sorted labels): value} of a text exposition; fails on a double."""
    found = {}
    for family in parser.text_string_to_metric_families(response.content.decode()):
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in found
            found[key] = sample.value
    return found


def values(response, name):
    return {labels: value for (found, labels), value in samples(response).items() if found == name}


# --- who ----------------------------------------------------------------------------------------------


def forms_of(token):
    basic = base64.b64encode(f"prometheus:{token}".encode()).decode()
    return {
        "bearer": {"Authorization": f"Bearer {token}"},
        "lower case": {"Authorization": f"bearer  {token} "},
        "token": {"Authorization": f"Token {token}"},
        "bare": {"Authorization": token},
        "basic": {"Authorization": f"Basic {basic}"},
        "key": {"X-API-Key": token},
    }


PATHS = ["/exporters/{exporter}/metrics", "/platforms/{platform}/metrics", "/platforms/{platform}/sd"]


@pytest.mark.parametrize("form", list(forms_of("x")))
@pytest.mark.parametrize("path", PATHS)
def test_every_way_to_show_the_token_opens_its_own_platform(north, path, form):
    exporter = poll(north)
    url = path.format(exporter=exporter.pk, platform=north.pk)

    response = Client().get(url, headers=forms_of(make_token(north))[form])

    assert response.status_code == 200
    assert str(north.pk) in response.content.decode()


@pytest.mark.parametrize("path", PATHS)
def test_without_a_live_token_of_the_scope_there_is_nothing_to_learn(north, alice, path):
    exporter = poll(north)
    expired = make_token(north, expires_at=utcnow() - timedelta(seconds=1))
    revoked = make_token(north)
    tokens.revoke(ApiToken.objects.latest("pk"), by=alice, now=utcnow())
    other = make_token(north, scopes=("read", "operator", "intake"))
    right = make_token(north)
    attempts = [
        "",
        "x",
        "rms_",
        expired,
        revoked,
        other,
        right[:-1],
        right + "x",
        right.swapcase(),
        "rms_0_1",
    ]

    answers = {
        (get(path.format(exporter=key, platform=key), text).status_code, response_bytes(path, key, text))
        for key in (exporter.pk, north.pk, 999_999)
        for text in attempts
    }

    assert len(answers) == 1
    response = get(path.format(exporter=exporter.pk, platform=north.pk))
    assert response.status_code == 401
    assert response["WWW-Authenticate"].startswith("Bearer")


def response_bytes(path, key, text):
    return get(path.format(exporter=key, platform=key), text).content


@pytest.mark.parametrize("path", PATHS)
def test_what_belongs_to_others_looks_like_what_does_not_exist(north, south, path):
    foreign = poll(south)
    token = make_token(north)

    theirs = get(path.format(exporter=foreign.pk, platform=south.pk), token)
    nobodys = get(path.format(exporter=999_999, platform=999_999), token)
    absurd = get(path.format(exporter=10**40, platform=10**40), token)

    assert theirs.status_code == nobodys.status_code == absurd.status_code == 404
    assert theirs.content == nobodys.content == absurd.content
    ours = [{k: v for k, v in one.headers.items() if k != "X-Request-ID"} for one in (theirs, nobodys)]
    assert ours[0] == ours[1]


def test_a_token_of_a_platform_that_was_switched_off_is_worth_nothing(north):
    exporter, token = poll(north), make_token(north)
    type(north).objects.update(is_active=False)

    assert get(f"/exporters/{exporter.pk}/metrics", token).status_code == 401


def test_a_persons_token_is_bound_to_no_platform(north, alice):
    exporter = poll(north)
    _row, token = tokens.issue(name="t", scopes=["scrape"], by=alice, user=alice)

    assert get(f"/exporters/{exporter.pk}/metrics", token).status_code == 404
    assert get(f"/platforms/{north.pk}/metrics", token).status_code == 404


def test_a_session_is_no_token(north, alice):
    exporter, client = poll(north), Client()
    client.force_login(alice, backend="platforms.authentication.UsernameOrEmailBackend")

    assert client.get(f"/exporters/{exporter.pk}/metrics").status_code == 401


def test_no_series_of_others_is_in_the_body(north, south):
    poll(north, names=["наш", "наш"])
    poll(south, names=["чужой", "чужой"])

    body = get(f"/platforms/{north.pk}/metrics", make_token(north)).content.decode()

    assert "наш" in body
    assert "чужой" not in body
    assert f'platform_id="{south.pk}"' not in body


GARBAGE = [
    "Basic",
    "Basic ",
    "Basic ????",
    "Basic " + "A" * 5000,
    "Basic " + base64.b64encode(b"x:rms_\x00\x00\x00\x00\x00\x00_" + b"a" * 20).decode(),
    "Basic " + base64.b64encode("ключ:пароль".encode()).decode(),
    "Basic " + base64.b64encode(b"\xff\xfe").decode(),
    "Basic ключ",
    "Bearer",
    "Bearer \x01",
    "Bearer ключ",
    "Bearer rms_' OR 1=1 --_x",
    "rms_" + "a" * 12 + "_" + "é" * 30,
    "Digest username=x",
    "," * 1000,
]


@pytest.mark.parametrize("value", GARBAGE)
def test_garbage_in_the_token_is_a_401(north, value):
    for header in ("Authorization", "X-API-Key"):
        assert Client().get("/platforms/1/metrics", headers={header: value}).status_code == 401


@pytest.mark.parametrize(
    "value",
    [
        "",
        ";",
        "q=",
        "gzip;q=x",
        "gzip;;;",
        "*;q=-1",
        "a" * 100_000,
        "\x01",
        "text/plain;version=\x7f",
        "é",
        "/",
    ],
)
def test_garbage_in_the_other_headers_is_no_error(north, value):
    exporter, token = poll(north), make_token(north)

    response = get(
        f"/exporters/{exporter.pk}/metrics",
        token,
        **{"Accept": value, "Accept-Encoding": value, "Range": value},
    )

    assert response.status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/exporters/-1/metrics",
        "/exporters/1.0/metrics",
        "/exporters/%D1%84/metrics",
        "/exporters/1%00/metrics",
        "/exporters//metrics",
        "/exporters/1/metrics/",
        "/platforms/1/metrics%0a",
        "/platforms/0x1/sd",
        "/platforms/9" + "9" * 5000 + "/sd",
    ],
)
def test_garbage_in_the_path_is_a_404(north, path):
    assert get(path, make_token(north)).status_code == 404


# --- how ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete", "options"])
@pytest.mark.parametrize("path", PATHS)
def test_another_method_is_refused_by_name(north, path, method):
    url = path.format(exporter=1, platform=north.pk)

    response = getattr(Client(enforce_csrf_checks=True), method)(url)

    assert response.status_code == 405
    assert response["Allow"] == "GET, HEAD"


@pytest.mark.parametrize("path", PATHS)
def test_head_is_get_without_its_body(north, path):
    exporter, token = poll(north), make_token(north)
    url = path.format(exporter=exporter.pk, platform=north.pk)

    whole, head = get(url, token), Client().head(url, headers={"Authorization": token})

    assert (head.status_code, head.content) == (200, b"")
    assert head["Content-Type"] == whole["Content-Type"]
    assert abs(int(head["Content-Length"]) - len(whole.content)) < 20  # the age has more digits or fewer


def test_text_is_what_a_browser_gets(north):
    exporter = poll(north)

    response = get(f"/exporters/{exporter.pk}/metrics", make_token(north))

    assert response["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert "Content-Encoding" not in response
    assert {"Accept", "Accept-Encoding"} <= set(response["Vary"].split(", "))
    assert samples(response)


def test_prometheus_gets_openmetrics(north):
    exporter = poll(north, ["online", "timeout", "offline"])

    response = get(f"/exporters/{exporter.pk}/metrics", make_token(north), Accept=PROMETHEUS)

    assert response["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    families = list(openmetrics_parser.text_string_to_metric_families(response.content.decode()))
    assert openmetrics is not None
    assert {family.name: family.type for family in families}["remosa_exporter_poll_errors"] == "counter"
    assert response.content.endswith(b"# EOF\n")


def test_gzip_is_given_to_who_asks_and_is_the_same_text(north):
    exporter, token = poll(north, names=["Касса", "Вход"]), make_token(north)

    packed = get(f"/exporters/{exporter.pk}/metrics", token, **{"Accept-Encoding": "gzip, deflate"})
    plain = get(f"/exporters/{exporter.pk}/metrics", token)

    assert packed["Content-Encoding"] == "gzip"
    unpacked = gzip.decompress(packed.content).decode()
    assert "Касса" in unpacked
    assert without_ages(unpacked) == without_ages(plain.content.decode())


def without_ages(text):
    return [
        line for line in text.splitlines() if not line.startswith("remosa_exporter_snapshot_age_seconds{")
    ]


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        ("gzip", True),
        ("GZIP;q=0.1", True),
        ("br, gzip;q=0.5", True),
        ("x-gzip", True),
        ("*", True),
        ("", False),
        ("identity", False),
        ("gzip;q=0", False),
        ("gzip;q=0, *", False),
        ("*;q=0", False),
        ("deflate, br", False),
    ],
)
def test_who_asks_for_gzip(header, wanted):
    assert accepts_gzip(header) is wanted


def test_what_is_kept_on_the_way_is_asked_about_each_time(north):
    exporter = poll(north)

    assert get(f"/exporters/{exporter.pk}/metrics", make_token(north))["Cache-Control"] == "no-cache"


@pytest.mark.parametrize("form", ["{}", '"other", {}', "*", "W/{}"])
def test_who_has_this_version_gets_no_body(north, form):
    exporter, token = poll(north), make_token(north)
    path = f"/exporters/{exporter.pk}/metrics"
    etag = get(path, token)["ETag"]

    answer = get(path, token, **{"If-None-Match": form.format(etag).replace("W/W/", "W/")})

    assert (answer.status_code, answer.content) == (304, b"")
    assert answer["ETag"] == etag


def test_another_round_another_format_and_age_are_another_version(north):
    exporter, token = poll(north), make_token(north)
    path = f"/platforms/{north.pk}/metrics"
    first = get(path, token)["ETag"]
    other = [
        get(path, token, Accept="application/openmetrics-text")["ETag"],
        get(path, token, **{"Accept-Encoding": "gzip"})["ETag"],
    ]
    Snapshot.objects.filter(exporter=exporter).update(
        version="x" * 32, taken_at=utcnow() - timedelta(hours=1)
    )
    stale = get(path, token, **{"If-None-Match": first})

    assert stale.status_code == 200
    assert len({first, stale["ETag"], *other}) == 4


@pytest.mark.parametrize("name", ["rules.yml", "dashboard.json"])
def test_files_of_a_platform_are_its_own(north, south, name):
    token = make_token(north)

    own, foreign = (get(f"/platforms/{platform.pk}/{name}", token) for platform in (north, south))

    assert (own.status_code, foreign.status_code) == (200, 404)
    assert f'platform_id=\\"{north.pk}\\"' in own.content.decode()
    assert get(f"/platforms/{north.pk}/{name}").status_code == 401


def test_promtool_takes_the_rules(north, run_promtool, tmp_path):
    rules = tmp_path / "rules.yml"
    rules.write_bytes(get(f"/platforms/{north.pk}/rules.yml", make_token(north)).content)

    said = run_promtool("check", "rules", str(rules))

    assert "7 rules found" in said


def test_the_rules_wait_for_an_exporter_that_polls_seldom(north):
    make_exporter(north, interval_s=30)
    usual = get(f"/platforms/{north.pk}/rules.yml", make_token(north)).content.decode()
    make_exporter(north, interval_s=3600, timeout_s=15)
    slow = get(f"/platforms/{north.pk}/rules.yml", make_token(north)).content.decode()

    assert "> 600" in usual
    assert "> 7215" in slow
    assert "> 600" not in slow


def test_the_rules_fire_for_what_is_stated_and_not_for_silence(north, run_promtool, tmp_path):
    """promtool's own test of the rules: a CMS that fails takes its devices' alerts away, it does not raise any."""
    (tmp_path / "rules.yml").write_bytes(get(f"/platforms/{north.pk}/rules.yml", make_token(north)).content)
    own = f'platform_id="{north.pk}",exporter_id="1"'
    series = [
        {"series": f"remosa_exporter_up{{{own}}}", "values": "1x20 0x20"},
        {"series": f'remosa_exporter_cubic_device_status{{{own},mac="a"}}', "values": "0x20 _x20"},
        *(
            {"series": f'remosa_exporter_cubic_device_status{{{own},mac="{mac}"}}', "values": "1x20 _x20"}
            for mac in "bcdefg"
        ),
    ]

    def down(moment, *macs):
        labels = {"severity": "warning", "platform_id": str(north.pk), "exporter_id": "1"}
        summary = {"summary": f"Device {macs[0]} has no connection to its CMS"} if macs else {}
        summary |= {"description": "The CMS has said so for ten minutes."} if macs else {}
        found = [{"exp_labels": labels | {"mac": mac}, "exp_annotations": summary} for mac in macs]
        return {"eval_time": moment, "alertname": "RemosaDeviceDown", "exp_alerts": found}

    tests = [
        {
            "interval": "1m",
            "input_series": series,
            "alert_rule_test": [down("5m"), down("15m", "a"), down("35m")],
        }
    ]
    case = {"rule_files": ["rules.yml"], "evaluation_interval": "1m", "tests": tests}
    (tmp_path / "case.yml").write_text(json.dumps(case))

    assert "SUCCESS" in run_promtool("test", "rules", str(tmp_path / "case.yml"))


# --- what ---------------------------------------------------------------------------------------------


def test_names_and_labels_are_those_of_the_contract(north):
    exporter = poll(north, ["online", "offline", "no_data"], names=["Касса", "Вход", ""])
    macs = list(exporter.targets.order_by("pk").values_list("external_id", flat=True))

    response = get(f"/exporters/{exporter.pk}/metrics", make_token(north))

    own = (("exporter_id", str(exporter.pk)), ("platform_id", str(north.pk)))
    status = values(response, "remosa_exporter_cubic_device_status")
    info = values(response, "remosa_exporter_cubic_device_info")
    assert status == {
        tuple(sorted([*own, ("mac", macs[0])])): 1,
        tuple(sorted([*own, ("mac", macs[1])])): 0,
    }
    assert len(info) == 3
    assert set(info.values()) == {1}
    assert {name for labels in info for name, _value in labels} == {
        "platform_id", "exporter_id", "mac", "name", "ip", "outip",
    }  # fmt: skip
    assert values(response, "remosa_exporter_up") == {own: 1}
    targets = values(response, "remosa_exporter_targets")
    assert {dict(labels)["state"]: value for labels, value in targets.items()} == {
        "online": 1, "offline": 1, "unknown": 1,
    }  # fmt: skip
    errors = values(response, "remosa_exporter_poll_errors_total")
    assert {dict(labels)["reason"]: value for labels, value in errors.items()} == {"no_data": 1}
    assert values(response, "remosa_exporter_poll_duration_seconds") == {own: 0.5}
    (success,) = values(response, "remosa_exporter_last_success_timestamp_seconds").values()
    assert success == pytest.approx(exporter.last_success_at.timestamp())
    (age,) = values(response, "remosa_exporter_snapshot_age_seconds").values()
    assert 0 <= age < 30


def test_addreality_has_its_own_names(north):
    exporter = make_exporter(north, kind="addreality", secret="t")
    make_target(exporter, make_device(north), external_id="4711")
    seen_at = datetime(2026, 3, 3, 11, 59, tzinfo=UTC)
    facts = {"name": "Табло", "player_status": 1, "last_online_at": seen_at, "activation_state": "true"}
    result = RoundResult((Observation("4711", Status.ONLINE, facts),), (), Counter(), True, "", True, 0.1)
    store_round(exporter_id=exporter.pk, result=result, started_at=utcnow(), finished_at=utcnow())

    response = get(f"/exporters/{exporter.pk}/metrics", make_token(north))

    found = {name.removeprefix("remosa_exporter_addreality_"): value for (name, labels), value in samples(
        response).items() if ("device_id", "4711") in labels}  # fmt: skip
    assert found == {
        "device_status": 1, "player_status": 1, "device_info": 1,
        "last_online_timestamp_seconds": seen_at.timestamp(),
    }  # fmt: skip


def test_a_snapshot_past_its_age_claims_nothing(north):
    long_ago = utcnow() - timedelta(minutes=10)
    exporter = poll(north, ["online", "offline"], at=long_ago)

    response = get(f"/exporters/{exporter.pk}/metrics", make_token(north))

    own = (("exporter_id", str(exporter.pk)), ("platform_id", str(north.pk)))
    assert values(response, "remosa_exporter_up") == {own: 0}
    assert values(response, "remosa_exporter_cubic_device_status") == {}
    assert len(values(response, "remosa_exporter_cubic_device_info")) == 2
    targets = values(response, "remosa_exporter_targets")
    assert {dict(labels)["state"]: value for labels, value in targets.items()}["unknown"] == 2
    (age,) = values(response, "remosa_exporter_snapshot_age_seconds").values()
    assert 600 <= age < 660


def test_a_stale_exporter_does_not_take_a_fresh_one_with_it(north):
    stale = poll(north, at=utcnow() - timedelta(hours=1))
    fresh = poll(north)

    response = get(f"/platforms/{north.pk}/metrics", make_token(north))

    up = {
        dict(labels)["exporter_id"]: value for labels, value in values(response, "remosa_exporter_up").items()
    }
    shown = {
        dict(labels)["exporter_id"] for labels in values(response, "remosa_exporter_cubic_device_status")
    }
    assert up == {str(stale.pk): 0, str(fresh.pk): 1}
    assert shown == {str(fresh.pk)}


def test_an_exporter_before_its_first_round_is_not_up(north):
    exporter = make_exporter(north)

    response = get(f"/exporters/{exporter.pk}/metrics", make_token(north))

    assert list(values(response, "remosa_exporter_up").values()) == [0]


@pytest.mark.parametrize("accept", ["", PROMETHEUS])
def test_the_page_of_a_platform_has_each_family_once_and_whole(north, accept):
    for kind in ("cubic", "cubic", "addreality"):
        poll(north, ["online", "timeout"], kind=kind, secret="t")

    text = get(f"/platforms/{north.pk}/metrics", make_token(north), Accept=accept).content.decode()

    heads = [line for line in text.splitlines() if line.startswith("# TYPE")]
    order = [line.split("{")[0] for line in text.splitlines() if not line.startswith("#")]
    runs = [name for number, name in enumerate(order) if number == 0 or order[number - 1] != name]
    assert len(heads) == len(set(heads))
    assert len(runs) == len(set(runs))
    assert text.count("device_info{") == 6


def test_a_platform_without_exporters_has_an_empty_page(north):
    response = get(f"/platforms/{north.pk}/metrics", make_token(north), Accept=PROMETHEUS)

    assert response.content == b"# EOF\n"


def test_a_disabled_exporter_is_left_out_of_the_platform(north, alice):
    exporter = poll(north)
    update_exporter(exporter, by=alice, is_enabled=False)

    assert get(f"/platforms/{north.pk}/metrics", make_token(north)).content == b""


def test_a_new_round_is_seen_by_the_next_scrape(north):
    exporter, token = poll(north, ["online"]), make_token(north)
    before = get(f"/exporters/{exporter.pk}/metrics", token)
    poll(north, ["offline"], exporter=exporter)

    after = get(f"/exporters/{exporter.pk}/metrics", token)

    status = "remosa_exporter_cubic_device_status"
    assert list(values(before, status).values()) == [1]
    assert list(values(after, status).values()) == [0]


def test_a_scrape_costs_one_statement_for_any_number_of_devices(north, django_assert_num_queries):
    type(north).objects.update(device_limit=1000)
    north.refresh_from_db()
    exporter, token = poll(north, ["online"] * 150), make_token(north)
    get(f"/exporters/{exporter.pk}/metrics", token)

    with django_assert_num_queries(1):  # the token beside what is known of the exporter; the body is kept
        get(f"/exporters/{exporter.pk}/metrics", token)


def test_a_hostile_name_makes_no_series(north):
    name = 'x"} 1\nremosa_exporter_up{platform_id="999"} 1\\'
    exporter = poll(north, ["online"], names=[name])

    response = get(f"/exporters/{exporter.pk}/metrics", make_token(north))

    assert {dict(labels)["platform_id"] for _name, labels in samples(response)} == {str(north.pk)}


def test_the_cache_forgets_what_was_not_used_for_long(north):
    exporters = [poll(north) for _number in range(3)]
    sizes = [len(bytes(row.body)) for row in Snapshot.objects.all()]
    cache = SnapshotCache(max_bytes=sum(sizes) - 1)

    for exporter in exporters:
        cache.parts(exporter.pk, exporter.snapshot.version)

    assert list(cache._kept) == [exporter.pk for exporter in exporters[1:]]
    assert Exporter.objects.count() == 3


@pytest.mark.parametrize("path", ["/exporters/{}/metrics", "/platforms/{}/metrics"])
def test_the_short_way_of_a_scrape_keeps_what_every_answer_has(north, settings, path):
    settings.ALLOWED_HOSTS = ["ours.example"]
    exporter, token = poll(north), make_token(north)
    where = path.format(exporter.pk if "exporters" in path else north.pk)
    headers = {"Authorization": f"Bearer {token}"}

    ours = Client(SERVER_NAME="ours.example").get(where, headers=headers)
    foreign = Client(SERVER_NAME="foreign.example").get(where, headers=headers)

    assert (ours.status_code, foreign.status_code) == (200, 400)
    assert ours["X-Content-Type-Options"] == "nosniff"
    assert ours["X-Request-ID"]
    assert "sessionid" not in ours.cookies


# --- bodies --------------------------------------------------------------------------------------


def test_who_asks_within_one_second_is_served_the_same_bytes():
    bodies, made = Bodies(max_bytes=5), []

    def make():
        made.append(b"%03d" % len(made))
        return made[-1]

    moment = end_of_second(utcnow())
    first = [bodies.body("a", moment, make) for _ in range(3)]
    later = bodies.body("a", moment + timedelta(seconds=1), make)
    bodies.body("b", moment, make)  # over the limit: the older one goes
    again = bodies.body("a", moment + timedelta(seconds=1), make)

    assert (first, later, again) == ([b"000"] * 3, b"001", b"003")


@pytest.mark.parametrize("microsecond", [0, 1, 999_999])
def test_no_age_is_told_too_young(microsecond):
    now = datetime(2026, 3, 3, 12, 0, 7, microsecond, tzinfo=UTC)

    assert timedelta() < end_of_second(now) - now <= timedelta(seconds=1)


def test_lines_that_were_rendered_anew_are_another_version(north):
    exporter, token = poll(north, ["online", "offline"]), make_token(north)
    path = f"/exporters/{exporter.pk}/metrics"
    etag = get(path, token)["ETag"]
    Snapshot.objects.filter(exporter=exporter).update(version="x" * 32)  # rendered anew, nothing else

    assert get(path, token, **{"If-None-Match": etag}).status_code == 200
