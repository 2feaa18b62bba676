"""What a round of polling proves about the CMS itself. Pure: no clock, no database, no log.

The rule, in order:

1. Every target has one observation. One that the poller forgot is added as unknown (``no_data``);
   of two for the same target the first stays.
2. The CMS *failed* (``upstream_ok`` False) when nothing it said was understood, or when more than
   half of the targets have a reason that speaks of the CMS or of the way to it (timeout, 500, HTML,
   ...). Then every target that was not answered for with a status of its own is unknown.
3. The CMS is *suspect* when it answered, and the answer is not plausible: it names none of the
   devices, or leaves out half of those that it named before (two at least), or says a word that we
   do not know of more than half of them. Someone who decides about repairs should wait in both cases.
4. Nothing here makes *offline* out of anything: a status that the CMS stated stays as stated, all
   else is unknown.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from exporters.errors import UPSTREAM_REASONS, Reason
from exporters.ports import Observation, RoundResult, Status, Target


class Suspicion(StrEnum):
    """Why an answer is not plausible; "" means that it is."""

    NONE = ""
    EMPTY_ANSWER = "empty_answer"
    HALF_MISSING = "half_missing"
    STRANGE_WORDS = "strange_words"


@dataclass(frozen=True, slots=True)
class Judgement:
    """The round as it may be believed; ``observations`` has one per target."""

    observations: tuple[Observation, ...]
    upstream_ok: bool
    upstream_reason: Reason | str
    suspicion: Suspicion
    complete: bool

    @property
    def suspect(self) -> bool:
        """Whether the CMS answered something that is hard to believe."""
        return self.suspicion is not Suspicion.NONE

    @property
    def trustworthy(self) -> bool:
        """Whether an *offline* of this round may count as evidence against a device."""
        return self.upstream_ok and not self.suspect

    def counts(self) -> dict[Status, int]:
        """How many targets are in each status, zeros included."""
        found = Counter(seen.status for seen in self.observations)
        return {status: found[status] for status in Status}


def failed_round(targets: Iterable[Target], reason: Reason, *, duration_s: float) -> RoundResult:
    """A round in which nothing could be asked at all: every target is unknown for ``reason``."""
    observations = tuple(Observation(one.external_id, Status.UNKNOWN, reason=reason) for one in targets)
    return RoundResult(observations, (), Counter({str(reason): 1}), False, reason, False, duration_s)


def judge_round(result: RoundResult, previous: Mapping[str, str]) -> Judgement:
    """Judge a round by the rule above.

    ``previous`` maps every target of the exporter to the last status that the CMS *stated* for it,
    or "unknown" where it never stated one. Keep the stated one through rounds that failed, or a
    lasting outage would look plausible from its second round on.
    """
    observations = _one_each(result, previous)
    total = len(observations)
    blamed = Counter(seen.reason for seen in observations if seen.reason in UPSTREAM_REASONS)
    if not result.upstream_ok:
        upstream_ok, reason = False, result.upstream_reason
    elif blamed.total() * 2 > total:
        upstream_ok, reason = False, blamed.most_common(1)[0][0]
    else:
        upstream_ok, reason = True, ""
    return Judgement(
        observations=observations,
        upstream_ok=upstream_ok,
        upstream_reason=reason,
        suspicion=_suspicion(observations, previous) if upstream_ok else Suspicion.NONE,
        complete=result.complete and upstream_ok,
    )


def _one_each(result: RoundResult, previous: Mapping[str, str]) -> tuple[Observation, ...]:
    """Rule 1, and the half of rule 4 that does not rely on the poller: no status without an answer."""
    seen: dict[str, Observation] = {}
    for observation in result.observations:
        seen.setdefault(observation.external_id, _without_contradiction(observation))
    for external_id in previous:
        if external_id not in seen:
            seen[external_id] = Observation(external_id, Status.UNKNOWN, reason=Reason.NO_DATA)
    return tuple(seen.values())


def _without_contradiction(observation: Observation) -> Observation:
    """An observation with a reason is unknown, whatever status a poller gave it."""
    if observation.reason and observation.status is not Status.UNKNOWN:
        return Observation(observation.external_id, Status.UNKNOWN, observation.facts, observation.reason)
    return observation


def _suspicion(observations: tuple[Observation, ...], previous: Mapping[str, str]) -> Suspicion:
    """Rule 3. Devices that the CMS never named (a mistyped id) do not count, unless it never named any."""
    stated = {key for key, status in previous.items() if status in (Status.ONLINE, Status.OFFLINE)}
    known = [seen for seen in observations if seen.external_id in stated] or observations
    answered = [
        seen for seen in known if seen.reason not in UPSTREAM_REASONS and seen.reason != Reason.BAD_ID
    ]
    absent = sum(seen.reason == Reason.NO_DATA for seen in answered)
    strange = sum(seen.reason == Reason.UNKNOWN_STATUS for seen in answered)
    if answered and absent == len(answered):
        return Suspicion.EMPTY_ANSWER
    if absent >= 2 and absent * 2 >= len(answered):
        return Suspicion.HALF_MISSING
    if strange * 2 > len(answered):
        return Suspicion.STRANGE_WORDS
    return Suspicion.NONE
