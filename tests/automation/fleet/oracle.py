"""Judges a week by what truly happened. Knows the product's promises, and nothing of its code.

A power command is *wrong* unless a player on that very socket had truly failed alone, long enough, visibly,
with nothing forbidding it. A failure is *handled* when it made exactly one case, and ended with a repair or
a person. A refusal is *explained* when what it says was true.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from tests.automation.fleet.truth import CYCLE, Fault, Player, Sms, Spell, Truth

LIVING = ("open", "acting", "verifying", "escalated")
TOGETHER = 10.0  # minutes within which players fall together
SLOW = 8.0  # minutes by which the product may know later than the truth: polls, a sweep, a settle


@dataclass(frozen=True)
class Rules:
    """The promises of the job under test, in minutes."""

    hold: float
    step: float
    cooldown: float = 60.0
    attempts: int = 2
    per_day: int = 3
    per_week: int = 6
    patience: float = 30.0
    flap_changes: int = 6  # within an hour


class Oracle:
    """``problems`` names every broken promise in words."""

    def __init__(self, truth: Truth, story: object, rules: Rules) -> None:
        self.truth, self.story, self.rules = truth, story, rules
        self.problems: list[str] = []

    # --- commands ------------------------------------------------------------------------------
    def wrong_commands(self) -> list[str]:
        """Every SMS that must not have left, and why."""
        return [
            f"[{sms.at:.0f}] {sms.number} {sms.text}: {why}"
            for sms in self.truth.sms
            if (why := self._wrong(sms))
        ]

    def _wrong(self, sms: Sms) -> str:
        socket = self.truth.sockets.get(sms.number)
        if socket is None or socket.platform != sms.platform:
            return "to a number that is not of this platform"
        if CYCLE.fullmatch(sms.text) is None:
            return "not a power cycle"
        fed = self.truth.fed_by(sms.number)
        victims = [player for player in fed if self._failed(player, sms.at)]
        if not victims:
            return f"nobody on it had failed: {[(p.key, self._spells(p, sms.at)) for p in fed]}"
        if healthy := [player.key for player in fed if self._was_online(player, sms.at)]:
            return f"it darkened players that worked: {healthy}"
        if self.truth.troubled("mains", socket.site, sms.at - SLOW, sms.at) and self._is_troubled(
            "mains", socket.site, sms.at
        ):
            return "no mains there"
        if all(self._fell_with_others(player, sms.at) for player in victims):
            return f"many fell together: {[(p.key, p.site) for p in victims]}"
        if self._is_troubled("stop", socket.platform, sms.at - self.rules.step) and self._is_troubled(
            "stop", socket.platform, sms.at
        ):
            return "automation was stopped"
        return self._too_often(sms)

    def _too_often(self, sms: Sms) -> str:
        before = [one.at for one in self.truth.sms if one.number == sms.number and one.at < sms.at]
        if before and sms.at - before[-1] < self.rules.cooldown - self.rules.step:
            return f"again after {sms.at - before[-1]:.0f} minutes"
        if sum(at > sms.at - 24 * 60 for at in before) >= self.rules.per_day:
            return "more often than a day allows"
        if sum(at > sms.at - 7 * 24 * 60 for at in before) >= self.rules.per_week:
            return "more often than a week allows"
        return ""

    def _spell(self, player: Player, at: float) -> Spell | None:
        return next((one for one in player.spells if one.start <= at and one.end > at), None)

    def _failed(self, player: Player, at: float) -> bool:
        """Out of sight at each poll of the hold time, up to the last one, and by more than our own doing.

        What comes back between two polls only, nobody could see.
        """
        polls = range(1, round(self.rules.hold / self.rules.step) + 1)
        spells = [self._spell(player, at - n * self.rules.step) for n in polls]
        return all(spells) and bool(spells[0] and spells[0].causes & {"fault", "network", "mains"})

    def _was_online(self, player: Player, at: float) -> bool:
        """At the last poll, and not for the first time: what a poll could show."""
        return all(
            self._spell(player, at - back) is None for back in (0.0, self.rules.step, 2 * self.rules.step)
        )

    def _spells(self, player: Player, at: float) -> list[tuple[float, float, set[str]]]:
        return [(round(s.start, 1), round(s.end, 1), s.causes) for s in player.spells if s.start > at - 300]

    # --- who fell together ---------------------------------------------------------------------
    def _groups(self, player: Player) -> dict[str, list[Player]]:
        everyone = self.truth.players.values()
        return {
            "site": [p for p in everyone if p.site == player.site],
            "exporter": [p for p in everyone if p.cms == player.cms],
            "platform": [p for p in everyone if p.platform == player.platform],
        }

    def _fell_with_others(self, player: Player, at: float, *, slack: float = -1.0) -> str:
        """The group in which it fell with so many that a common cause is likelier; "" when alone.

        With a negative ``slack`` only what was clear beyond a doubt; with a positive one whatever may have
        looked like it.
        """
        spell = self._spell(player, at)
        if spell is None:
            return ""
        span = TOGETHER + slack * self.rules.step
        for scope, members in self._groups(player).items():
            fallen = known = 0
            for member in members:
                known += 1
                theirs = self._spell(member, at)
                fallen += theirs is not None and abs(theirs.start - spell.start) <= span
            if self._is_mass(scope, fallen, known):
                return scope
        return ""

    def _is_mass(self, scope: str, fallen: int, known: int) -> bool:
        if known >= 2 and fallen == known:
            return True
        if scope == "site":
            return fallen >= 2 and fallen * 2 >= known
        return fallen >= 3 and fallen * 5 >= known

    def _is_troubled(self, kind: str, subject: str, at: float) -> bool:
        return self.truth.troubled(kind, subject, at, at)

    # --- failures ------------------------------------------------------------------------------
    def true_failures(self) -> list[Fault]:
        """Single failures that lasted, in sight of a healthy REMOSA, beyond the hold time."""
        return [fault for fault in self.truth.faults if self._counts(fault)]

    def _counts(self, fault: Fault) -> bool:
        player = self.truth.players[fault.player]
        if self._fell_with_others_ever(fault):
            return False  # by accident or not: so many at once are one case for a person
        end = min(fault.end, self.truth.now)
        clear = 0.0
        moment = fault.start
        while moment < end and clear < self.rules.hold + SLOW + 4 * self.rules.step:
            clear = clear + self.rules.step if self._is_clear(player, moment) else 0.0
            moment += self.rules.step
        return clear >= self.rules.hold + SLOW + 4 * self.rules.step

    def _is_clear(self, player: Player, at: float) -> bool:
        """Nothing stood between the player and the product."""
        spell = self._spell(player, at)
        alone = spell is not None and spell.causes <= {"fault", "cut", "boot"}
        kinds = ("worker", "poller", "clock")
        return (
            alone
            and not any(self._is_troubled(kind, "*", at) for kind in kinds)
            and not self._is_troubled("cms", player.cms, at)
        )

    def handled(self, fault: Fault) -> str:
        """ "" when exactly one case took care of it to its end; else what is wrong."""
        cases = [
            case
            for case in self.story.cases.values()
            if case.player == fault.player
            and fault.start <= case.opened <= min(fault.end, self.truth.now) + SLOW
        ]
        if len(cases) != 1:
            earlier = [
                case for case in self.story.cases.values()
                if case.player == fault.player and case.opened < fault.start
                and (case.closed is None or case.closed > fault.start)
            ]  # fmt: skip
            if not cases and len(earlier) == 1:
                cases = earlier  # it failed again while its last case was still watching it
            else:
                return f"{len(cases)} cases"
        case = cases[0]
        if case.closed is None and fault.end < self.truth.now - 60:
            return f"the case is still {case.state}: {case.outcome}"
        sent = [
            sms
            for sms in self.truth.sms
            if self.truth.players[fault.player].socket == sms.number
            and fault.start < sms.at <= min(fault.end, self.truth.now)
        ]
        if len(sent) > self.rules.attempts:
            return f"{len(sent)} power cycles"
        if fault.ended_by == "power cycle" or sent:
            return ""
        if case.state in ("escalated",) or case.outcome:
            return "" if self._has_reason(fault, case) else f"never acted, and nobody said why: {case}"
        return f"never acted: {case}"

    def _has_reason(self, fault: Fault, case: object) -> bool:
        """Why nothing was sent is written down, or it needed nothing any more."""
        end = min(fault.end, self.truth.now)
        told = any(
            r.player == fault.player and fault.start <= r.at <= end + SLOW for r in self.story.refusals
        )
        player = self.truth.players[fault.player]
        in_doubt = any(
            number == player.socket and fault.start < moment <= end for moment, number in self.truth.doubtful
        )
        words = any(self._was_true(player, outcome, at) for outcome, at in case.said.items())
        held = any(self.CHECKS["mass_change", scope](self, player, at) for scope, at in case.held.items())
        return (
            told
            or in_doubt
            or words
            or held
            or self._fell_with_others_ever(fault)
            or fault.ended_by == "itself"
        )

    def _was_true(self, player: Player, outcome: str, at: float) -> bool:
        """A case that was handed to a person with these words names a trouble that there was."""
        blind = (("cms", player.cms), *((kind, "*") for kind in ("poller", "worker", "clock")))
        causes = {
            "no_data": blind,
            "no_data_after_action": blind,
            "command_expired": (("gateway", player.platform), ("outbox", "*")),
        }.get(outcome, ())
        start = at - self.rules.patience - SLOW
        return any(self.truth.troubled(kind, subject, start, at) for kind, subject in causes)

    def _fell_with_others_ever(self, fault: Fault) -> bool:
        player = self.truth.players[fault.player]
        spell = self._spell(player, fault.start)
        if spell is None:
            return False
        moments = (
            spell.start + n * self.rules.step for n in range(round(self.rules.hold / self.rules.step) + 5)
        )
        return any(self._fell_with_others(player, at, slack=3.0) for at in moments)

    # --- refusals ------------------------------------------------------------------------------
    def unexplained(self) -> Counter[str]:
        """Refusals whose words were not true, by words."""
        found: Counter[str] = Counter()
        self.examples: dict[str, str] = {}
        for refusal in self.story.refusals:
            check = self.CHECKS.get((refusal.guard, refusal.reason)) or self.CHECKS.get((refusal.guard, "*"))
            player = self.truth.players[refusal.player]
            if check is None or not check(self, player, refusal.at):
                words = f"{refusal.guard}/{refusal.reason}"
                found[words] += 1
                self.examples.setdefault(words, f"{refusal} {self._spells(player, refusal.at)} {player}")
        return found

    def _cms(self, player: Player, at: float) -> bool:
        return self.truth.troubled("cms", player.cms, at - SLOW, at)

    def _no_data(self, player: Player, at: float) -> bool:
        return self.truth.troubled("cms", player.cms, at - SLOW, at) or self._stale(player, at)

    def _stale(self, player: Player, at: float) -> bool:
        old = 10.0
        return any(
            self.truth.troubled(kind, "*", at - old, at) for kind in ("poller", "clock", "worker")
        ) or self.truth.troubled("cms", player.cms, at - old, at)

    def _seen(self, player: Player, at: float) -> bool:
        """It was online a moment ago."""
        moments = (at - n * self.rules.step / 2 for n in range(6))
        return any(self._spell(player, moment) is None for moment in moments) or self._stale(player, at)

    def _short(self, player: Player, at: float) -> bool:
        spell = self._spell(player, at)
        young = spell is None or at - spell.start < self.rules.hold + 3 * self.rules.step
        return young or self._troubled_lately(player, at, self.rules.hold + SLOW)

    def _troubled_lately(self, player: Player, at: float, span: float) -> bool:
        return self.truth.troubled("cms", player.cms, at - span, at) or any(
            self.truth.troubled(kind, "*", at - span, at) for kind in ("poller", "clock", "worker")
        )

    def _together(self, player: Player, at: float) -> bool:
        """So many were, or seemed, down together: by accident, by an outage, or by a CMS's lie."""
        if any(
            self._fell_with_others(player, moment, slack=3.0)
            for moment in (at, at - self.rules.step, at - 10, at - 20, at - 30)
        ):
            return True
        spell = self._spell(player, at) or self._spell(player, at - self.rules.step)
        start = spell.start if spell else at
        span = 6 * 60.0
        outage = any(
            self.truth.troubled(kind, subject, start - span, at)
            for kind, subject in (("mains", player.site), ("network", player.site), ("cms", player.cms))
        )
        return outage or self.truth.troubled("clock", "*", start - span, at) or self._others_stay(player, at)

    def _together_on_platform(self, player: Player, at: float) -> bool:
        """The same, where what another CMS of the platform says counts too."""
        others = {one.cms for one in self.truth.players.values() if one.platform == player.platform}
        span = 6 * 60.0
        return self._together(player, at) or any(
            self.truth.troubled("cms", cms, at - span, at) for cms in others
        )

    def _others_stay(self, player: Player, at: float) -> bool:
        """A mass case stands as long as one of its members is down."""
        return any(
            self._fell_with_others(player, start + 1, slack=3.0)
            for start in (s.start for s in player.spells if s.start > at - 12 * 60)
        )

    def _mains(self, player: Player, at: float) -> bool:
        return self.truth.troubled("mains", player.site, at - SLOW, at)

    def _stopped(self, player: Player, at: float) -> bool:
        return self.truth.troubled("stop", player.platform, at - SLOW, at)

    def _cycled(self, player: Player, at: float, span: float | None = None) -> bool:
        span = self.rules.cooldown + SLOW if span is None else span
        tried = self.truth.troubled("gateway", player.platform, at - span, at)
        jumped = self.truth.troubled("clock", "*", at - span, at)
        sent = any(sms.number == player.socket and at - span <= sms.at <= at for sms in self.truth.sms)
        lost = any(
            number == player.socket and at - span <= moment <= at for moment, number in self.truth.doubtful
        )
        return tried or jumped or sent or lost

    def _often(self, player: Player, at: float) -> bool:
        return (
            sum(sms.number == player.socket and at - 7 * 1440 <= sms.at <= at for sms in self.truth.sms)
            >= self.rules.per_day
        )

    def _neighbour(self, player: Player, at: float) -> bool:
        others = [one for one in self.truth.fed_by(player.socket) if one is not player]
        return any(
            self._spell(other, at - back) is None
            for other in others
            for back in (0.0, self.rules.step, 2 * self.rules.step)
        )

    def _busy(self, player: Player, at: float) -> bool:
        return self._cycled(player, at, 20.0) or self.truth.troubled("outbox", "*", at - 10, at)

    def _hour(self, player: Player, at: float) -> bool:
        ours = [sms for sms in self.truth.sms if sms.platform == player.platform and at - 61 <= sms.at <= at]
        return len(ours) >= 2 or self.truth.troubled("clock", "*", at - 61, at)

    def _gateway(self, player: Player, at: float) -> bool:
        """Several commands took this way lately, or wait for it."""
        waits = self.truth.troubled("gateway", player.platform, at - 61, at)
        return waits or self.truth.troubled("outbox", "*", at - 61, at) or self._hour(player, at)

    def _flaps(self, player: Player, at: float) -> bool:
        """It went and came so often within the hour, or its CMS said so."""
        start = at - 60 - SLOW
        changes = sum(start <= moment <= at for spell in player.spells for moment in (spell.start, spell.end))
        lies = sum(
            one.kind.startswith("cms") and one.subject == player.cms and start <= one.end and one.start <= at
            for one in self.truth.troubles
        )
        return changes + 2 * lies >= self.rules.flap_changes

    def _unwell(self, player: Player, at: float) -> bool:
        span = 90.0
        return any(self.truth.troubled(kind, "*", at - span, at) for kind in ("worker", "clock")) or at < span

    CHECKS: dict[tuple[str, str], Callable[["Oracle", Player, float], bool]] = {
        ("kill_switch", "*"): _stopped,
        ("evidence", "no_data"): _no_data,
        ("evidence", "stale"): _stale,
        ("evidence", "not_offline"): _seen,
        ("evidence", "not_long_enough"): _short,
        ("evidence", "dark_by_our_cycle"): _busy,
        ("upstream", "cms_in_doubt"): _cms,
        ("mass_change", "platform"): _together_on_platform,
        ("mass_change", "common_cause"): _together_on_platform,
        ("mass_change", "site"): _together,
        ("mass_change", "exporter"): _together,
        ("power", "no_mains"): _mains,
        ("power", "feeds_healthy_players"): _neighbour,
        ("lane", "socket_busy"): _busy,
        ("cooldown", "too_soon"): _cycled,
        ("chronic", "*"): _often,
        ("flapping", "changes_too_often"): _flaps,
        ("blast_radius", "gateway_pace"): _gateway,
        ("blast_radius", "gateway_limit"): _gateway,
        ("blast_radius", "*"): _hour,
        ("own_health", "*"): _unwell,
    }
