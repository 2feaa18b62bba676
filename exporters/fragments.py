"""The lines of each device, kept between rounds: only what changed is rendered again.

Most devices say the same in every round. A process that stores round after round keeps the lines of
each device, as long as the stored snapshot is the one that it wrote itself; whoever comes to an
exporter anew renders everything once. Nothing is lost with the memory of a process.
"""

from array import array
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

MOST_DEVICES = 300_000  # kept by one process, over all exporters

Lines = tuple[str, ...]


class Row(Protocol):
    """What is asked of a row."""

    external_id: str
    device_name: str
    is_changed: bool


AnyRow = TypeVar("AnyRow", bound=Row)


SEPARATOR = "\0"  # in no text of a database
BLOCK = 32  # rows


class Text:
    """The lines of a family, row by row; one string for each ``BLOCK`` rows, and how long the line of each is."""

    def __init__(self, lines: Sequence[str]) -> None:
        blocks = [lines[start : start + BLOCK] for start in range(0, len(lines), BLOCK)]
        self._texts = ["".join(block) for block in blocks]
        self._lengths = [array("L", map(len, block)) for block in blocks]

    def __iter__(self) -> Iterator[str]:
        """Its strings, to be read as one."""
        return iter(self._texts)

    def lines(self) -> Iterator[str]:
        """The line of each row, "" where it has none."""
        for text, lengths in zip(self._texts, self._lengths, strict=True):
            start = 0
            for length in lengths:
                yield text[start : start + length]
                start += length

    def put(self, place: int, line: str) -> None:
        """Replace the line of one row."""
        block, number = divmod(place, BLOCK)
        text, lengths = self._texts[block], self._lengths[block]
        start = sum(lengths[:number])
        self._texts[block] = text[:start] + line + text[start + lengths[number] :]
        lengths[number] = len(line)


@dataclass
class Kept:
    """The lines of one exporter, family by family, in the order of its rows, as of snapshot ``version``.

    Without a version they are not stored, and worth nothing to the next round. Ids and names are one string each, and
    lines one for many rows: hundreds of thousands of small ones among the short-lived ones of a round would keep its
    memory from the system.
    """

    shape: object
    families: dict[str, Text]
    order: str = ""  # external ids
    device_names: str = ""
    size: int = 0
    version: str | None = None

    def arrange(self, order: list[str], device_names: list[str]) -> list[int]:
        """Bring the lines into this ``order``; the places of which no line with this device name is known."""
        ids, names = SEPARATOR.join(order), SEPARATOR.join(device_names)
        if (ids, names, len(order)) == (self.order, self.device_names, self.size):
            return []
        before = self._names()
        if (ids, len(order)) != (self.order, self.size):
            place_of = {external_id: place for place, (external_id, _name) in enumerate(before)}
            places = [place_of.get(external_id, -1) for external_id in order]
            for family, text in self.families.items():
                lines = list(text.lines())
                self.families[family] = Text([lines[place] if place >= 0 else "" for place in places])
        self.order, self.device_names, self.size = ids, names, len(order)
        name_of, now = dict(before), zip(order, device_names, strict=True)
        return [place for place, (external_id, name) in enumerate(now) if name_of.get(external_id) != name]

    def _names(self) -> list[tuple[str, str]]:
        """Each id with its name; none at all, should one of them hold a separator."""
        ids, names = self.order.split(SEPARATOR), self.device_names.split(SEPARATOR)
        return list(zip(ids, names, strict=True)) if len(ids) == len(names) == self.size else []


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
    ) -> dict[str, Text]:
        """The lines of each of the families ``names``, row by row; they are ours, and only to be read.

        ``version`` is that of the stored snapshot, ``shape`` whatever else the lines depend on; ``render`` gives the
        lines of each row that must be rendered.
        """
        listed = list(rows)
        kept = self._kept.pop(exporter_id, None)
        if kept is None or kept.version != version or kept.shape != shape:
            kept = Kept(shape, {name: Text([]) for name in names})
        unknown = kept.arrange([row.external_id for row in listed], [row.device_name for row in listed])
        stale = sorted({*unknown, *(place for place, row in enumerate(listed) if row.is_changed)})
        texts = [kept.families[name] for name in names]
        for place, lines in zip(stale, render([listed[place] for place in stale]), strict=True):
            for text, line in zip(texts, lines, strict=True):
                text.put(place, line)
        kept.version = None  # until `note` says that it is stored: a round that is rolled back leaves nothing
        self._kept[exporter_id] = kept
        self._trim()
        return dict(kept.families)

    def note(self, exporter_id: int, version: str) -> None:
        """The snapshot that holds these lines was stored as ``version``."""
        if exporter_id in self._kept:
            self._kept[exporter_id].version = version

    def _trim(self) -> None:
        while len(self._kept) > 1 and sum(kept.size for kept in self._kept.values()) > self._most:
            self._kept.popitem(last=False)
