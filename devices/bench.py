"""What has to be seen of a model on the bench before automation may switch it, and rules proposed from replies.

Pure: no database, no clock. A check is a list of steps. Some want a text: what the socket answered, which
the model's rules must read as the answer. Some want eyes: a person says what the lamp did.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext_lazy as _

from devices.catalogue import TemplateSpec
from devices.pattern_cost import MAX_GROUPS
from devices.replies import MAX_COST, ReplyRule, ReplyVerdict, read_reply

SWITCHED = {"on": "on", "off": "off"}  # what an answer to a command of this power effect says of its output
MAX_DIGITS = 20  # as long as the number of a SIM
_PIECES = re.compile(
    r"(?P<on_off>\b(?:ON|OFF)\b)|(?P<celsius>-?[0-9]{1,3}(?=\s?°?C\b))|(?P<number>[0-9]{1,20})|(?P<rest>.)",
    re.DOTALL,
)


@dataclass(frozen=True)
class BenchStep:
    """One step: the answer to ``template`` is wanted, or, without one, a person looks."""

    key: str
    title: Any = ""
    why: Any = ""
    template: TemplateSpec | None = None


@dataclass(frozen=True)
class ReadStep:
    """What the answer of a step means by the rules, and the rule that would make it understood."""

    step: BenchStep
    text: str
    verdict: ReplyVerdict | None
    proposal: dict[str, Any] | None = None

    @property
    def is_done(self) -> bool:
        """The rules read the text as the answer that says: done."""
        return self.verdict is not None and self.verdict.kind == "confirmed" and self.verdict.answers


def steps_for(templates: Iterable[TemplateSpec]) -> list[BenchStep]:
    """The steps of a model that has ``templates``: each way in which automation would switch it."""
    own = [each for each in templates if not each.dangerous]
    steps = [_asks(each) for each in own if each.key == "status"]
    cycles = [each for each in own if each.power == "cycle"]
    armed = [each for each in own if each.power == "on_later"]
    steps += [_asks(each) for each in cycles + armed]
    steps += [_asks(each) for each in own if each.power in SWITCHED]
    if cycles or armed:
        steps.append(
            BenchStep(
                "came_back", _("It came back by itself"),
                _("The lamp went off, and on again after the minutes, with no further SMS."),
            )
        )  # fmt: skip
    steps.append(
        BenchStep(
            "lost_on", _("A lost ON"),
            _("Gateway switched off after the OFF: REMOSA repeated the ON, or the socket's own delay did it."),
        )
    )  # fmt: skip
    steps.append(
        BenchStep("mains_back", _("After mains lost"), _("Plug pulled and put back: the lamp was on again."))
    )
    return steps


def _asks(spec: TemplateSpec) -> BenchStep:
    return BenchStep(f"reply_{spec.key}", template=spec)


def read_step(
    step: BenchStep, text: str, rules: list[ReplyRule], *, sent: Mapping[str, object] | None = None
) -> ReadStep:
    """Read ``text`` by ``rules``; where they do not understand it, propose a rule that does."""
    if step.template is None or not text.strip():
        return ReadStep(step, text, None)
    read = ReadStep(step, text, read_reply(text, rules, awaiting=step.template, sent=sent))
    if read.is_done:
        return read
    taken = {rule.name for rule in rules}
    return ReadStep(step, text, read.verdict, propose_rule(text, step.template, taken=taken, sent=sent))


def propose_rule(
    text: str, spec: TemplateSpec, *, taken: Iterable[str] = (), sent: Mapping[str, object] | None = None
) -> dict[str, Any]:
    """A rule by which ``text`` says that the command ``spec`` was done; for a person to read before it is used.

    What repeats a parameter of the command becomes an echo. ON and OFF of a status become outputs, a number
    before C a temperature. Every other number may be another one next time.
    """
    values = {str(value): name for name, value in (sent or {}).items() if str(value).isdigit()}
    facts: dict[str, Any] = {}
    echoes: dict[str, Any] = {}
    groups, ways = (
        0,
        1,
    )  # ways: how often the engine may have to try; what would pass the limit keeps its length
    pattern = ""

    def digits(piece: str) -> str:
        nonlocal ways
        longest = min(len(piece) + 2, MAX_DIGITS)
        if ways * longest > MAX_COST:
            return f"[0-9]{{{len(piece)}}}"
        ways *= longest
        return f"[0-9]{{1,{longest}}}"

    for found in _PIECES.finditer(_one_form(text)):
        kind, piece = str(found.lastgroup), found[0]
        if kind == "number" and piece in values and values[piece] not in echoes:
            echoes[values[piece]] = {"group": values[piece], "type": "int"}
            pattern += f"(?P<{values[piece]}>{digits(piece)})"
        elif kind == "on_off" and spec.effect == "query" and groups < MAX_GROUPS - 2 and ways * 2 <= MAX_COST:
            groups, ways = groups + 1, ways * 2
            words = {"ON": "on", "OFF": "off"}
            facts[f"out{groups}"] = {"group": f"out{groups}", "type": "word", "words": words}
            pattern += f"(?P<out{groups}>ON|OFF)"
        elif kind == "celsius" and "temperature_c" not in facts and ways * 6 <= MAX_COST:
            ways *= 6
            facts["temperature_c"] = {"group": "t", "type": "int"}
            pattern += "(?P<t>-?[0-9]{1,3})"
        elif kind in ("number", "celsius"):
            pattern += f"-{digits(piece[1:])}" if piece.startswith("-") else digits(piece)
        else:
            pattern += "\\n" if piece == "\n" else re.escape(piece).replace("\\ ", " ")
    if spec.power in SWITCHED and spec.line:
        facts[f"out{spec.line}"] = SWITCHED[spec.power]
    rule = {
        "name": _free_name(f"bench_{spec.key}"[:60], set(taken)), "pattern": pattern, "verdict": "confirmed",
        "answers": {"keys": [spec.key]}, "source": "bench",
    }  # fmt: skip
    return rule | ({"facts": facts} if facts else {}) | ({"echoes": echoes} if echoes else {})


def _one_form(text: str) -> str:
    return "\n".join(line.strip() for line in text.replace("\r\n", "\n").strip().split("\n"))


def _free_name(name: str, taken: set[str]) -> str:
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name}_{number}"
    return free
