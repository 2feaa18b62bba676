"""Thirty secrets, each put where a secret belongs, and then looked for everywhere else.

They go in through the doors that people and programs use, they are used and misused, their gateways and
CMSs answer with an echo of what they were sent. Afterwards nothing of them may stand in the database's
file, in the logs, in any page of the console, in any answer of the API, or in the arguments of a task.
"""

import base64
import io
import json
import logging
import random
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.core.cache import cache
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.urls import reverse
from django_q.models import OrmQ
from django_q.signing import SignedPackage
from rest_framework.test import APIClient

from automation.models import PrometheusConnection
from exporters.models import Exporter
from platforms import tokens
from platforms.models import Platform, User
from remosa import api_urls
from remosa.lib.clock import utcnow
from remosa.lib.redact import RedactingFilter
from sms.models import Gateway
from sms.outbox import Pump
from sms.services import gateways, read_inbox
from tests.console.test_pages import everything
from tests.console.world import World, build
from tests.factories import make_exporter, make_gateway, make_platform, make_user
from tests.sms.fakes import make_notice
from tests.sms.gateway_server import GatewayServer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(400)]
WANTED = 30


class Cage:
    """Makes canaries, and knows them again in a text: plain, in base64, and as a browser writes it in an address."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}
        self._dice = random.Random(20261126)

    def canary(self, where: str) -> str:
        """A secret that stands nowhere else."""
        text = "Cnry" + "".join(self._dice.choices("abcdefghjkmnpqrstuvwxyz23456789", k=24)) + "9Z"
        return self.keep(where, text)

    def keep(self, where: str, text: str) -> str:
        """A secret that the product itself made."""
        self.names[text] = where
        return text

    def found_in(self, text: str) -> list[str]:
        """Where the canaries were put that can be read in ``text``."""
        return [where for canary, where in self.names.items() if any(form in text for form in forms(canary))]


def forms(canary: str) -> tuple[str, ...]:
    """How a secret may be written; the inner characters of base64 do not depend on what stands before."""
    inner = [base64.b64encode(b"x" * pad + canary.encode()).decode()[4:-4] for pad in range(3)]
    return canary, canary[4:], *inner


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """All that is logged from DEBUG on, through the filter with which the product logs."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.addFilter(RedactingFilter())
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.DEBUG)
    root.addHandler(handler)
    yield stream
    root.removeHandler(handler)
    root.setLevel(before)


@pytest.fixture
def people(db: None) -> dict[str, User]:
    cache.clear()
    north = make_platform("north")
    return {
        "admin": make_user("alice", platform=north, role="admin"),
        "viewer": make_user("bob", platform=north, role="viewer"),
        "root": User.objects.create_superuser("root", email="root@example.org", password=None),
    }


def put_into_gateways(cage: Cage, platform: Platform, admin: User, url: str) -> None:
    """Each kind of gateway with a key and a callback secret: by the table, by the API, by the console."""
    for kind in ("remosa", "http", "kannel", "smsc_ru", "sms_ru", "android", "twilio", "modem"):
        config = {"base_url": url} if kind in ("remosa", "kannel", "android") else {}
        make_gateway(
            platform, kind=kind, config=config, secret=cage.canary(f"{kind} key"),
            hook_secret=cage.canary(f"{kind} callback secret"), is_enabled=kind in ("remosa", "android", "kannel"),
        )  # fmt: skip
    row = Gateway.objects.get(kind="remosa")
    api = signed_in(admin)
    answer = api.patch(
        f"/api/v1/gateways/{row.pk}/", {"secret": cage.canary("gateway key by API")}, format="json"
    )
    assert answer.status_code == 200, answer.content
    made = api.post(
        "/api/v1/gateways/",
        {"platform": platform.pk, "name": "made", "kind": "console", "secret": cage.canary("new gateway key"),
         "hook_secret": cage.canary("new callback secret")},
        format="json",
    )  # fmt: skip
    assert made.status_code == 201, made.content


def put_into_exporters(cage: Cage, platform: Platform, admin: User, url: str) -> None:
    """CMS keys: made, replaced, and refused in a body that is wrong elsewhere."""
    for kind in ("cubic", "addreality"):
        make_exporter(platform, kind=kind, base_url=url, secret=cage.canary(f"{kind} key"))
    row, api = Exporter.objects.filter(platform=platform).first(), signed_in(admin)
    assert row is not None
    answer = api.patch(
        f"/api/v1/exporters/{row.pk}/", {"secret": cage.canary("CMS key by API")}, format="json"
    )
    assert answer.status_code == 200, answer.content
    wrong = {"platform": platform.pk, "kind": "nonsense", "secret": cage.canary("key in a refused body")}
    assert api.post("/api/v1/exporters/", wrong, format="json").status_code == 400


def put_into_people(cage: Cage, admin: User) -> list[str]:
    """Passwords that are right and wrong, tokens that work, and such that do not; the tokens that work."""
    password = cage.canary("password")
    admin.set_password(password)
    admin.save()
    client = Client()
    form = {"username": "alice", "password": password}
    assert client.post("/admin/login/", form).status_code == 302
    client.post("/admin/login/", {**form, "password": cage.canary("wrong password")})
    pair = APIClient().post("/api/v1/auth/token/", form, format="json").json()
    cage.keep("JWT access", pair["access"].rpartition(".")[2])
    if not apps.is_installed("rest_framework_simplejwt.token_blacklist"):  # whose table keeps the whole text
        cage.keep("JWT refresh", pair["refresh"].rpartition(".")[2])
    APIClient().post(
        "/api/v1/auth/token/", {**form, "password": cage.canary("wrong JWT password")}, format="json"
    )
    working = []
    platform = Platform.objects.get(memberships__user=admin)
    for scope in ("read", "scrape", "edge"):
        own = scope == "read"
        _row, text = tokens.issue(
            name=scope,
            scopes=[scope],
            by=admin,
            user=admin if own else None,
            platform=None if own else platform,
        )
        working.append(cage.keep(f"{scope} token", text.split("_", 2)[2]) and text)
    for header in ("Authorization", "X-API-Key"):
        APIClient().get(
            "/api/v1/devices/", headers={header: f"Bearer rms_abcdef_{cage.canary(f'wrong {header}')}"}
        )
    return working


def signed_in(user: User) -> APIClient:
    client = APIClient()
    client.force_login(user, backend="platforms.authentication.UsernameOrEmailBackend")
    return client


def use_and_misuse(platform: Platform, working: list[str]) -> None:
    """Send, poll, call: whatever might write a secret down on its way."""
    Gateway.objects.filter(kind="console").update(is_enabled=False)
    for number in range(3):
        make_notice(platform, to=f"+7916000000{number}", now=utcnow(), expires_at=None)
    Pump("canary", jitter=lambda: 0.0).drain()
    for gateway in Gateway.objects.filter(platform=platform, is_enabled=True):
        if gateways.backend_of(gateway).capabilities.inbox:
            read_inbox(gateway)
    call_command("poll", "--once", stdout=io.StringIO())
    for text in working:
        for headers in (
            {"Authorization": f"Bearer {text}"},
            {"X-API-Key": text},
            {"Authorization": f"Token {text}"},
        ):
            APIClient().get("/api/v1/exporter-macs/", headers=headers)
            APIClient().get(f"/platforms/{platform.pk}/metrics", headers=headers)
    for gateway in Gateway.objects.filter(platform=platform):
        secret = str(gateway.hook_secret)
        APIClient().post(
            f"/hooks/sms/{gateway.hook_id}/report/?token={secret}", {"secret": secret}, format="json"
        )


def database_text() -> str:
    """Everything that lies in the database: its file on SQLite, all rows of all tables elsewhere."""
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            cursor.fetchall()
            # by another process: to open and close the file here would take SQLite's locks from it, and the next
            # process that closes the database would throw the log away that this one still writes (howtocorrupt, 2.2)
            path = str(connection.settings_dict["NAME"])
            return subprocess.run(["cat", path], capture_output=True, check=True).stdout.decode("latin-1")
        rows = []
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT row_to_json(t)::text FROM "{table}" t')  # noqa: S608  names from the database
            rows += [text for (text,) in cursor.fetchall()]
        return "\n".join(rows)


def task_text() -> str:
    """The arguments of every task that waits, as the worker reads them."""
    return "\n".join(str(SignedPackage.loads(row.payload)) for row in OrmQ.objects.all())


def pages_text(world: World, people: dict[str, User]) -> tuple[str, int]:
    """Every page of the console, opened by the superadmin and by the admin: (text, number of pages)."""
    texts, wanted = [], everything(world)
    wanted += [reverse("admin:sms_gateway_change", args=[row.pk]) for row in Gateway.objects.all()]
    wanted += [reverse("admin:exporters_exporter_change", args=[row.pk]) for row in Exporter.objects.all()]
    for person in (people["root"], people["admin"]):
        client = Client()
        client.force_login(person, backend="platforms.authentication.UsernameOrEmailBackend")
        for url in wanted:
            answer = client.get(url)
            texts.append(b"".join(answer).decode(errors="replace"))
    return "\n".join(texts), len(texts)


def api_text(people: dict[str, User]) -> tuple[str, int]:
    """Every list of the API with all that it holds, and the form of every resource: (text, number of answers)."""
    paths = sorted({f"/api/v1/{prefix}/" for prefix, _view, _name in api_urls.router.registry})
    texts = []
    for person in people.values():
        client = signed_in(person)
        for path in [*paths, "/api/v1/exporter-macs/", "/api/schema/"]:
            listed = client.get(
                path, {"page_size": 500} if path.endswith("/") and "schema" not in path else {}
            )
            if listed.status_code == 400:
                listed = client.get(path)
            texts.append(listed.content.decode(errors="replace"))
            texts.append(client.get(path, headers={"accept": "text/html"}).content.decode(errors="replace"))
            texts.append(client.options(path).content.decode(errors="replace"))
            found = (
                json.loads(listed.content) if listed["Content-Type"].startswith("application/json") else {}
            )
            for entry in (found.get("results", []) if isinstance(found, dict) else [])[:20]:
                texts.append(client.get(f"{path}{entry['id']}/").content.decode(errors="replace"))
        texts.append(b"".join(client.get("/api/v1/audit/export/?as=json")).decode(errors="replace"))
    return "\n".join(texts), len(texts)


def test_no_secret_is_found_where_it_does_not_belong(
    people: dict[str, User],
    log: io.StringIO,
    settings: Any,
    tmp_path: Path,
    figure: Callable[[str, str], None],
) -> None:
    settings.EGRESS_ALLOW, settings.OUTBOX_SEND_DEADLINE_S = ["127.0.0.0/8"], 0.5
    settings.SMS_SPOOL_DIR = str(tmp_path / "spool")
    cage, north = Cage(), Platform.objects.get(name="north")
    world = build(north, people["admin"], "zqnorth")
    PrometheusConnection.objects.create(
        url="http://127.0.0.1:9/", username="u", secret=cage.canary("Prometheus key")
    )
    # the echo holds every canary that is known when the server starts, and those are the gateways' own
    with GatewayServer("500", answer=b"placeholder") as server:
        put_into_gateways(cage, north, people["admin"], server.url)
        put_into_exporters(cage, north, people["admin"], server.url)
        server.answer = ("refused " + " ".join(f"key={canary}" for canary in cage.names)).encode()
        working = put_into_people(cage, people["admin"])
        use_and_misuse(north, working)
        assert server.seen

    pages, opened = pages_text(world, people)
    answers, answered = api_text(people)
    places = {
        "database": database_text(), "logs": log.getvalue(), "HTML": pages, "API": answers, "tasks": task_text(),
    }  # fmt: skip
    hits = [f"{where} in {place}" for place, text in places.items() for where in cage.found_in(text)]

    count = len(cage.names)
    searched = f"database ({len(places['database'])} bytes), logs, {opened} pages, {answered} answers, task arguments"
    figure("canaries", f"{count} canaries, {len(hits)} hits in {searched}")
    assert count >= WANTED
    assert all(len(text) > 100 for place, text in places.items() if place != "tasks")
    assert OrmQ.objects.exists()
    assert hits == []


def test_the_search_would_find_a_canary() -> None:
    cage = Cage()
    canary = cage.canary("here")

    texts = [
        f"x{canary}y",
        base64.b64encode(f"user:{canary}".encode()).decode(),
        base64.b64encode(canary.encode()).decode(),
    ]

    assert [cage.found_in(text) for text in texts] == [["here"]] * 3
    assert cage.found_in("nothing") == []
