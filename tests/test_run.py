"""`make run` from the outside: one address, a verified case, nothing left behind, data kept."""

import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from remosa.lib import http
from tests.servers import process
from tests.servers.ports import free_port

pytestmark = pytest.mark.timeout(400)
ROOT = Path(__file__).resolve().parent.parent
LINE = re.compile(r"^REMOSA (http://127\.0\.0\.1:\d+)/ login: (\S+) password: (\S+)$", re.MULTILINE)
DEADLINE_S = 180


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what git tracks: no database, no keys, nothing collected."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True
    ).stdout.decode()
    for name in filter(None, listed.split("\0")):
        source = ROOT / name
        if source.is_file():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, tmp_path / name)
    return tmp_path


class Session:
    """One `manage.py run`."""

    def __init__(self, checkout: Path, port: int) -> None:
        self.log = checkout / "run.log"
        self.log.unlink(missing_ok=True)
        env = {"PATH": "/usr/bin:/bin", "HOME": str(checkout), "PORT": str(port), "LANG": "C.UTF-8"}
        self.child = process.start([sys.executable, "manage.py", "run"], log=self.log, cwd=checkout, env=env)
        self.url, self.login, self.password = process.wait_until(
            self._line, deadline_s=DEADLINE_S, what="the address"
        )

    def _line(self) -> tuple[str, ...] | None:
        found = LINE.findall(self.log.read_text()) if self.log.exists() else []
        if not found and not self.child.is_running:
            raise RuntimeError(f"it ended: {self.child.output()}")
        return found[0] if found else None

    def cases(self) -> list[dict]:
        """The cases, as a person's program gets them."""
        token = http.request(
            "POST",
            f"{self.url}/api/v1/auth/token/",
            json={"username": self.login, "password": self.password},
            deadline_s=10,
        ).json()["access"]
        answer = http.request(
            "GET", f"{self.url}/api/v1/cases/", headers={"Authorization": f"Bearer {token}"}, deadline_s=10,
            max_bytes=1 << 20,
        )  # fmt: skip
        return answer.json()["results"]

    def stop(self) -> int:
        """Ctrl-C; the exit code."""
        self.child.process.send_signal(signal.SIGINT)
        return self.child.process.wait(timeout=30)


def processes_of(checkout: Path) -> list[str]:
    """Command lines of processes that work in this directory."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "cwd").readlink() == checkout:
                found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found


def test_a_visitor_sees_a_verified_case_and_ctrl_c_leaves_nothing(checkout: Path, settings: object) -> None:
    settings.EGRESS_ALLOW = ["127.0.0.0/8"]
    port = free_port()
    session = Session(checkout, port)
    try:
        verified = process.wait_until(
            lambda: [
                case for case in session.cases() if case["state"] == "verified" and case["kind"] == "device"
            ],
            deadline_s=DEADLINE_S,
            what="a verified case",
            poll_s=2.0,
        )
    finally:
        code = session.stop()

    assert verified[0]["outcome"] == "repaired"
    assert code == 0
    assert processes_of(checkout) == []

    again = Session(checkout, port)
    try:
        kept = {case["id"] for case in again.cases()}
    finally:
        again.stop()

    assert (again.login, again.password) == (session.login, session.password)
    assert verified[0]["id"] in kept
