"""What a dark output needs next: pure, no database, no clock, no log.

The cheapest proof comes first: a player that went away and is back needs no SMS. A late copy of the OFF can
still arrive until its validity has passed, so nothing that was seen before that moment ends the story.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from devices.states import CommandState

S = CommandState
NOT_LEFT = frozenset({S.REQUESTED, S.QUEUED})
NO_EFFECT = frozenset({S.BLOCKED, S.CANCELLED, S.EXPIRED, S.SUPERSEDED, S.FAILED, S.NOT_EXECUTED, S.REFUSED})
REFUSED = frozenset({S.BLOCKED, S.CANCELLED, S.SUPERSEDED, S.REFUSED})
OPEN = NOT_LEFT | {S.SENT, S.DELIVERED, S.UNKNOWN}

ARM_RESERVE_MINUTES = 2  # of the armed delay, for the confirmation and the way of the OFF
MAX_ARMINGS = 2
MAX_ATTEMPTS = 20  # ON commands of one story; then only people are left
TRIES_BEFORE_ALARM = 3
LONGEST_PAUSE = timedelta(hours=2)
LOOK_AGAIN = timedelta(minutes=10)


class Way(StrEnum):
    ARMED = "armed"
    PAIR = "pair"
    WATCH = "watch"


class Act(StrEnum):
    """What to do: send a command, wait, or end the story."""

    WAIT = "wait"
    ARM = "arm"
    OFF = "off"
    ON = "on"
    ASK = "ask"
    KEEP = "keep"
    ALARM = "alarm"
    CANCEL = "cancel"


@dataclass(frozen=True)
class Step:
    """``at``: when to look again (WAIT), or until when the command may leave (OFF)."""

    act: Act
    at: datetime | None = None
    why: str = ""


@dataclass(frozen=True)
class Asked:
    """One command of the story. ``output`` is what a matched answer says of the line: on, off, or nothing."""

    state: str
    created_at: datetime
    sent_at: datetime | None = None
    replied_at: datetime | None = None
    confirmed: bool = False
    output: str = ""

    @property
    def left_at(self) -> datetime:
        """When it may have left; at the latest this."""
        return self.sent_at or self.created_at

    @property
    def is_open(self) -> bool:
        """Whether an answer may still come."""
        return self.state in OPEN


@dataclass(frozen=True)
class Situation:
    """All that is known. ``seen_on_at`` and ``seen_off_at`` are what others said: players, people's commands, texts."""

    way: Way
    created_at: datetime
    minutes: int
    arm: Asked | None = None
    off: Asked | None = None
    on: Asked | None = None
    query: Asked | None = None
    armings: int = 0
    attempts: int = 0
    told: bool = False
    can_ask: bool = False
    seen_on_at: datetime | None = None
    seen_off_at: datetime | None = None


@dataclass(frozen=True)
class Pace:
    """How long things take: ``minute`` is the device's own, ``validity`` bounds how late an SMS can arrive."""

    minute: timedelta
    validity: timedelta
    retry: timedelta
    watch: timedelta


def next_step(story: Situation, *, pace: Pace, now: datetime) -> Step:
    """The one thing to do now."""
    if story.off is None:
        return _before_the_off(story, pace=pace, now=now)
    if story.off.state in NO_EFFECT:
        return Step(Act.CANCEL, why="off_not_sent")
    if story.off.state in NOT_LEFT:
        return Step(Act.WAIT, at=now + pace.retry)
    safe_at = story.off.left_at + pace.validity
    if _is_proved(story, safe_at=safe_at):
        return Step(Act.KEEP, why="seen_on")
    if story.way is Way.WATCH:
        return _watch(story, safe_at=safe_at, pace=pace, now=now)
    back_at = _back_at(story, pace)
    if now < back_at:
        return Step(Act.WAIT, at=back_at)
    return _restore(story, safe_at=safe_at, pace=pace, now=now)


def _before_the_off(story: Situation, *, pace: Pace, now: datetime) -> Step:
    if story.way is not Way.ARMED:
        return Step(Act.OFF)
    arm = story.arm
    if arm is None:
        return Step(Act.ARM)
    if arm.confirmed:
        latest = arm.left_at + ARM_RESERVE_MINUTES * pace.minute
        if now < latest:
            return Step(Act.OFF, at=latest)
        return Step(Act.ARM) if story.armings < MAX_ARMINGS else Step(Act.CANCEL, why="armed_too_late")
    answered = arm.replied_at is not None
    if arm.is_open and now < arm.created_at + pace.retry:
        return Step(Act.WAIT, at=arm.created_at + pace.retry)
    if not answered and arm.state not in REFUSED and story.armings < MAX_ARMINGS:
        return Step(Act.ARM)  # it may be repeated: a later delay takes the place of the earlier one
    return Step(Act.CANCEL, why="not_armed")


def _back_at(story: Situation, pace: Pace) -> datetime:
    """When the output has to be on."""
    assert story.off is not None  # noqa: S101  the caller has looked
    if story.way is Way.ARMED and story.arm is not None:
        armed = story.arm.left_at + (story.minutes + ARM_RESERVE_MINUTES) * pace.minute
        return armed + pace.minute  # the delay runs from when the SMS arrived
    return story.off.left_at + story.minutes * pace.minute


def _is_proved(story: Situation, *, safe_at: datetime) -> bool:
    """Something said "on" after the last moment at which a copy of the OFF could arrive, and nothing "off" since."""
    said = [story.seen_on_at]
    if story.on is not None and story.on.confirmed and story.on.left_at >= safe_at:
        said.append(story.on.replied_at)
    if story.query is not None and story.query.output == "on" and story.query.left_at >= safe_at:
        said.append(story.query.replied_at)
    on_at = max((at for at in said if at is not None and at >= safe_at), default=None)
    return on_at is not None and not _says_off(story, since=on_at)


def _says_off(story: Situation, *, since: datetime) -> bool:
    return story.seen_off_at is not None and story.seen_off_at > since


def _watch(story: Situation, *, safe_at: datetime, pace: Pace, now: datetime) -> Step:
    """A person switched it off: nobody switches it on unasked, but it is not forgotten either."""
    assert story.off is not None  # noqa: S101  the caller has looked
    on_at = story.seen_on_at
    if on_at is not None and on_at > story.off.left_at and not _says_off(story, since=on_at):
        return Step(Act.KEEP, why="seen_on") if now >= safe_at else Step(Act.WAIT, at=safe_at)
    due = story.off.left_at + story.minutes * pace.minute + pace.watch
    if now < due:
        return Step(Act.WAIT, at=min(due, now + LOOK_AGAIN))
    return Step(Act.WAIT, at=now + LOOK_AGAIN) if story.told else Step(Act.ALARM, why="left_dark")


def _restore(story: Situation, *, safe_at: datetime, pace: Pace, now: datetime) -> Step:
    on, query = story.on, story.query
    last_on_at = on.left_at if on is not None else None
    believed = on.replied_at if on is not None and on.confirmed else None
    if on is None and story.way is Way.ARMED:
        believed = _back_at(story, pace)  # the socket has promised it
    if believed is not None and not _says_off(story, since=believed):
        if now < safe_at:
            return Step(Act.WAIT, at=safe_at)
        asked = query if query is not None and query.left_at >= safe_at else None
        if asked is None and story.can_ask:
            return Step(Act.ASK)
        if asked is not None and asked.is_open and now < asked.created_at + pace.retry:
            return Step(Act.WAIT, at=asked.created_at + pace.retry)
        return _switch_on(story, pace=pace, now=now)
    if on is not None and last_on_at is not None and on.is_open and now < on.created_at + pace.retry:
        return Step(Act.WAIT, at=on.created_at + pace.retry)
    return _switch_on(story, pace=pace, now=now)


def _switch_on(story: Situation, *, pace: Pace, now: datetime) -> Step:
    """ON may be repeated; first soon, then ever more slowly, and people hear of it early."""
    if story.attempts >= TRIES_BEFORE_ALARM and not story.told:
        return Step(Act.ALARM, why="not_on_again")
    if story.attempts >= MAX_ATTEMPTS:
        return Step(Act.WAIT, at=now + LONGEST_PAUSE)
    if story.on is not None:
        slower = LOOK_AGAIN * 2 ** max(story.attempts - TRIES_BEFORE_ALARM, 0)
        pause = pace.retry if story.attempts < TRIES_BEFORE_ALARM else min(slower, LONGEST_PAUSE)
        if now < story.on.created_at + pause:
            return Step(Act.WAIT, at=story.on.created_at + pause)
    return Step(Act.ON)
