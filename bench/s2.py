"""S2: a gzipped scrape of 100,000 devices on the product's server against nginx with the same file."""

import tempfile
import urllib.request
from pathlib import Path
from statistics import median

from bench.harness import Goal, Outcome, exponent, postgres, project_on

GOAL = Goal(0.5, at_most=False)
SIZES = (10_000, 100_000)
REPEATS = 3
CONFIG = """
daemon off; worker_processes 1; pid {dir}/pid; error_log /dev/stderr warn;
events {{ worker_connections 64; }}
http {{ access_log off; sendfile on; client_body_temp_path {dir}; proxy_temp_path {dir}; fastcgi_temp_path {dir};
  uwsgi_temp_path {dir}; scgi_temp_path {dir};
  server {{ listen 127.0.0.1:{port}; root {dir}; location / {{ add_header Content-Encoding gzip; }} }} }}
"""


def measure(count: int) -> tuple[float, float]:
    """Requests per second: ours, nginx."""
    from bench._fleet import make_fleet, need, requests_per_s, running, scrape_token, store, web_server
    from tests.servers.ports import free_port

    exporter = make_fleet(count)
    store(exporter, count)
    headers = {"Authorization": f"Bearer {scrape_token(exporter)}", "Accept-Encoding": "gzip"}
    ours, peer, port = [], [], free_port()
    with web_server() as base, tempfile.TemporaryDirectory() as name:
        url = f"{base}/exporters/{exporter.pk}/metrics"
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        body = opener.open(urllib.request.Request(url, headers=headers), timeout=60).read()  # noqa: S310  ours
        Path(name).chmod(0o755)
        (Path(name) / "metrics").write_bytes(body)
        (Path(name) / "nginx.conf").write_text(CONFIG.format(dir=name, port=port))
        command = [need("nginx", "nginx-light"), "-c", f"{name}/nginx.conf", "-p", name]
        with running(command, f"http://127.0.0.1:{port}/metrics"):
            for _ in range(REPEATS):
                ours.append(
                    requests_per_s(url, Authorization=headers["Authorization"], Accept_Encoding="gzip")
                )
                peer.append(requests_per_s(f"http://127.0.0.1:{port}/metrics"))
    return median(ours), median(peer)


def run() -> Outcome:
    with postgres() as url, project_on(url):
        small, large = (measure(count) for count in SIZES)
    power = exponent(1 / small[0], 1 / large[0], growth=SIZES[1] / SIZES[0])
    details = {
        "per_s": round(large[0]), "nginx_per_s": round(large[1]), "per_s_of_10000": round(small[0]),
        "exponent": round(power, 2),
    }  # fmt: skip
    return Outcome(large[0] / large[1], details)
