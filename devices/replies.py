"""What a device said: the text of a reply and a list of rules make a verdict.

Pure: no database, no clock, no log. A rule is data that people edit, since vendors do not publish what
their devices answer; what no rule matches is ``unrecognised``, that is "answered, state unknown", and never
a guess. A reply has no correlation id. So a rule only confirms the kinds of command that it names, and only
when what the reply repeats of the command (output, minutes) is what was sent; any other match is information.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, cast, get_args

from django.utils.translation import gettext as _

from devices.catalogue import TemplateSpec
from devices.errors import DevicesError
from devices.pattern_cost import MAX_GROUPS, PatternError, cost_of

MAX_TEXT = 1600  # characters of a reply that are read at all; about ten concatenated SMS
MAX_PATTERN = 500
MAX_COST = 3_000_000  # ways to match that the regular expression engine may have to try: some 20 ms
MASK = "****"

Kind: TypeAlias = Literal["confirmed", "refused", "info", "event", "unrecognised"]
Mismatch: TypeAlias = Literal["", "not_awaited", "other_command", "other_line", "other_value"]
FactValue: TypeAlias = int | float | str | bool
VERDICTS = ("confirmed", "refused", "info", "event")
FACT_TYPES = ("int", "number", "word", "text")


class ReplyRuleError(DevicesError):
    """A rule cannot be used; the message names the rule and says what to change."""


@dataclass(frozen=True)
class Fact:
    """One typed fact of a reply: a constant, or what a group of the pattern caught.

    ``{line}`` in ``name`` stands for what the group of that name caught. In JSON a bare value is a constant,
    ``{"group": "t", "type": "int"}`` reads a group; ``word`` translates it by ``words``.
    """

    name: str
    constant: FactValue | None = None
    group: str = ""
    type: str = "text"
    words: tuple[tuple[str, FactValue], ...] = ()

    def read(self, match: re.Match[str]) -> tuple[str, FactValue] | None:
        """Name and value; None when an optional group is absent. Raises ValueError for another type."""
        name = self.name.replace("{line}", match["line"] or "") if "{line}" in self.name else self.name
        if self.constant is not None:
            return name, self.constant
        caught = match[self.group]
        return None if caught is None else (name, self._convert(caught))

    def _convert(self, caught: str) -> FactValue:
        if self.type == "word":
            words = dict(self.words)
            if caught not in words:
                raise ValueError(f"{self.group} is none of the words")
            return words[caught]
        if self.type == "text":
            return caught[:100]
        if not re.fullmatch(r"[+-]?[0-9]{1,9}(?:\.[0-9]{1,3})?", caught):
            raise ValueError(f"{self.group} is not a number")
        return int(caught) if self.type == "int" else float(caught)

    def to_json(self) -> Any:
        """The value that stands under ``name`` in the rule."""
        if self.constant is not None:
            return self.constant
        return {"group": self.group, "type": self.type} | ({"words": dict(self.words)} if self.words else {})


@dataclass(frozen=True)
class Answers:
    """Which awaited commands a reply can answer: any of these keys, power effects or effect classes."""

    keys: tuple[str, ...] = ()
    powers: tuple[str, ...] = ()
    effects: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """True when no command is named."""
        return not (self.keys or self.powers or self.effects)

    def cover(self, awaited: TemplateSpec) -> bool:
        """Whether ``awaited`` is one of them."""
        return awaited.key in self.keys or awaited.power in self.powers or awaited.effect in self.effects


@dataclass(frozen=True)
class ReplyRule:
    """One known reply. ``pattern`` must match the whole text.

    ``facts`` say something about the device. ``echoes`` repeat the command: ``line`` and its parameters.
    ``reason`` is the word for a refusal or an event. A ``sensitive`` text is shown without its digits.
    A refusal that names no command in ``answers`` refuses any. ``source`` says where the text was learned.
    """

    name: str
    pattern: str
    verdict: str
    facts: tuple[Fact, ...] = ()
    echoes: tuple[Fact, ...] = ()
    answers: Answers = Answers()
    reason: str = ""
    sensitive: bool = False
    ignore_case: bool = False
    source: str = ""

    def match(self, text: str) -> re.Match[str] | None:
        """Match the whole of ``text``."""
        return re.fullmatch(self.pattern, text, re.IGNORECASE if self.ignore_case else 0)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON without what is empty; ``from_dict`` reads it back to an equal rule."""
        plain: dict[str, Any] = {"name": self.name, "pattern": self.pattern, "verdict": self.verdict}
        for group in ("facts", "echoes"):
            if facts := getattr(self, group):
                plain[group] = {fact.name: fact.to_json() for fact in facts}
        answers = {key: list(words) for key, words in vars(self.answers).items() if words}
        flags = {key: getattr(self, key) for key in ("reason", "sensitive", "ignore_case", "source")}
        return (
            plain
            | ({"answers": answers} if answers else {})
            | {key: flag for key, flag in flags.items() if flag}
        )

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> "ReplyRule":
        """Read and check one rule; raises ReplyRuleError."""
        name = plain.get("name") if isinstance(plain, Mapping) else None
        if not isinstance(name, str) or not re.fullmatch(r"[a-z][a-z0-9_]{0,63}", name):
            raise ReplyRuleError(_("a rule is an object with a name of small Latin letters, digits and _"))
        try:
            return _read_rule(plain)
        except (TypeError, ValueError, PatternError) as exc:
            raise ReplyRuleError(_("rule %(name)s: %(why)s") % {"name": name, "why": exc}) from exc


@dataclass(frozen=True)
class ReplyVerdict:
    """What a reply means.

    ``answers`` is True when it answers the awaited command. ``mismatch`` says why a match that would have
    confirmed or refused something does not. ``masked_text`` may be stored and shown.
    """

    kind: Kind
    masked_text: str
    facts: dict[str, FactValue] = field(default_factory=dict)
    echoes: dict[str, FactValue] = field(default_factory=dict)
    matched_rule: str = ""
    reason: str = ""
    answers: bool = False
    mismatch: Mismatch = ""


@dataclass(frozen=True)
class _Match:
    """A rule that matched, and how it stands to the awaited command."""

    rule: ReplyRule
    facts: dict[str, FactValue]
    echoes: dict[str, FactValue]
    mismatch: Mismatch


def load_rules(plain: Sequence[Mapping[str, Any]]) -> list[ReplyRule]:
    """Read and check a list of rules, as it stands in a JSON column or file; raises ReplyRuleError."""
    if not isinstance(plain, list):
        raise ReplyRuleError("reply rules are a list of objects")
    rules = [ReplyRule.from_dict(each) for each in plain]
    names = [rule.name for rule in rules]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ReplyRuleError(f"two rules have the name {', '.join(twice)}")
    return rules


def read_reply(
    text: str,
    rules: Sequence[ReplyRule],
    *,
    awaiting: TemplateSpec | None,
    sent: Mapping[str, object] | None = None,
) -> ReplyVerdict:
    """Say what ``text`` means to somebody who awaits an answer to ``awaiting``, or to nobody.

    ``rules`` are those of the device's model; where several match, one that answers goes first, then the
    first. ``sent`` are the parameters of the awaited command: with them a reply about other minutes answers
    nothing. A text of more than MAX_TEXT characters is not read, and comes back cut.
    """
    tidy = _tidy(text[:MAX_TEXT])
    readable = rules if len(text) <= MAX_TEXT else ()
    matches = [found for rule in readable if (found := _match(rule, tidy, awaiting, sent))]
    best = next((found for found in matches if not found.mismatch), matches[0] if matches else None)
    masked = _mask(tidy, best.rule if best else None, awaiting, sent)
    if best is None:
        return ReplyVerdict("unrecognised", masked)
    rule = best.rule
    answers = rule.verdict != "event" and not best.mismatch
    decides = rule.verdict in ("confirmed", "refused")
    return ReplyVerdict(
        kind=cast(Kind, "info" if decides and not answers else rule.verdict),
        masked_text=masked,
        facts=best.facts,
        echoes=best.echoes,
        matched_rule=rule.name,
        reason=rule.reason,
        answers=answers,
        mismatch=best.mismatch if decides else "",
    )


def _tidy(text: str) -> str:
    """One form for line ends and spaces."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").replace("\u00a0", " ").strip().split("\n")
    return "\n".join(line.strip() for line in lines)


def _match(
    rule: ReplyRule, text: str, awaiting: TemplateSpec | None, sent: Mapping[str, object] | None
) -> _Match | None:
    found = rule.match(text)
    if found is None:
        return None
    try:
        facts = dict(filter(None, (fact.read(found) for fact in rule.facts)))
        echoes = dict(filter(None, (echo.read(found) for echo in rule.echoes)))
    except ValueError:
        return None  # the words are those of the rule, the values are not: another reply
    return _Match(rule, facts, echoes, _mismatch(rule, echoes, awaiting, sent))


def _mismatch(
    rule: ReplyRule,
    echoes: Mapping[str, FactValue],
    awaiting: TemplateSpec | None,
    sent: Mapping[str, object] | None,
) -> Mismatch:
    """Why the reply is no answer to ``awaiting``; empty when it is one."""
    if awaiting is None:
        return "not_awaited"
    refuses_any = rule.verdict == "refused" and rule.answers.is_empty
    if not (refuses_any or rule.answers.cover(awaiting)):
        return "other_command"
    if "line" in echoes and echoes["line"] != awaiting.line:
        return "other_line"
    if sent and any(name in sent and str(sent[name]) != str(echo) for name, echo in echoes.items()):
        return "other_value"
    return ""


# A word for a secret, a few signs, then something with a digit in it.
_SECRET = re.compile(
    r"\b(passwords?|passcode|pwd|pin|пароль|пин|код)\b(\W{0,4}(?:is|это)?\W{0,4})\b([^\W\d_]{0,15}\d\w{0,15})",
    re.IGNORECASE,
)


def _mask(
    text: str, rule: ReplyRule | None, awaiting: TemplateSpec | None, sent: Mapping[str, object] | None
) -> str:
    """``text`` without passwords; without any digits of a number when rule or command deal with secrets."""
    secrets = [param.name for param in awaiting.params if param.secret] if awaiting else []
    for name in secrets:
        if value := str((sent or {}).get(name) or ""):
            text = text.replace(value, MASK)
    if secrets or (rule and rule.sensitive):
        return re.sub(r"\d{3,}", MASK, text)
    return _SECRET.sub(lambda found: f"{found[1]}{found[2]}{MASK}", text)


# --- reading rules


def _read_rule(plain: Mapping[str, Any]) -> ReplyRule:
    fields = set(ReplyRule.__dataclass_fields__)
    if unknown := sorted(str(key) for key in plain if key not in fields):
        raise ValueError(f"knows no {', '.join(unknown)}; it may have {', '.join(sorted(fields))}")
    for key in ("pattern", "verdict", "reason", "source"):
        if not isinstance(plain.get(key, ""), str):
            raise ValueError(f"{key} must be a string")
    for key in ("sensitive", "ignore_case"):
        if not isinstance(plain.get(key, False), bool):
            raise ValueError(f"{key} must be true or false")
    groups = _check_pattern(plain.get("pattern", ""))
    answers = _read_answers(plain.get("answers", {}))
    verdict = plain.get("verdict", "")
    if verdict not in VERDICTS:
        raise ValueError(f"verdict must be one of {', '.join(VERDICTS)}")
    if verdict == "confirmed" and answers.is_empty:
        raise ValueError(_("what confirms must say in answers which keys, powers or effects it confirms"))
    lists = {key: _read_facts(plain.get(key, {}), groups) for key in ("facts", "echoes")}
    return ReplyRule(**{**plain, **lists, "answers": answers})


def _check_pattern(pattern: str) -> frozenset[str]:
    """The names of the groups of a pattern that is safe to run on any text of MAX_TEXT characters."""
    if not 1 <= len(pattern) <= MAX_PATTERN:
        raise ValueError(_("pattern must have 1 to %(most)d characters") % {"most": MAX_PATTERN})
    if pattern.count("(") > MAX_GROUPS:
        raise ValueError(_("pattern may have %(most)d groups") % {"most": MAX_GROUPS})
    try:
        compiled = re.compile(pattern)
    except (re.error, OverflowError, FutureWarning) as exc:
        raise ValueError(_("pattern is no regular expression: %(why)s") % {"why": exc}) from exc
    if cost_of(pattern, longest=MAX_TEXT) > MAX_COST:
        raise ValueError(_("pattern can match in too many ways: bound its repeats, for example {1,20} for +"))
    return frozenset(compiled.groupindex)


def _read_answers(plain: Any) -> Answers:
    if not isinstance(plain, Mapping) or not set(plain) <= set(Answers.__dataclass_fields__):
        raise ValueError("answers may have keys, powers and effects")
    if not all(
        isinstance(words, list) and all(isinstance(word, str) for word in words) for words in plain.values()
    ):
        raise ValueError("keys, powers and effects of answers are lists of words")
    return Answers(**{key: tuple(words) for key, words in plain.items()})


def _read_facts(plain: Any, groups: frozenset[str]) -> tuple[Fact, ...]:
    if not isinstance(plain, Mapping):
        raise ValueError("facts and echoes are objects: name to value")
    return tuple(_read_fact(name, value, groups) for name, value in plain.items())


def _read_fact(name: object, value: Any, groups: frozenset[str]) -> Fact:
    if not isinstance(name, str) or not re.fullmatch(r"[a-z][a-z0-9_]{0,39}(?:\{line\})?", name):
        raise ValueError(_("the name of a fact has small Latin letters, digits and _"))
    if "{line}" in name and "line" not in groups:
        raise ValueError(f"{name} needs a group named line")
    if isinstance(value, get_args(FactValue)):
        return Fact(name, constant=value)
    if not isinstance(value, Mapping) or not set(value) <= {"group", "type", "words"}:
        raise ValueError(f"{name} is a value, or an object with group, type and words")
    group, type_, words = value.get("group"), value.get("type", "text"), value.get("words", {})
    if group not in groups:
        raise ValueError(
            _("%(name)s: the pattern has no group %(group)s") % {"name": name, "group": repr(group)}
        )
    if type_ not in FACT_TYPES or (type_ == "word") != bool(words):
        raise ValueError(f"{name}: type is one of {', '.join(FACT_TYPES)}; word, and nothing else, has words")
    if not isinstance(words, Mapping) or not all(
        isinstance(each, get_args(FactValue)) for each in words.values()
    ):
        raise ValueError(f"{name}: words is an object from what is read to what it means")
    return Fact(name, group=group, type=type_, words=tuple(words.items()))
