"""What to paste at the other end, so that it sends its alerts here. Pure: texts in, a text out.

JSON is YAML: each value is written as a JSON string, so that no name or secret can break the file.
"""

import json
from dataclasses import dataclass

PLACE = "<secret>"  # stands where a secret would, when it is not to be shown


@dataclass(frozen=True)
class Config:
    """One file: where it goes, and what stands in it."""

    where: str
    text: str


def config_of(
    *, kind: str, name: str, url: str, auth: str, secret: str, username: str, signature_header: str,
    timestamp_header: str,
) -> list[Config]:  # fmt: skip
    """The files for a source; ``secret`` may be ``PLACE``."""
    if kind == "alertmanager":
        return [Config("alertmanager.yml", _alertmanager(name, url, auth, username, secret))]
    if kind == "prometheus":
        return [Config("prometheus.yml", _prometheus(url, auth, username, secret))]
    proof = _grafana_proof(auth, username, secret, signature_header, timestamp_header)
    return [Config("/etc/grafana/provisioning/alerting/remosa.yaml", _grafana(name, url, proof))]


def _q(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _grafana_proof(auth: str, username: str, secret: str, signature: str, timestamp: str) -> list[str]:
    if auth == "bearer":
        return ["authorization_scheme: Bearer", f"authorization_credentials: {_q(secret)}"]
    if auth == "basic":
        return [f"username: {_q(username)}", f"password: {_q(secret)}"]
    lines = ["hmacConfig:", f"  secret: {_q(secret)}", f"  header: {_q(signature)}"]
    return [*lines, f"  timestampHeader: {_q(timestamp)}"] if auth == "hmac_time" else lines


def _grafana(name: str, url: str, proof: list[str]) -> str:
    settings = "\n".join(f"          {line}" for line in [f"url: {_q(url)}", "httpMethod: POST", *proof])
    return f"""apiVersion: 1
contactPoints:
  - orgId: 1
    name: {_q(name)}
    receivers:
      - uid: remosa
        type: webhook
        settings:
{settings}
# Then send alerts to this contact point by a notification policy, with
#   group_wait: 10s, group_interval: 1m, repeat_interval: 5m
# (a file with "policies:" would replace all the policies that you have)
"""


def _credentials(auth: str, username: str, secret: str, indent: str) -> str:
    if auth == "basic":
        lines = ["basic_auth:", f"  username: {_q(username)}", f"  password: {_q(secret)}"]
    else:
        lines = ["authorization:", "  type: Bearer", f"  credentials: {_q(secret)}"]
    return "\n".join(indent + line for line in lines)


def _alertmanager(name: str, url: str, auth: str, username: str, secret: str) -> str:
    return f"""route:
  receiver: {_q(name)}
  group_by: [alertname]
  group_wait: 10s
  group_interval: 1m
  repeat_interval: 5m
receivers:
  - name: {_q(name)}
    webhook_configs:
      - url: {_q(url)}
        send_resolved: true
        http_config:
{_credentials(auth, username, secret, " " * 10)}
"""


def _prometheus(url: str, auth: str, username: str, secret: str) -> str:
    scheme, _sep, rest = url.partition("://")
    host, _slash, path = rest.partition("/")
    return f"""alerting:
  alertmanagers:
    - scheme: {scheme}
      path_prefix: {_q("/" + path.rstrip("/"))}
      api_version: v2
      static_configs:
        - targets: [{_q(host)}]
{_credentials(auth, username, secret, " " * 6)}
"""
