"""How expensive a regular expression can get, told before it is ever run.

Pure. Rules that people edit are matched against texts that strangers send, and Python's engine backtracks: a
nested repeat makes one SMS cost minutes. ``cost_of`` bounds the number of ways in which a pattern can match
a text of a given length: choices add up, a sequence multiplies, a repeat multiplies with itself. It reads a
subset of the syntax (no look-around, no references back, no flags inside), which is plenty for replies.
"""

import re
from dataclasses import dataclass

ENDLESS = 10**12  # more than anybody will allow; costs stop growing here
MAX_GROUPS = 50  # far below what Python's own parser can nest


class PatternError(Exception):
    """The pattern uses what these rules do not allow; the message says what."""


def cost_of(pattern: str, *, longest: int) -> int:
    """An upper bound of the ways to match a text of ``longest`` characters; at most ENDLESS.

    ``pattern`` is one that Python compiles, of at most MAX_GROUPS groups. Raises PatternError for syntax
    outside the subset.
    """
    return _Reader(pattern, longest).choices()


@dataclass
class _Reader:
    """Reads ``pattern`` from left to right, by recursive descent."""

    pattern: str
    longest: int
    place: int = 0

    def choices(self) -> int:
        """The cost of ``a|b|c`` up to the end or the closing bracket."""
        total = self._sequence()
        while self._skip("|"):
            total += self._sequence()
        return min(total, ENDLESS)

    def _sequence(self) -> int:
        cost = 1
        while self.place < len(self.pattern) and self.pattern[self.place] not in "|)":
            cost = min(cost * self._repeated(self._atom()), ENDLESS)
        return cost

    def _atom(self) -> int:
        """The cost of one character, class or group."""
        if escape := self._take(r"\\(.)"):
            if escape[1] in "123456789g":
                raise PatternError("references back to a group are not allowed")
            return 1
        if self._take(r"\[\^?\]?(?:\\.|[^\]\\])*\]"):
            return 1
        if self._take(r"\((?:\?:|\?P<\w+>|(?!\?))"):
            cost = self.choices()
            self._skip(")")
            return cost
        if self._take(r"\(\?"):
            raise PatternError("of the groups that begin with (? only (?: and (?P<name> are allowed")
        self.place += 1
        return 1

    def _repeated(self, cost: int) -> int:
        """``cost`` of an atom, with the repeat that follows it."""
        least, most = 1, 1
        if sign := self._take(r"[*+?]"):
            least, most = {"*": (0, self.longest), "+": (1, self.longest), "?": (0, 1)}[sign[0]]
        elif count := self._take(r"\{(\d+)\}"):
            least = most = int(count[1])
        elif count := self._take(r"\{(\d*),(\d*)\}"):
            least, most = int(count[1] or 0), int(count[2] or self.longest)
        if self._take(r"[*+?]") and self.pattern[self.place - 1] == "+":
            raise PatternError("possessive repeats like *+ are not allowed")
        most = min(most, self.longest)
        options = max(most - least, 0) + 1
        if cost == 1:
            return options
        return min(options * cost**most, ENDLESS) if most <= 64 else ENDLESS

    def _take(self, form: str) -> re.Match[str] | None:
        """Step over what matches ``form`` here."""
        found = re.compile(form, re.DOTALL).match(self.pattern, self.place)
        if found:
            self.place = found.end()
        return found

    def _skip(self, sign: str) -> bool:
        return self._take(re.escape(sign)) is not None
