"""The servers and plugins that other tests lean on do what they promise."""

import http.server
import sys
import threading
from collections.abc import Callable, Iterator

import psycopg
import pytest

from tests.servers import process
from tests.servers.availability import ServerMissing, find_program, skip_or_fail
from tests.servers.chromium import Page
from tests.servers.ports import free_port
from tests.servers.prometheus import Prometheus, PromtoolComplaint

CLEAN = "# HELP remosa_player_online Whether the CMS sees it.\n# TYPE remosa_player_online gauge\n"


@pytest.fixture
def metrics_port() -> Iterator[int]:
    """A little exposition endpoint with a Cyrillic label."""

    class Exposition(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = (CLEAN + 'remosa_player_online{player="Экран у входа"} 1\n').encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Exposition) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def test_postgres_url_is_an_empty_durable_database(postgres_url: str):
    with psycopg.connect(postgres_url) as connection:
        tables = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
        fsync = connection.execute("SELECT current_setting('fsync'), current_setting('synchronous_commit')")

        assert tables == (0,)
        assert fsync.fetchone() == ("on", "on")


def test_prometheus_scrapes_a_target_with_cyrillic_labels(
    run_prometheus: Callable[[dict], Prometheus], metrics_port: int
):
    targets = [{"targets": [f"127.0.0.1:{metrics_port}"]}]
    job = {"job_name": "players", "scrape_interval": "100ms", "scrape_timeout": "100ms"}

    prometheus = run_prometheus({"scrape_configs": [{**job, "static_configs": targets}]})

    result = prometheus.wait_for("remosa_player_online", deadline_s=20)
    assert result[0]["metric"]["player"] == "Экран у входа"
    assert [target["health"] for target in prometheus.targets()] == ["up"]


def test_promtool_accepts_a_clean_exposition_and_names_a_fault(run_promtool: Callable[..., str]):
    assert run_promtool("check", "metrics", stdin=CLEAN + "remosa_player_online 1\n") == ""
    with pytest.raises(PromtoolComplaint, match="no help text"):
        run_promtool("check", "metrics", stdin="remosa_player_online 1\n")


@pytest.mark.browser
def test_chromium_renders_and_clicks(page: Page, tmp_path):
    page.goto("data:text/html,<meta charset=utf8><button onclick='document.title=1+1'>Нажать</button>")

    page.get_by_role("button", name="Нажать").click()

    assert page.title() == "2"
    assert page.screenshot(path=tmp_path / "page.png").startswith(b"\x89PNG")


FAMILY = """
import signal, subprocess, sys
stubborn = '''import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("up", flush=True)
signal.pause()'''
subprocess.Popen([sys.executable, "-c", stubborn])
signal.pause()
"""


@pytest.mark.parametrize("end", [process.Child.stop, process.Child.kill_9])
def test_ending_a_child_ends_its_whole_family(start_child: Callable[..., process.Child], end: Callable):
    child = start_child([sys.executable, "-c", FAMILY])
    child.wait_for_output("up", deadline_s=20)
    family = child.family()

    end(child)

    assert len(family) == 2
    assert child.family() == []
    assert not child.is_running


def test_a_child_that_ends_early_shows_its_output(start_child: Callable[..., process.Child]):
    child = start_child([sys.executable, "-c", "print('no such setting'); raise SystemExit(3)"])

    with pytest.raises(RuntimeError, match="ended with 3 before saying 'ready':\nno such setting"):
        child.wait_for_output("ready", deadline_s=20)


def test_a_free_port_can_be_bound():
    port = free_port()

    with http.server.HTTPServer(("127.0.0.1", port), http.server.BaseHTTPRequestHandler) as server:
        assert server.server_address[1] == port


@pytest.mark.parametrize(("ci", "outcome"), [("true", pytest.fail.Exception), ("", pytest.skip.Exception)])
def test_a_missing_server_fails_in_ci_and_skips_elsewhere(monkeypatch, ci: str, outcome: type):
    monkeypatch.setenv("CI", ci)
    with pytest.raises(ServerMissing) as missing:
        find_program("no-such-server", "/nowhere/*/no-such-server", package="no-such-package")

    with pytest.raises(outcome, match="apt-get install no-such-package"):
        skip_or_fail(missing.value)
