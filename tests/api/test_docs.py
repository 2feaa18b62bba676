"""Every example of docs/api.md, run by curl against a live server."""

import os
import re
import subprocess
from pathlib import Path

import pytest
from django.conf import settings
from django.core.cache import cache
from pytest_django.live_server_helper import LiveServer
from rest_framework.test import APIClient

from devices.models import Command
from platforms import tokens
from platforms.models import AuditEvent, User
from tests.factories import (
    make_device,
    make_exporter,
    make_gateway,
    make_link,
    make_platform,
    make_socket,
    make_user,
)
from tests.servers.availability import find_program

DOC = settings.BASE_DIR / "docs" / "api.md"
EXAMPLES = re.findall(r"```sh\n(.*?)```", DOC.read_text(encoding="utf-8"), re.DOTALL)
PASSWORD = "correct horse battery"


@pytest.fixture
def variables(transactional_db: None, live_server: LiveServer, tmp_path: Path) -> dict[str, str]:
    """What the examples read."""
    cache.clear()
    platform = make_platform("north")
    alice: User = make_user("alice", platform=platform, role="admin", password=PASSWORD)
    player, socket, exporter = make_device(platform), make_socket(platform), make_exporter(platform)
    make_link(player, socket), make_gateway(platform)
    _row, token = tokens.issue(name="docs", scopes=["read", "command"], by=alice, user=alice)
    form = {"username": "alice", "password": PASSWORD}
    access = APIClient().post("/api/v1/auth/token/", form, format="json").json()["access"]
    return {
        "PATH": os.environ["PATH"], "HOME": str(tmp_path), "REMOSA": live_server.url, "TOKEN": token,
        "ACCESS": access, "PERSON": "alice", "PASSWORD": PASSWORD,
        "PLATFORM": str(platform.pk), "SOCKET": str(socket.pk), "PLAYER": str(player.pk),
        "EXPORTER": str(exporter.pk), "no_proxy": "*",
    }  # fmt: skip


@pytest.mark.timeout(300)
def test_every_example_of_the_documentation_works(variables: dict[str, str], tmp_path: Path) -> None:
    find_program("curl", package="curl")
    failed = {}

    for example in EXAMPLES:
        done = subprocess.run(
            ["bash", "-euc", example], env=variables, cwd=tmp_path, capture_output=True, text=True, timeout=60,
            check=False,
        )  # fmt: skip
        if done.returncode:
            failed[example] = done.stdout + done.stderr

    assert failed == {}
    assert len(EXAMPLES) >= 8
    assert Command.objects.get().idem_key.endswith("2026-03-03-hall-a-1")
    assert AuditEvent.objects.filter(verb="audit.exported", actor_kind="token").count() == 1
    assert (tmp_path / "statement.xlsx").read_bytes().startswith(b"PK")


def test_the_examples_name_no_variable_that_is_not_explained() -> None:
    used = set(re.findall(r"\$([A-Z]+)", "".join(EXAMPLES)))

    text = DOC.read_text(encoding="utf-8")
    assert {name for name in used if f"`{name}`" not in text} <= {"PERSON", "PASSWORD", "ACCESS"}
