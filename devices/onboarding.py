"""What a client's table means for a platform: what it adds, what it fills in, what is wrong with it. Pure.

One row is a player and the output that powers it: site, player, MAC, socket, model, phone, line. A
socket may also stand alone. The table only ever adds and fills what was empty: where it differs from
what is known, the row says so and nothing is changed. So the same table a second time does nothing.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from devices.tables import TableError, TableRow
from remosa.lib.macs import normalise_mac, shown
from remosa.lib.phones import normalise_msisdn

NOT_WORD = re.compile(r"[^\w]+")
NAME_MAX = 200
NUMBER_MAX = 100
MOST_TOLD = 200  # sentences of each kind that a report holds

# {column: the names it may have, in lower case, without punctuation}; the first two are what we write
COLUMNS: dict[str, tuple[str, ...]] = {
    "site": ("site", "площадка", "объект", "магазин", "location", "store"),
    "address": ("address", "адрес", "адрес площадки"),
    "player": ("player", "плеер", "название плеера", "имя плеера", "player name", "устройство", "device", "экран"),
    "mac": ("mac", "mac адрес", "mac address", "мак", "мак адрес", "mac плеера"),
    "number": ("number in the cms", "номер в cms", "cms id", "id в cms", "external id"),
    "socket": ("socket", "розетка", "gsm розетка", "gsm socket", "название розетки"),
    "model": ("model", "модель", "модель розетки", "socket model"),
    "phone": ("phone", "телефон", "номер телефона", "номер sim", "sim", "телефон розетки", "phone number"),
    "line": ("line", "линия", "выход", "output", "линия розетки", "номер линии"),
}  # fmt: skip
TITLES = {
    "site": gettext_lazy("Site"), "address": gettext_lazy("Address"), "player": gettext_lazy("Player"),
    "mac": "MAC", "number": gettext_lazy("Number in the CMS"), "socket": gettext_lazy("Socket"),
    "model": gettext_lazy("Model"), "phone": gettext_lazy("Phone"), "line": gettext_lazy("Line"),
}  # fmt: skip


class Told(NamedTuple):
    """A sentence about one row (0: the whole table) and perhaps one column of it."""

    row: int
    column: str
    text: str


@dataclass(frozen=True)
class Known:
    """A device that the platform has."""

    pk: int
    kind: str
    name: str
    mac: str = ""
    number: str = ""
    phone: str = ""
    model_id: int | None = None
    site_id: int | None = None
    is_active: bool = True
    powered_by: tuple[int, int] | None = None  # (socket, line)


@dataclass(frozen=True)
class Model:
    """A model of control device."""

    pk: int
    code: str
    lines: int
    names: tuple[str, ...]  # in lower case


@dataclass(frozen=True)
class Inventory:
    """What the platform has, and what of the table's numbers is taken elsewhere."""

    devices: Sequence[Known] = ()
    sites: dict[str, int] = field(default_factory=dict)  # {name in lower case: key}
    models: Sequence[Model] = ()
    phones_elsewhere: frozenset[str] = frozenset()
    places_left: int = 0


@dataclass
class Draft:
    """A device that the table adds (``pk`` None), or one that it only names."""

    row: int
    kind: str
    name: str
    mac: str = ""
    number: str = ""
    phone: str = ""
    model_id: int | None = None
    lines: int = 1
    site: str = ""  # its key among the sites: the name in lower case
    site_row: int = 0
    known: Known | None = None


@dataclass
class Plan:
    """What would happen. Nothing may be done of it while ``errors`` is not empty."""

    sites: dict[str, tuple[str, str]] = field(default_factory=dict)  # new ones: {key: (name, address)}
    devices: list[Draft] = field(default_factory=list)  # new ones, players and sockets
    moves_in: list[tuple[Known, str]] = field(
        default_factory=list
    )  # known ones without a site, and their site
    links: list[tuple[Draft, Draft, int]] = field(default_factory=list)  # new ones: player, socket, line
    errors: list[Told] = field(default_factory=list)
    notes: list[Told] = field(default_factory=list)
    rows: int = 0

    @property
    def counts(self) -> dict[str, int]:
        """How much of what it does."""
        return {
            "rows": self.rows,
            "sites": len(self.sites),
            "players": sum(draft.kind == "player" for draft in self.devices),
            "sockets": sum(draft.kind == "socket" for draft in self.devices),
            "links": len(self.links),
            "placed": len(self.moves_in),
            "errors": len(self.errors),
            "notes": len(self.notes),
        }

    @property
    def does_nothing(self) -> bool:
        return not (self.sites or self.devices or self.moves_in or self.links)


def read_header(row: TableRow) -> dict[str, int]:
    """{column: its place}; TableError when the first row does not name what is needed."""
    names = {name: column for column, several in COLUMNS.items() for name in several}
    found: dict[str, int] = {}
    for place, cell in enumerate(row.cells):
        column = names.get(NOT_WORD.sub(" ", cell.lower()).strip())
        if column is None:
            continue
        if column in found:
            raise TableError(_("The column “%(name)s” stands there twice.") % {"name": TITLES[column]})
        found[column] = place
    if "mac" not in found and "number" not in found and "socket" not in found and "phone" not in found:
        raise TableError(
            _("The first row must name the columns: %(names)s.")
            % {"names": ", ".join(str(TITLES[name]) for name in TITLES)}
        )
    return found


class Planner:
    """Takes the rows one by one; ``finish`` gives the plan."""

    def __init__(self, header: TableRow, have: Inventory) -> None:
        self.have = have
        self.plan = Plan()
        self._columns = read_header(header)
        unused = [
            cell for place, cell in enumerate(header.cells) if cell and place not in self._columns.values()
        ]
        if unused:
            names = ", ".join(shown(cell) for cell in unused[:10])
            self.plan.notes.append(
                Told(header.number, "", _("Columns that are not used: %(names)s.") % {"names": names})
            )
        self._macs = {known.mac: known for known in have.devices if known.mac and known.is_active}
        self._retired = {known.mac: known.name for known in have.devices if not known.is_active}
        self._numbers = {known.number: known for known in have.devices if known.number and known.is_active}
        self._phones = {known.phone: known for known in have.devices if known.phone and known.is_active}
        self._names: dict[str, list[Known]] = {}
        for known in have.devices:
            if known.kind == "socket" and known.is_active:
                self._names.setdefault(known.name.lower(), []).append(known)
        self._models = {name: model for model in have.models for name in model.names}
        self._lines = {model.pk: model.lines for model in have.models}
        self._site_keys = {pk: key for key, pk in have.sites.items()}
        self._players: dict[
            str, tuple[Draft, str, int]
        ] = {}  # {MAC or number: (draft, phone of its socket, line)}
        self._sockets: dict[str, Draft] = {}  # {phone, and name in lower case: draft}

    def add(self, row: TableRow) -> None:
        """Read one row."""
        self.plan.rows += 1
        told = len(self.plan.errors)
        cells = {
            name: row.cells[place] if place < len(row.cells) else "" for name, place in self._columns.items()
        }
        self._check_lengths(row, cells)
        site = self._site(row, cells)
        socket = self._socket(row, cells, site)
        line = self._line(row, cells, socket)
        player = self._player(row, cells, site)
        if player is None and socket is None and len(self.plan.errors) == told:
            self._wrong(row, "", _("The row names neither a player nor a socket."))
        if player is not None and len(self.plan.errors) == told:
            self._wire(row, player, socket, line)

    def finish(self) -> Plan:
        """The plan, checked as a whole."""
        wanted = len(self.plan.devices)
        if wanted > self.have.places_left:
            self.plan.errors.append(
                Told(
                    0, "",
                    _("The table adds %(wanted)d devices, and the platform's limit leaves %(left)d places.")
                    % {"wanted": wanted, "left": self.have.places_left},
                )
            )  # fmt: skip
        if not self.plan.rows:
            self.plan.errors.append(Told(0, "", _("There are no rows below the names of the columns.")))
        return self.plan

    # --- parts of a row --------------------------------------------------------------------------------

    def _wrong(self, row: TableRow, column: str, text: str) -> None:
        self.plan.errors.append(Told(row.number, column, text))

    def _note(self, row: TableRow, column: str, text: str) -> None:
        self.plan.notes.append(Told(row.number, column, text))

    def _check_lengths(self, row: TableRow, cells: dict[str, str]) -> None:
        for name, most in (
            ("site", NAME_MAX),
            ("player", NAME_MAX),
            ("socket", NAME_MAX),
            ("number", NUMBER_MAX),
        ):
            if len(cells.get(name, "")) > most:
                self._wrong(row, name, _("Longer than %(count)d characters; shorten it.") % {"count": most})

    def _site(self, row: TableRow, cells: dict[str, str]) -> str:
        name = cells.get("site", "")
        key = name.lower()
        if key and key not in self.have.sites and key not in self.plan.sites:
            self.plan.sites[key] = (name[:NAME_MAX], cells.get("address", ""))
        return key

    def _socket(self, row: TableRow, cells: dict[str, str], site: str) -> Draft | None:
        name, phone = cells.get("socket", ""), ""
        if cells.get("phone"):
            try:
                phone = normalise_msisdn(cells["phone"])
            except ValueError as exc:
                self._wrong(row, "phone", str(exc))
                return None
        if not name and not phone:
            for column in ("model", "line"):
                if cells.get(column):
                    self._wrong(row, column, _("There is no socket in this row that this could speak of."))
            return None
        draft = self._known_socket(row, name, phone) if phone or name else None
        if draft is None:
            return None
        if draft.row == row.number and draft.known is None:
            self._new_socket(row, cells, draft)
        self._same_socket(row, cells, draft, name, phone)
        self._place(row, draft, site)
        return draft

    def _known_socket(self, row: TableRow, name: str, phone: str) -> Draft | None:
        """The socket that the row means: of the table so far, of the platform, or a new one."""
        key = name.lower()
        draft = self._sockets.get(phone) if phone else None
        if draft is None and key and key in self._sockets:
            same_name = self._sockets[key]
            if phone and same_name.phone and same_name.phone != phone:
                self._wrong(
                    row, "phone", _("Row %(row)d gives this socket another number.") % {"row": same_name.row}
                )
                return None
            draft = same_name
        if draft is not None:
            return draft
        known = self._phones.get(phone)
        if known is None and not phone:
            several = self._names.get(key, [])
            if len(several) > 1:
                self._wrong(row, "socket", _("Several sockets have this name; give the phone number."))
                return None
            known = several[0] if several else None
        if known is not None and known.kind != "socket":
            self._wrong(
                row,
                "phone",
                _("This number belongs to “%(name)s”, which is no socket.") % {"name": known.name},
            )
            return None
        if known is not None:
            lines = self._lines.get(known.model_id or 0, 1)
            site = self._site_keys.get(known.site_id or 0, "")
            draft = Draft(
                row.number, "socket", known.name, phone=known.phone, model_id=known.model_id, lines=lines, site=site,
                known=known,
            )  # fmt: skip
        else:
            draft = Draft(
                row.number, "socket", name or _("GSM socket %(end)s") % {"end": phone[-4:]}, phone=phone
            )
        self._remember(draft, key)
        return draft

    def _remember(self, draft: Draft, key: str) -> None:
        if draft.phone:
            self._sockets.setdefault(draft.phone, draft)
        if key:
            self._sockets.setdefault(key, draft)

    def _new_socket(self, row: TableRow, cells: dict[str, str], draft: Draft) -> None:
        """Everything that a new socket needs."""
        if not draft.phone:
            self._wrong(row, "phone", _("A new socket needs the phone number of its SIM."))
        elif draft.phone in self.have.phones_elsewhere:
            self._wrong(row, "phone", _("This SIM number is already in use. Check the number."))
        model = self._model(row, cells)
        if model is None and not cells.get("model"):
            self._wrong(row, "model", _("Choose the model: the same text means different things on others."))
        if model is not None:
            draft.model_id, draft.lines = model.pk, model.lines
        self.plan.devices.append(draft)

    def _model(self, row: TableRow, cells: dict[str, str]) -> Model | None:
        text = cells.get("model", "")
        model = self._models.get(text.lower())
        if text and model is None:
            codes = ", ".join(sorted(model.code for model in self.have.models))
            self._wrong(
                row,
                "model",
                _("There is no model “%(name)s”; there are %(codes)s.")
                % {"name": shown(text), "codes": codes},
            )
        return model

    def _same_socket(self, row: TableRow, cells: dict[str, str], draft: Draft, name: str, phone: str) -> None:
        """What this row says of a socket that is named before or known must not contradict."""
        if draft.row == row.number and draft.known is None:
            return
        if phone and not draft.phone:
            self._wrong(
                row, "phone", _("Row %(row)d names this socket without the number.") % {"row": draft.row}
            )
        if cells.get("model"):
            model = self._model(row, cells)
            if model is not None and draft.model_id not in (None, model.pk):
                self._wrong(
                    row, "model", _("This socket is of another model. Check the number and the model.")
                )
        if name and name.lower() != draft.name.lower():
            if draft.known is None:
                self._wrong(
                    row,
                    "socket",
                    _("Row %(row)d gives this number to the socket “%(name)s”.")
                    % {"row": draft.row, "name": draft.name},
                )
            else:
                self._note(
                    row, "socket", _("Known as “%(name)s”; the name stays.") % {"name": draft.known.name}
                )

    def _line(self, row: TableRow, cells: dict[str, str], socket: Draft | None) -> int:
        text = cells.get("line", "")
        if not text or socket is None:
            return 1
        if not (text.isascii() and text.isdigit()) or not 1 <= int(text[:9]) <= socket.lines:
            if socket.model_id is not None:  # else the model's own sentence is enough
                self._wrong(
                    row, "line", _("This model has outputs 1 to %(lines)s.") % {"lines": socket.lines}
                )
            return 1
        return int(text)

    def _player(self, row: TableRow, cells: dict[str, str], site: str) -> Draft | None:
        name, number, mac = cells.get("player", ""), cells.get("number", ""), ""
        if cells.get("mac"):
            try:
                mac = normalise_mac(cells["mac"])
            except ValueError as exc:
                self._wrong(row, "mac", str(exc))
                return None
        if not mac and not number:
            if name:
                self._wrong(row, "mac", _("The MAC is missing."))
            return None
        key = mac or number
        if key in self._players:
            draft = self._players[key][0]
            self._place(row, draft, site)
            return draft
        known = self._macs.get(mac) if mac else self._numbers.get(number)
        if known is not None and known.kind == "socket":
            self._wrong(row, "mac", _("This is the MAC of the socket “%(name)s”.") % {"name": known.name})
            return None
        draft = Draft(row.number, "player", (name or key)[:NAME_MAX], mac=mac, number=number, known=known)
        if known is None:
            self.plan.devices.append(draft)
            if mac in self._retired:
                self._note(
                    row, "mac",
                    _("“%(name)s” with this MAC is out of service and stays so; this is a new device.")
                    % {"name": self._retired[mac]},
                )  # fmt: skip
        else:
            draft.site = self._site_keys.get(known.site_id or 0, "")
            if name and name != known.name:
                self._note(row, "player", _("Known as “%(name)s”; the name stays.") % {"name": known.name})
        self._place(row, draft, site)
        return draft

    def _place(self, row: TableRow, draft: Draft, site: str) -> None:
        """Put a device on the row's site; one that stands elsewhere stays there."""
        if not site or draft.site == site:
            return
        if not draft.site:
            draft.site, draft.site_row = site, row.number
            if draft.known is not None:
                self.plan.moves_in.append((draft.known, site))
        elif draft.known is not None and not draft.site_row:
            self._note(
                row,
                "site",
                _("“%(name)s” stands on another site and stays there; use “Move”.") % {"name": draft.name},
            )
        else:
            self._wrong(
                row,
                "site",
                _("Row %(row)d puts “%(name)s” on another site.")
                % {"row": draft.site_row, "name": draft.name},
            )

    def _wire(self, row: TableRow, player: Draft, socket: Draft | None, line: int) -> None:
        key, power = player.mac or player.number, socket.phone or socket.name.lower() if socket else ""
        if key in self._players:
            _draft, before, line_before = self._players[key]
            if (before, line_before) == (power, line):
                self._note(row, "mac", _("The same player stands in row %(row)d.") % {"row": player.row})
            else:
                self._wrong(
                    row, "mac", _("Row %(row)d gives this player another power supply.") % {"row": player.row}
                )
            return
        self._players[key] = (player, power, line)
        if socket is None:
            return
        fed_by = player.known.powered_by if player.known else None
        if fed_by is None:
            self.plan.links.append((player, socket, line))
        elif socket.known is None or fed_by != (socket.known.pk, line):
            self._note(
                row,
                "socket",
                _("“%(name)s” hangs on another output and stays there; use “Move”.") % {"name": player.name},
            )


def make_plan(rows: Iterable[TableRow], have: Inventory) -> Plan:
    """The plan of a whole table; TableError when its first row names no columns."""
    waiting = iter(rows)
    planner = Planner(next(waiting), have)
    for row in waiting:
        planner.add(row)
    return planner.finish()


def phones_in(rows: Sequence[TableRow]) -> set[str]:
    """The phone numbers of a table that are any."""
    place = read_header(rows[0]).get("phone")
    found = set()
    for row in rows[1:]:
        if place is not None and place < len(row.cells) and row.cells[place]:
            try:
                found.add(normalise_msisdn(row.cells[place]))
            except ValueError:
                continue  # the planner says so
    return found
