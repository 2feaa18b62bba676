"""Judge one reading and advance a job's view of one device. Pure: no clock, no database, no log.

Silence is not health and not illness: a missing, old or doubtful reading is UNKNOWN, and UNKNOWN
neither starts, advances nor ends anything. Only an edge (pending to firing) ever leads to an
action, and only after the hold time *and* enough fresh samples.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum


class Verdict(StrEnum):
    OK = "ok"
    BREACH = "breach"
    UNKNOWN = "unknown"


class Edge(StrEnum):
    NONE = "none"
    FIRED = "fired"
    AGAIN = "again"  # bad again while it was recovering: the same episode goes on
    RESOLVED = "resolved"


RAISED = ("firing", "recovering")
KEPT_CHANGES = 30  # of a view, the newest: more are not needed to call it flapping


@dataclass(frozen=True)
class Reading:
    """What a source said of one device: ``breach`` None means that it could not tell."""

    breach: bool | None
    observed_at: datetime | None
    since: datetime | None = None  # the source's own "like this since", when it has one
    value: float | None = None
    upstream_ok: bool = True
    expected: bool = False  # dark by our own doing (its socket is being cycled)
    lingers: bool = False  # not bad enough to raise, not good enough to clear: what is raised stays raised


@dataclass(frozen=True)
class View:
    """A job's view of one device, as stored."""

    phase: str = "ok"
    since: datetime | None = None
    samples: int = 0
    last_sample_at: datetime | None = None
    episode: int = 0
    changes: tuple[datetime, ...] = ()  # when it became bad or good, oldest first


def judge(reading: Reading | None, *, max_age: timedelta, now: datetime, is_raised: bool = False) -> Verdict:
    """BREACH and OK need a fresh, positive answer of a healthy upstream; everything else is UNKNOWN.

    ``is_raised``: the job holds the condition for true already, so that a value between its two
    thresholds is still one.
    """
    if reading is None or reading.breach is None or reading.observed_at is None:
        return Verdict.UNKNOWN
    if not reading.upstream_ok or (reading.expected and reading.breach):
        return Verdict.UNKNOWN
    if now - reading.observed_at > max_age or reading.observed_at - now > max_age:
        return Verdict.UNKNOWN
    return Verdict.BREACH if reading.breach or (reading.lingers and is_raised) else Verdict.OK


def advance(
    view: View,
    verdict: Verdict,
    *,
    observed_at: datetime | None,
    hold: timedelta,
    fresh_samples: int,
    max_gap: timedelta,
    keep: timedelta = timedelta(),
) -> tuple[View, Edge]:
    """The next view and the edge that was crossed.

    What is raised stays so (``recovering``) until all is well for ``keep``.


    The hold is measured between observations, never against the clock alone: ``since`` is the first
    breaching observation, and the newest one must lie ``hold`` behind it. An observation vouches for
    ``max_gap`` at most: of a longer silence before it (an outage, a jump of the clock) the rest does
    not count, and ``since`` moves on by it. What is not newer than the last observation changes nothing.
    """
    if verdict is Verdict.UNKNOWN or observed_at is None:
        return view, Edge.NONE
    if view.last_sample_at is not None and observed_at <= view.last_sample_at:
        return view, Edge.NONE
    if verdict is Verdict.OK:
        return _calm(view, observed_at, keep=keep)
    if view.phase == "firing":
        return replace(view, last_sample_at=observed_at), Edge.NONE
    if view.phase == "recovering":
        return replace(_changed(view, observed_at), phase="firing"), Edge.AGAIN
    if view.phase == "ok" or view.since is None or view.last_sample_at is None:
        view = replace(_changed(view, observed_at), phase="pending", since=observed_at, samples=1)
    else:
        silence = max(timedelta(), observed_at - view.last_sample_at - max_gap)
        view = replace(view, since=view.since + silence, samples=view.samples + 1, last_sample_at=observed_at)
    assert view.since is not None  # noqa: S101  set above whenever it was None
    if view.samples < fresh_samples or observed_at - view.since < hold:
        return view, Edge.NONE
    return replace(view, phase="firing", episode=view.episode + 1), Edge.FIRED


def forget(view: View, *, now: datetime, down_since: datetime | None = None) -> View:
    """After a gap (a restart, a restore, a stopped evaluator) what was pending is learned anew.

    So is what was firing, if the device went down again since (``down_since``): that is another
    episode. A last observation in the future was made by a clock that was wrong.
    """
    last = view.last_sample_at if view.last_sample_at is None or view.last_sample_at <= now else None
    again = last is not None and down_since is not None and down_since > last
    if view.phase == "pending" or (view.phase in RAISED and again):
        return replace(view, phase="ok", since=None, samples=0, last_sample_at=last)
    return replace(view, last_sample_at=last)


def pend(view: View, *, since: datetime) -> View:
    """The condition is true, and its hold begins at ``since``."""
    return replace(view, phase="pending", since=since, samples=1)


def _calm(view: View, observed_at: datetime, *, keep: timedelta) -> tuple[View, Edge]:
    """The condition is not true any more."""
    raised = view.phase in RAISED
    if view.phase in ("pending", "firing"):
        view = _changed(view, observed_at)
    view = replace(view, last_sample_at=observed_at)
    if raised and keep:
        began = view.since if view.phase == "recovering" and view.since is not None else observed_at
        if observed_at - began < keep:
            return replace(view, phase="recovering", since=began), Edge.NONE
    edge = Edge.RESOLVED if raised else Edge.NONE
    return replace(view, phase="ok", since=None, samples=0), edge


def _changed(view: View, at: datetime) -> View:
    return replace(view, last_sample_at=at, changes=(*view.changes, at)[-KEPT_CHANGES:])


def flapping_until(
    changes: tuple[datetime, ...], *, most: int, window: timedelta, now: datetime
) -> datetime | None:
    """Until when a view that changed ``most`` times or more within ``window`` is flapping; None when it is not."""
    lately = [at for at in changes if now - window < at <= now]
    return lately[-most] + window if most and len(lately) >= most else None


LATE = timedelta(minutes=3)  # without a beat of the evaluator
JUMP = timedelta(seconds=30)  # of the wall clock against the machine's own
LEARN = timedelta(minutes=10)  # after a gap the state is learned before anything is done
SETTLE = timedelta(hours=1)  # after a jump: as long as the usual pause, which the clock may have skipped


@dataclass(frozen=True)
class Lapse:
    """REMOSA was late, or its clock jumped: why automation is suspended, and until when."""

    reason: str  # "evaluator_late", "clock_jumped"
    until: datetime


def lapse(
    *, since: datetime, now: datetime, uptime_before: float | None, uptime_now: float | None
) -> Lapse | None:
    """What the time from the last beat (``since``) to this one says of REMOSA itself.

    The machine's own seconds, where both are of one boot, tell a jump of the clock from an absence.
    """
    passed = now - since
    if passed < -JUMP:
        return Lapse("clock_jumped", now + SETTLE)
    if uptime_before is not None and uptime_now is not None:
        truly = timedelta(seconds=uptime_now - uptime_before)
        if abs(passed - truly) > JUMP:
            return Lapse("clock_jumped", now + SETTLE)
    return Lapse("evaluator_late", now + LEARN) if passed > LATE else None


@dataclass(frozen=True)
class Peers:
    """A group that has a common cause: ``bad`` of its ``known`` devices fell within the window."""

    scope: str  # "site", "exporter", "platform", "outer_ip", "cms"
    subject: str  # "site:3"
    title: str
    bad: int
    known: int
    own: tuple[int, int] | None = None  # (bad, known) of the own platform, where the group goes beyond it

    @property
    def figures(self) -> dict[str, int]:
        """What a platform may be told: a CMS is shared with others, whose players are not its to count."""
        bad, known = self.own or (self.bad, self.known)
        return {"bad": bad, "known": known}


def is_mass(peers: Peers) -> bool:
    """Whether so many fell together that a common cause is likelier than single faults.

    site and outer IP: at least 2 and at least half; exporter and platform: at least 3 and at least
    20 %; and the whole of any group of two or more.
    """
    if peers.known >= 2 and peers.bad == peers.known:
        return True
    if peers.scope in ("site", "outer_ip"):
        return peers.bad >= 2 and peers.bad * 2 >= peers.known
    return peers.bad >= max(3, 0.2 * peers.known)


def is_over(peers: Peers) -> bool:
    """Whether so few are left of those who fell together that each counts for itself: under 10 %."""
    return peers.bad * 10 < peers.known
