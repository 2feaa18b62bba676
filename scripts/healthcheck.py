"""Ask the web process of this container for /healthz; the exit code is the answer.

The Host header is one that the process accepts, whatever ALLOWED_HOSTS says.
"""

import http.client
import os
import sys


def main() -> int:
    allowed = [name.strip() for name in os.environ.get("ALLOWED_HOSTS", "").split(",")]
    host = next((name for name in allowed if name and name[0] not in "*."), "127.0.0.1")
    port = int(os.environ.get("GRANIAN_PORT", "8000"))
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/healthz", headers={"Host": host})
        status = connection.getresponse().status
    except OSError as exc:
        print(f"no answer: {exc}")
        return 1
    finally:
        connection.close()
    print(f"/healthz answered {status}")
    return 0 if status == 200 else 1


if __name__ == "__main__":
    sys.exit(main())
