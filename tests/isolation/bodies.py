"""What is sent: a body for each action of the API that takes one, and the forms of the console as they stand.

``Ref(Device)`` is replaced by a number: the caller's own row, a foreign one, or one that never was.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any

from django.db import models

from automation.models import Job, Webhook
from devices.models import Command, Device, PowerLink, Site
from exporters.models import Exporter
from platforms.models import Platform, User
from tests.isolation.world import World


@dataclass(frozen=True)
class Ref:
    """A row of ``model`` of whichever world is asked for; ``many`` wraps it in a list."""

    model: type[models.Model]
    many: bool = False
    through: str = ""  # this attribute of the row instead of the row itself


SOCKET = Ref(PowerLink, through="socket_id")
COMMAND = {"device": SOCKET, "template": "status", "params": {}, "target": Ref(Device)}

WORKS = {
    "platform": Ref(Platform), "site": Ref(Site), "device": Ref(Device), "reason": "new",
    "starts_at": "2026-12-01T08:00:00Z", "ends_at": "2026-12-01T10:00:00Z",
}  # fmt: skip
# {view: {action: body}}; actions that read no body say so with {}
BODIES: dict[str, dict[str, dict[str, Any]]] = {
    "PlatformsView": {
        "create": {"name": "zqnew"},
        "update": {"name": "zqnew", "time_zone": "Europe/Moscow"},
        "usage": {}, "statement": {}, "presets": {},
    },
    "MembersView": {
        "create": {"platform": Ref(Platform), "user": Ref(User), "role": "viewer"},
        "update": {"platform": Ref(Platform), "user": Ref(User), "role": "viewer"},
    },
    "InvitationsView": {
        "create": {"platform": Ref(Platform), "email": "new@example.org", "role": "viewer"},
        "resend": {},
    },
    "SharesView": {
        "create": {"device": Ref(Device), "user": Ref(User), "level": "viewer"},
        "update": {"device": Ref(Device), "user": Ref(User), "level": "admin"},
    },
    "SitesView": {
        "create": {"platform": Ref(Platform), "name": "new"},
        "update": {"platform": Ref(Platform), "name": "new"},
        "bulk": {"rows": [{"platform": Ref(Platform), "name": "new"}]},
        "bulk_change": {"rows": [{"id": Ref(Site), "name": "new"}]},
        "bulk_delete": {"rows": [{"id": Ref(Site)}]},
        "photo": {}, "keep_photo": {}, "remove_photo": {},
    },
    "DevicesView": {
        "create": {"platform": Ref(Platform), "site": Ref(Site), "name": "new", "mac": "02:55:00:00:00:01"},
        "update": {"platform": Ref(Platform), "site": Ref(Site), "name": "new"},
        "bulk": {"rows": [{"platform": Ref(Platform), "site": Ref(Site), "name": "new"}]},
        "bulk_change": {"rows": [{"id": Ref(Device), "site": Ref(Site)}]},
        "bulk_delete": {"rows": [{"id": Ref(Device)}]},
        "photo": {}, "keep_photo": {}, "remove_photo": {},
        "move": {"site": Ref(Site), "socket": SOCKET, "line": 1, "reason": "new"},
        "replace": {"mac": "02:55:00:00:00:03", "reason": "new"},
        "replace_sim": {"msisdn": "+79165550003", "reason": "new"},
        "recheck": {"seen": True},
    },
    "DeviceModelsView": {
        "read_bench": {"replies": {"reply_status": "x"}},
        "use_rules": {"rules": [{"name": "new", "pattern": "x", "verdict": "info"}]},
        "pass_bench": {"replies": {}, "seen": []},
        "withdraw_bench": {"reason": "new"},
    },
    "SavedFiltersView": {"create": {"name": "new", "query": "state__exact=offline"}},
    "PowerLinksView": {"create": {"device": Ref(Device), "socket": SOCKET, "line": 1}},
    "OnboardingsView": {
        "create": {"platform": Ref(Platform), "table": "player;mac\nnew;02:55:00:00:00:02\n"},
        "store": {}, "cancel": {}, "export": {},
    },
    "CommandsView": {
        "create": COMMAND, "preview": COMMAND, "cancel": {"reason": "x"},
        "bulk": {"devices": Ref(PowerLink, many=True, through="socket_id"), "template": "status", "confirm": False},
        "cycle": {"device": SOCKET, "line": 1, "minutes": 1, "target": Ref(Device)},
    },
    "CommandSchedulesView": {"create": {"device": SOCKET, "template": "status", "cron": "0 8 * * *"}},
    "InboundSmsView": {
        "assign": {"command": Ref(Command)},
        "teach": {"rule": {"name": "new", "pattern": "x", "verdict": "info"}},
    },
    "GatewaysView": {
        "create": {"platform": Ref(Platform), "name": "new", "kind": "console"},
        "update": {"platform": Ref(Platform), "name": "new"},
    },
    "ExportersView": {
        "create": {"platform": Ref(Platform), "name": "new", "kind": "cubic", "base_url": "https://cms.example.org"},
        "update": {"platform": Ref(Platform), "name": "new", "base_url": "https://cms.example.org"},
        "poll": {},
        "adopt": {}, "found": {},
    },
    "ExporterMacsView": {
        "add": {"exporter": Ref(Exporter), "macs": ["02:66:00:00:00:01"]},
        "remove": {"exporter": Ref(Exporter), "macs": ["02:66:00:00:00:01"]},
    },
    "JobsView": {
        "create": {
            "platform": Ref(Platform), "name": "new", "exporter": Ref(Exporter), "site": Ref(Site),
            "devices": Ref(Device, many=True),
            "ladder": [{"do": "webhook", "webhook": Ref(Webhook), "wait_s": 60}],
        },
        "update": {
            "platform": Ref(Platform), "name": "new", "exporter": Ref(Exporter), "site": Ref(Site),
            "devices": Ref(Device, many=True),
            "ladder": [{"do": "webhook", "webhook": Ref(Webhook), "wait_s": 60}],
        },
        "restore": {"version": 1},
        "clone": {"name": "new copy"},
        "versions": {},
        "dry_run": {},
        "templates": {},
    },
    "AlertSourcesView": {
        "create": {"platform": Ref(Platform), "name": "new", "kind": "grafana", "secret": "zqnewsecretofasource"},
        "update": {"platform": Ref(Platform), "name": "new", "kind": "grafana"},
        "config": {},
    },
    "WebhooksView": {
        "create": {"platform": Ref(Platform), "name": "new", "url": "https://hook.example.org/"},
        "update": {"platform": Ref(Platform), "name": "new", "url": "https://hook.example.org/"},
    },
    "MaintenanceView": {
        "create": WORKS, "update": WORKS,
    },
    "HolidaysView": {
        "create": {"platform": Ref(Platform), "site": Ref(Site), "day": "2027-01-01", "name": "new"},
        "update": {"platform": Ref(Platform), "site": Ref(Site), "day": "2027-01-02", "name": "new"},
    },
    "StopsView": {
        "create": {
            "scope": "device", "platform": Ref(Platform), "job": Ref(Job), "device": Ref(Device), "reason": "new",
        },
        "release": {},
    },
    "CasesView": {
        "acknowledge": {}, "approve": {}, "repair": {}, "note": {"text": "x"}, "share": {}, "unshare": {},
        "cancel": {"reason": "x"},
    },
    "AuditView": {"export": {}},
    "TokensView": {
        "create": {"name": "new", "platform": Ref(Platform), "scopes": ["edge"]},
        "rotate": {},
    },
}  # fmt: skip
BODILESS = {"list", "retrieve", "destroy", "targets"}


def body_of(view: str, action: str) -> dict[str, Any] | None:
    """The template of a body; None when the table has none."""
    return BODIES.get(view, {}).get("update" if action == "partial_update" else action)


def filled(template: Mapping[str, Any], home: World, replaced: Mapping[str, Any] = {}) -> dict[str, Any]:
    """The body with the caller's own rows, except for ``replaced`` fields."""
    body = {}
    for name, value in template.items():
        if isinstance(value, Ref):
            number = replaced[name] if name in replaced else number_of(value, home)
            body[name] = [number] if value.many else number
        elif isinstance(value, list):  # the rows of a bulk request
            body[name] = [filled(row, home, replaced) if isinstance(row, dict) else row for row in value]
        else:
            body[name] = value
    return body


def number_of(ref: Ref, world: World) -> Any:
    """The number of this world's row."""
    row = world.row(ref.model)
    number = getattr(row, ref.through) if ref.through else row.pk
    return number if isinstance(number, int) else str(number)


# --- forms of the console --------------------------------------------------------------------------


class _Form(HTMLParser):
    """Collects what a browser would send back of the page's fields."""

    def __init__(self) -> None:
        super().__init__()
        self.values: dict[str, list[str]] = {}
        self.keys: list[str] = []  # names of selects
        self._select = self._area = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        name = found.get("name", "")
        if tag == "input" and name and found.get("type") not in ("submit", "button", "file"):
            if found.get("type") not in ("checkbox", "radio") or "checked" in found:
                self.values.setdefault(name, []).append(found.get("value", "on"))
        elif tag == "select" and name:
            self._select = name
            self.keys.append(name)
            self.values.setdefault(name, [])
        elif tag == "option" and self._select and "selected" in found:
            self.values[self._select].append(found.get("value", ""))
        elif tag == "textarea" and name:
            self._area = name
            self.values.setdefault(name, [""])

    def handle_endtag(self, tag: str) -> None:
        if tag == "select":
            self._select = ""
        elif tag == "textarea":
            self._area = ""

    def handle_data(self, data: str) -> None:
        if self._area:
            self.values[self._area][0] += data


def form_of(page: str) -> tuple[dict[str, list[str]], list[str]]:
    """(fields as a browser would send them, names of the choices among them) of a page."""
    form = _Form()
    form.feed(page)
    values = {name: value for name, value in form.values.items() if not name.startswith("_")}
    return values, form.keys


def with_choice(values: Mapping[str, list[str]], name: str, number: str) -> Iterator[tuple[str, str]]:
    """The form's pairs, with ``number`` chosen in ``name``."""
    for key, several in values.items():
        if key == name:
            yield key, number
        else:
            yield from ((key, value) for value in several)
