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
NONE_YET = (None,)


class Row(Protocol):
    """What is asked of a row."""

    external_id: str
    device_name: str
    is_changed: bool


AnyRow = TypeVar("AnyRow", bound=Row)


@dataclass
class Kept:
    """Lines of one exporter as of snapshot ``version``."""

    version: str = ""
    shape: object = None
    lines: dict[str, Lines] = field(default_factory=dict)  # external id -> (our name, a line of each family)


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
        """The lines of each of the families ``names``, row by row.

        ``version`` is that of the stored snapshot, ``shape`` whatever else the lines depend on; ``render`` gives the
        lines of each row that must be rendered.
        """
        kept = self._kept.pop(exporter_id, None)
        if kept is None or kept.version != version or kept.shape != shape:
            kept = Kept(shape=shape)
        listed = list(rows)
        known = kept.lines.get
        found = [known(row.external_id, NONE_YET) for row in listed]
        stale = [
            place
            for place, (row, lines) in enumerate(zip(listed, found, strict=True))
            if row.is_changed or lines[0] != row.device_name
        ]
        for place, lines in zip(stale, render([listed[place] for place in stale]), strict=True):
            row = listed[place]
            kept.lines[row.external_id] = found[place] = (row.device_name, *lines)
        if len(kept.lines) > len(listed):
            present = {row.external_id for row in listed}
            kept.lines = {key: lines for key, lines in kept.lines.items() if key in present}
        kept.version = ""  # until `note` says that it is stored: a round that is rolled back leaves nothing
        self._kept[exporter_id] = kept
        self._trim()
        return {name: [lines[place] for lines in found] for place, name in enumerate(names, start=1)}

    def note(self, exporter_id: int, version: str) -> None:
        """The snapshot that holds these lines was stored as ``version``."""
        if exporter_id in self._kept:
            self._kept[exporter_id].version = version

    def _trim(self) -> None:
        while len(self._kept) > 1 and sum(len(kept.lines) for kept in self._kept.values()) > self._most:
            self._kept.popitem(last=False)
