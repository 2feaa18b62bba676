"""The pieces of ``manage.py run``; the whole of it is told by the story of the first start."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from platforms.models import User
from remosa.localenv import admin_password
from remosa.management.commands import run
from remosa.management.commands.simulator import duration_s
from remosa.ports import any_free

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def base(settings, tmp_path):
    settings.BASE_DIR = tmp_path
    settings.STATIC_ROOT = tmp_path / "var" / "static"
    settings.STATICFILES_DIRS = [tmp_path / "static"]
    (tmp_path / "static").mkdir()
    (tmp_path / "static" / "a.css").write_text("a {}")
    (tmp_path / "requirements.txt").write_text("django==5.2\n")
    return tmp_path


@pytest.mark.parametrize(
    ("value", "on"),
    [(None, True), ("1", True), ("yes", True), ("0", False), ("false", False), ("Off", False)],
)
def test_demo_is_on_unless_it_is_switched_off(monkeypatch, value, on):
    monkeypatch.delenv("DEMO", raising=False)
    if value is not None:
        monkeypatch.setenv("DEMO", value)

    assert run.demo_is_on() is on


def test_programs_are_those_of_the_procfile_and_the_simulator():
    names = [program.name for program in run.programs(port=8000, simulator_port=8100)]

    assert names == ["web", "worker", "outbox", "poller", "simulator"]
    assert [program.name for program in run.programs(port=8000, simulator_port=None)] == names[:-1]


def test_programs_listen_on_the_loopback_only():
    web = run.programs(port=8123, simulator_port=None)[0].argv

    assert (web[web.index("--host") + 1], web[web.index("--port") + 1]) == ("127.0.0.1", "8123")


@pytest.mark.django_db
def test_ensure_admin_creates_the_superadmin_once():
    run.ensure_admin("first password")
    run.ensure_admin("second password")

    admin = User.objects.get(username="admin")
    assert admin.is_superuser
    assert admin.check_password("first password")


@pytest.mark.django_db
def test_password_is_shown_only_while_it_is_right(base):
    password = admin_password(base)
    run.ensure_admin(password)
    shown = run.password_to_show()

    admin = User.objects.get(username="admin")
    admin.set_password("another one")
    admin.save()

    assert shown == password
    assert run.password_to_show() == "(changed since the first start)"


def test_static_files_are_collected_again_only_after_a_change(base):
    stamp = base / "var" / "static" / ".collected"
    with (base / "log").open("w") as log:
        run.collect_static(log)
        (base / "var" / "static" / "a.css").unlink()
        run.collect_static(log)
        unchanged = (base / "var" / "static" / "a.css").exists()
        (base / "static" / "b.css").write_text("b {}")
        run.collect_static(log)

    assert unchanged is False
    assert (base / "var" / "static" / "b.css").exists()
    assert stamp.read_text() == run.static_fingerprint()


def test_only_one_run_at_a_time(tmp_path):
    lock = tmp_path / "lock"

    with (
        run.only_one(lock),
        pytest.raises(CommandError, match=rf"already runs from this directory \(process {os.getpid()}\)"),
        run.only_one(lock),
    ):
        pass

    with run.only_one(lock):
        assert lock.read_text() == f"{os.getpid()}\n"


def test_answers_is_false_while_nobody_listens(settings):
    settings.EGRESS_ALLOW = ["127.0.0.0/8"]

    assert run.answers(f"http://127.0.0.1:{any_free()}/healthz") is False


def test_taken_port_is_refused_before_anything_starts(base, monkeypatch):
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(1)
        monkeypatch.setenv("PORT", str(server.getsockname()[1]))

        with pytest.raises(CommandError, match=r"is in use.*PORT=8001 make run"):
            call_command("run", skip_checks=True)
    assert list((base / "var").iterdir()) == [base / "var" / "log"]


def test_malformed_port_is_refused(monkeypatch):
    monkeypatch.setenv("PORT", "http")

    with pytest.raises(CommandError, match="number from 1 to 65535"):
        call_command("run", skip_checks=True)


@pytest.mark.parametrize(("text", "seconds"), [("2s", 2.0), ("500ms", 0.5), ("1m", 60.0), ("3", 3.0)])
def test_simulator_minute_is_read(text, seconds):
    assert duration_s(text) == seconds


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [
        ("--minute=soon", "is not a duration"),
        ("--minute=0s", "is not a duration"),
        ("--sender=12", "--sender"),
    ],
)
def test_simulator_command_refuses_bad_input(argument, sentence):
    with pytest.raises(CommandError, match=sentence):
        call_command("simulator", argument)


@pytest.mark.parametrize("signal_name", ["SIGTERM", "SIGINT"])
def test_simulator_command_listens_and_ends_cleanly(signal_name):

    process = subprocess.Popen(
        [sys.executable, "manage.py", "simulator", "--port=0", "--minute=2s"],
        cwd=ROOT,
        env=os.environ
        | {"SECRET_KEY": "x" * 50, "FIELD_ENCRYPTION_KEYS": "ZGV2ZWxvcG1lbnQtb25seS1maWVsZC1rZXktMDAwMDA="}
        | {"AUDIT_KEYS": "x" * 50},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    line = process.stdout.readline()
    process.send_signal(getattr(signal, signal_name))
    out, err = process.communicate(timeout=30)

    assert line.startswith("Simulator http://127.0.0.1:")
    assert (process.returncode, out, err) == (0, "", "")
