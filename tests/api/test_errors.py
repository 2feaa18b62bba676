"""Bad input: a clear 4xx in the one error shape, and nothing stored. Never a 5xx."""

from typing import Any

import pytest
from django.apps import apps
from django.conf import settings
from rest_framework.throttling import AnonRateThrottle

from devices.models import Command, Device
from platforms.models import Platform, User
from tests.api.conftest import Call
from tests.factories import make_device, make_exporter, make_gateway, make_socket

pytestmark = pytest.mark.django_db

DEEP = "[" * 100_000 + "]" * 100_000
RAW = {
    "broken": b'{"name": ',
    "empty": b"",
    "not utf-8": b'{"name": "\xff\xfe"}',
    "a list": b"[1, 2]",
    "a word": b'"name"',
    "null": b"null",
    "NaN": b'{"platform": NaN, "name": "x"}',
    "infinity": b'{"platform": -Infinity, "name": "x"}',
    "huge integer": b'{"platform": ' + b"9" * 400 + b', "name": "x"}',
    "more digits than Python reads": b'{"platform": ' + b"9" * 5000 + b', "name": "x"}',
    "huge float": b'{"platform": 1e400, "name": "x"}',
    "deep": DEEP.encode(),
    "deep, but readable": b'{"name": ' + b"[" * 50 + b"]" * 50 + b"}",
    "NUL": b'{"platform": 1, "name": "a\\u0000b"}',
    "half a character": b'{"platform": 1, "name": "a\\ud800b"}',
    "NUL in a key": b'{"labels": {"a\\u0000": "b"}}',
}


def stored() -> dict[str, int]:
    """How many rows each table of the product holds."""
    ours = ("platforms", "devices", "sms", "exporters", "automation", "notifications")
    tables = [model for app in ours for model in apps.get_app_config(app).get_models()]
    return {model._meta.label: model._base_manager.count() for model in tables}


def assert_error(answer: Any, code: int) -> dict[str, Any]:
    """The answer has the one shape, a word, a sentence; its fields."""
    assert answer.status_code == code, answer.content[:500]
    assert answer["Content-Type"].startswith("application/json")
    error = answer.json()["error"]
    assert set(error) == {"code", "message", "fields"}
    assert error["code"].isidentifier()
    assert len(error["message"]) > 8
    assert isinstance(error["fields"], dict)
    return error["fields"]


@pytest.mark.parametrize("name", RAW)
def test_unreadable_body_is_a_400_and_stores_nothing(
    api: Call, north: Platform, alice: User, name: str
) -> None:
    client, before = api(alice), stored()

    for path in ("devices", "sites", "jobs", "commands", "exporter-macs", "tokens", "auth/token"):
        answer = client.post(
            f"/api/v1/{path}/", RAW[name], content_type="application/json", headers={"Idempotency-Key": "k"}
        )

        assert_error(answer, 400)
    assert stored() == before


def test_oversize_body_is_a_413(api: Call, alice: User) -> None:
    body = b'{"name": "' + b"x" * settings.DATA_UPLOAD_MAX_MEMORY_SIZE + b'"}'

    answer = api(alice).post("/api/v1/sites/", body, content_type="application/json")

    assert_error(answer, 413)


@pytest.mark.parametrize(
    "content_type", ["text/xml", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
)
def test_other_content_type_is_a_415(api: Call, alice: User, content_type: str) -> None:
    answer = api(alice).post("/api/v1/sites/", b"name=x", content_type=content_type)

    assert_error(answer, 415)


@pytest.mark.parametrize("verb", ["put", "patch", "delete"])
def test_wrong_verb_is_a_405(api: Call, alice: User, verb: str) -> None:
    answer = getattr(api(alice), verb)("/api/v1/sites/", {})

    assert_error(answer, 405)


@pytest.mark.parametrize(
    "path", ["nowhere/", "v1/devices", "v1/devices/1/nowhere/", "v2/", "v1/devices/../sites/"]
)
def test_unknown_path_is_a_404_for_anybody(api: Call, alice: User, path: str) -> None:
    for client in (api(None), api(alice)):
        for verb in (client.get, client.post, client.delete):
            assert_error(verb(f"/api/{path}"), 404)


def test_malformed_number_is_a_404(api: Call, alice: User) -> None:
    client = api(alice)

    for number in ("zz", "0", "-1", "1e3", "9" * 40, "%00", "١", "1;drop"):
        for path in ("devices", "commands"):
            assert_error(client.get(f"/api/v1/{path}/{number}/"), 404)


@pytest.mark.parametrize(
    "header",
    [
        "Bearer rms_0123456789ab_wrong", "rms_x", "Token rms_a_b_c", "Bearer eyJhbGciOiJub25lIn0.e30.", "Basic !!!",
        "Bearer " + "rms_" + "x" * 5000, "Bearer", "Bearer rms_ä_ö",
    ],
)  # fmt: skip
def test_wrong_token_is_a_401(api: Call, header: str) -> None:
    answer = api(None).get("/api/v1/devices/", headers={"Authorization": header})

    assert_error(answer, 401)
    assert answer["WWW-Authenticate"].startswith("Bearer")


def test_too_many_calls_are_a_429(api: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AnonRateThrottle, "THROTTLE_RATES", {"anon": "2/min"})
    client, body = api(None), {"username": "nobody", "password": "guess"}

    codes = [client.post("/api/v1/auth/token/", body).status_code for _ in range(2)]
    last = client.post(
        "/api/v1/auth/token/", body, headers={"X-Forwarded-For": "198.51.100.7"}
    )  # nobody's proxy

    assert codes == [401, 401]
    assert_error(last, 429)
    assert int(last["Retry-After"]) > 0


BAD_FIELDS: list[tuple[str, dict[str, Any], str]] = [
    ("devices", {"mac": "aa:bb:cc:dd:ee"}, "mac"),
    ("devices", {"mac": "gg:bb:cc:dd:ee:ff"}, "mac"),
    ("devices", {"mac": "аа:bb:cc:dd:ee:ff"}, "mac"),  # Cyrillic
    ("devices", {"mac": "ff:ff:ff:ff:ff:ff"}, "mac"),
    ("devices", {"mac": "aa:bb:cc:dd:ee:ff:00:11"}, "mac"),
    ("devices", {"mac": ["aa:bb:cc:dd:ee:ff"]}, "mac"),
    ("devices", {"name": ""}, "name"),
    ("devices", {"name": "x" * 201}, "name"),
    ("devices", {"name": "a\nb"}, "name"),
    ("devices", {"name": "a\x07b"}, "name"),
    ("devices", {"name": {"a": 1}}, "name"),
    ("devices", {"name": None}, "name"),
    ("devices", {"kind": "toaster"}, "kind"),
    ("devices", {"kind": "socket"}, "model"),
    ("devices", {"model": "D999"}, "model"),
    ("devices", {"msisdn": "112"}, "msisdn"),
    ("devices", {"msisdn": "call me"}, "msisdn"),
    ("devices", {"site": 10**18}, "site"),
    ("devices", {"site": True}, "site"),
    ("devices", {"site": 1.5}, "site"),
    ("devices", {"site": "1 OR 1=1"}, "site"),
    ("devices", {"labels": ["a"]}, "labels"),
    ("devices", {"labels": {"a": {"b": 1}}}, "labels"),
    ("devices", {"labels": {str(number): "x" for number in range(51)}}, "labels"),
    ("devices", {"labels": {"x" * 65: "a"}}, "labels"),
    ("devices", {"platform": None}, "platform"),
    ("devices", {"platform": "north"}, "platform"),
    ("sites", {"time_zone": "Mars/Olympus"}, "time_zone"),
    ("sites", {"outer_ip": "1.2.3.400"}, "outer_ip"),
    ("exporters", {"kind": "nagios"}, "kind"),
    ("exporters", {"base_url": "ftp://cms.example.org"}, "non_field_errors"),
    ("exporters", {"base_url": "https://user:pass@cms.example.org"}, "non_field_errors"),
    ("exporters", {"base_url": "cms"}, "non_field_errors"),
    ("exporters", {"interval_s": 0}, "interval_s"),
    ("exporters", {"interval_s": "NaN"}, "interval_s"),
    ("exporters", {"interval_s": "inf"}, "interval_s"),
    ("exporters", {"interval_s": True}, "interval_s"),
    ("exporters", {"concurrency": 10**12}, "concurrency"),
    ("exporters", {"concurrency": 1.5}, "concurrency"),
    ("gateways", {"kind": "pigeon"}, "kind"),
    ("gateways", {"config": []}, "config"),
    ("gateways", {"config": {"no such setting": 1}}, "config"),
    ("gateways", {"price": "NaN"}, "price"),
    ("gateways", {"price": 10**18}, "price"),
    ("gateways", {"rate_per_minute": -1}, "rate_per_minute"),
    ("gateways", {"rate_per_minute": 2**63}, ""),
    ("jobs", {"hold_s": -1}, "hold_s"),
    ("jobs", {"hold_s": "nan"}, "hold_s"),
    ("jobs", {"threshold": "inf"}, "threshold"),
    ("jobs", {"operator": "=~"}, "operator"),
    ("jobs", {"mode": "yolo"}, "mode"),
    ("jobs", {"labels": "x"}, "labels"),
    ("jobs", {"devices": [10**9]}, "devices"),
    ("jobs", {"devices": 7}, "devices"),
    ("jobs", {"source": "promql", "promql": "sum("}, "promql"),
    ("jobs", {"source": "promql", "promql": "up"}, "promql"),
    ("jobs", {"source": "promql", "promql": "x" * 5000}, "promql"),
]  # fmt: skip
GOOD = {
    "devices": {"name": "new"},
    "sites": {"name": "new"},
    "exporters": {"name": "new", "kind": "cubic", "base_url": "https://cms.example.org"},
    "gateways": {"name": "new", "kind": "console"},
    "jobs": {"name": "new"},
}


@pytest.mark.parametrize("path", GOOD)
def test_bad_field_is_named_and_nothing_is_stored(api: Call, north: Platform, alice: User, path: str) -> None:
    client, before = api(alice), stored()

    for _path, wrong, field in (row for row in BAD_FIELDS if row[0] == path):
        answer = client.post(f"/api/v1/{path}/", {"platform": north.pk, **GOOD[path], **wrong})

        fields = assert_error(answer, 400)
        assert field in fields or not field, (wrong, fields)
    assert stored() == before


@pytest.mark.parametrize("path", GOOD)
def test_the_same_without_the_bad_field_is_taken(api: Call, north: Platform, alice: User, path: str) -> None:
    answer = api(alice).post(f"/api/v1/{path}/", {"platform": north.pk, **GOOD[path]})

    assert answer.status_code == 201, answer.content


BAD_COMMANDS: list[tuple[str, Any, str]] = [
    ("power_cycle", {"minutes": "1#2"}, "params"),
    ("power_cycle", {"minutes": "1\n"}, "params"),
    ("power_cycle", {"minutes": 0}, "params"),
    ("power_cycle", {"minutes": 10**6}, "params"),
    ("power_cycle", {"minutes": True}, "params"),
    ("power_cycle", {"minutes": None}, "params"),
    ("power_cycle", {"minutes": [1]}, "params"),
    ("power_cycle", {"minutes": "١"}, "params"),
    ("power_cycle", {}, "params"),
    ("power_cycle", {"minutes": 1, "line": 1, "#": "#"}, "params"),
    ("power_cycle", "#12#", "params"),
    ("#12#0#1#1#", {}, "template"),
    ("no_such", {}, "template"),
    ("", {}, "template"),
    ("status\r\n", {}, "template"),
    ("x" * 65, {}, "template"),
]


def test_command_that_cannot_be_made_is_a_400(api: Call, north: Platform, alice: User) -> None:
    make_gateway(north)
    client, socket = api(alice), make_socket(north)

    for template, params, field in BAD_COMMANDS:
        body = {"device": socket.pk, "template": template, "params": params}
        for path, headers in (("commands/", {"Idempotency-Key": "k"}), ("commands/preview/", {})):
            answer = client.post(f"/api/v1/{path}", body, headers=headers)

            assert field in assert_error(answer, 400), (template, params)
    assert not Command.objects.exists()


def test_command_without_a_good_idempotency_key_is_a_400(api: Call, north: Platform, alice: User) -> None:
    make_gateway(north)
    client, body = api(alice), {"device": make_socket(north).pk, "template": "status"}

    for headers in ({}, *({"Idempotency-Key": key} for key in ("", "x" * 101, "a b", "ключ"))):
        answer = client.post("/api/v1/commands/", body, headers=headers)

        assert "Idempotency-Key" in assert_error(answer, 400)
    assert not Command.objects.exists()


def test_command_to_a_player_is_a_400(api: Call, north: Platform, alice: User) -> None:
    body = {"device": make_device(north).pk, "template": "status"}

    answer = api(alice).post("/api/v1/commands/", body, headers={"Idempotency-Key": "k"})

    assert "device" in assert_error(answer, 400)


@pytest.mark.parametrize(
    "macs",
    [
        [],
        "02:00:00:00:00:01",
        [1],
        [None],
        ["02:00:00:00:00:01\n02:00:00:00:00:02"],
        [""],
        ["x"] * 5001,
        [["a"]],
    ],
)
def test_macs_of_a_wrong_shape_are_a_400(api: Call, north: Platform, alice: User, macs: Any) -> None:
    body = {"exporter": make_exporter(north).pk, "macs": macs}
    client = api(alice)

    for verb in (client.post, client.delete):
        assert "macs" in assert_error(verb("/api/v1/exporter-macs/", body), 400)
    assert not Device.objects.exists()


BAD_QUERIES: dict[str, tuple[int, list[str]]] = {
    "devices/": (
        400,
        [
            "owner__password__startswith=p", "ordering=platform__name", "ordering=owner__password",
            "platform__name=north", "platform=zz", "platform=999999", "platform=99999999999999999999999", "state=%00",
            "kind__in=%00", "fields=all", "is_active=maybe", "state=burning",
        ],
    ),
    "audit/": (
        400,
        [
            "at__gte=yesterday", "at__gte=0001-01-01T00:00:00%2B14:00", "at__lte=9999-12-31T23:59:59-14:00",
            "at__gte=2026-02-30", "at__gte=%00", "at__lte=1e999",
        ],
    ),
    "sites/": (404, ["page=0", "page=-1", "page=99999999999999999999", "page=zz", "page=%00"]),
}  # fmt: skip


@pytest.mark.parametrize("path", BAD_QUERIES)
def test_bad_parameter_is_said_to_be_one(api: Call, alice: User, path: str) -> None:
    client = api(alice)
    code, queries = BAD_QUERIES[path]

    for query in queries:
        assert_error(client.get(f"/api/v1/{path}?{query}"), code)


@pytest.mark.parametrize(
    "query", ["search=%00", "search=" + "x" * 5000, "page_size=99999999", "page_size=zz"]
)
def test_odd_but_harmless_parameter_is_no_error_of_ours(api: Call, alice: User, query: str) -> None:
    answer = api(alice).get(f"/api/v1/devices/?{query}")

    assert answer.status_code in (200, 400)


def test_no_lookup_of_the_model_graph_reaches_the_database(api: Call, alice: User) -> None:
    client = api(alice)
    lookups = [
        f"{prefix}{field.name}{end}"
        for prefix, model in (("", Device), ("owner__", User), ("platform__", Platform))
        for field in model._meta.get_fields()
        for end in ("__startswith", "__isnull")
    ]

    codes = {client.get("/api/v1/devices/", {lookup: "1"}).status_code for lookup in lookups}

    assert len(lookups) > 100
    assert codes == {400}
