"""A Prometheus of a few lines on a real socket: it answers what the test says, and keeps what it was asked."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs


def vector(*series: tuple[dict[str, str], float, str], **more: Any) -> dict[str, Any]:
    """An answer: (labels, unix time, value) of each series."""
    result = [{"metric": labels, "value": [at, value]} for labels, at, value in series]
    return {"status": "success", "data": {"resultType": "vector", "result": result}, **more}


def scraped_when_said(answer: Any) -> Any:
    """What ``timestamp(...)`` says of the series of ``answer``; what is no vector stays as it is."""
    try:
        series = answer["data"]["result"]
        return {**answer, "data": {**answer["data"], "result": [
            {"metric": row["metric"], "value": [row["value"][0], str(row["value"][0])]} for row in series
        ]}}  # fmt: skip
    except (TypeError, KeyError, IndexError):
        return answer


class FakePrometheus:
    """``answer`` is a body (bytes) or something to encode; ``timestamps`` answers ``timestamp(...)`` queries.

    Without ``timestamps`` each series of ``answer`` was scraped at the time it carries.
    """

    def __init__(self) -> None:
        self.status, self.answer, self.timestamps = 200, vector(), None
        self.asked: list[dict[str, str]] = []
        self.headers: list[dict[str, str]] = []
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                form = {key: values[0] for key, values in parse_qs(body).items()}
                fake.asked.append({"path": self.path, **form})
                fake.headers.append(dict(self.headers))
                answer = fake.answer
                if form["query"].startswith("timestamp("):
                    answer = fake.timestamps or scraped_when_said(fake.answer)
                payload = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                self.send_response(fake.status)
                self.send_header("Content-Length", str(len(payload)))
                self.end_headers()
                self.wfile.write(payload)

            def log_message(self, *args: Any) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> "FakePrometheus":
        self.thread.start()
        return self

    def __exit__(self, *exc: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()
