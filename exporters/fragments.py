"""The lines of each device, kept between rounds: only what changed is rendered again.

Most devices say the same in every round. A process that stores round after round keeps the lines of
each device, as long as the stored snapshot is the one that it wrote itself; whoever comes to an
exporter anew renders everything once. Nothing is lost with the memory of a process.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

MOST_DEVICES = 300_000  # kept by one process, over all exporters

Lines = tuple[str, ...]


class Row(Protocol):
    """What is asked of a row."""

    external_id: str
    device_name: str
    is_changed: bool


AnyRow = TypeVar("AnyRow", bound=Row)


@dataclass
class Kept:
    """The lines of one exporter, family by family, in the order of its rows, as of snapshot ``version``.

    Without a version they are not stored, and worth nothing to the next round.
    """

    shape: object
    families: dict[str, list[str]]
    order: list[str] = field(default_factory=list)  # external ids
    device_names: list[str] = field(default_factory=list)
    version: str | None = None

    def arrange(self, order: list[str], device_names: list[str]) -> list[int]:
        """Bring the lines into this ``order``; the places of which no line with this device name is known."""
        before: list[str | None] = [*self.device_names]
        if order != self.order:
            place_of = {external_id: place for place, external_id in enumerate(self.order)}
            places = [place_of.get(external_id, -1) for external_id in order]
            before = [self.device_names[place] if place >= 0 else None for place in places]
            for name, lines in self.families.items():
                self.families[name] = [lines[place] if place >= 0 else "" for place in places]
            self.order = order
        if before == device_names:
            return []
        self.device_names = device_names
        return [place for place, name in enumerate(device_names) if name != before[place]]


class FragmentCache:
    """The kept lines of a process, by exporter."""

    def __init__(self, most: int = MOST_DEVICES) -> None:
        self._most = most
        self._kept: OrderedDict[int, Kept] = OrderedDict()

    def families(
        self,
        exporter_id: int,
        rows: Iterable[AnyRow],
        *,
        version: str,
        shape: object,
        names: tuple[str, ...],
        render: Callable[[list[AnyRow]], Iterable[Lines]],
    ) -> dict[str, list[str]]:
        """The lines of each of the families ``names``, row by row; they are ours, and only to be read.

        ``version`` is that of the stored snapshot, ``shape`` whatever else the lines depend on; ``render`` gives the
        lines of each row that must be rendered.
        """
        listed = list(rows)
        kept = self._kept.pop(exporter_id, None)
        if kept is None or kept.version != version or kept.shape != shape:
            kept = Kept(shape, {name: [] for name in names})
        unknown = kept.arrange([row.external_id for row in listed], [row.device_name for row in listed])
        stale = sorted({*unknown, *(place for place, row in enumerate(listed) if row.is_changed)})
        for place, lines in zip(stale, render([listed[place] for place in stale]), strict=True):
            for name, line in zip(names, lines, strict=True):
                kept.families[name][place] = line
        kept.version = None  # until `note` says that it is stored: a round that is rolled back leaves nothing
        self._kept[exporter_id] = kept
        self._trim()
        return dict(kept.families)

    def note(self, exporter_id: int, version: str) -> None:
        """The snapshot that holds these lines was stored as ``version``."""
        if exporter_id in self._kept:
            self._kept[exporter_id].version = version

    def _trim(self) -> None:
        while len(self._kept) > 1 and sum(len(kept.order) for kept in self._kept.values()) > self._most:
            self._kept.popitem(last=False)
