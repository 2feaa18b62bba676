"""A command moves only along its table, whoever asks and however often."""

import pytest
from django.db import IntegrityError, transaction

from devices.models import Command, CommandEvent, Device
from devices.states import AWAITING_REPLY, COMMAND, IN_FLIGHT, MAY_HAVE_ACTED, NEVER_SENT, CommandState
from platforms.models import Platform
from tests.devices.commands import after, ask
from tests.factories import make_socket

S = CommandState


@pytest.fixture
def command(north: Platform) -> Command:
    return ask(make_socket(north))


def put(command: Command, state: str) -> None:
    Command.objects.filter(pk=command.pk).update(state=state)


def test_the_table_has_a_row_for_every_state() -> None:
    COMMAND.check(S.values)


@pytest.mark.databases
@pytest.mark.parametrize("source", S.values)
def test_a_command_moves_only_along_the_table(command: Command, source: str) -> None:
    moved, steps = set(), CommandEvent.objects.filter(command=command)

    for target in S.values:
        put(command, source)
        steps.all().delete()
        if COMMAND.move(command, target, now=after(minutes=1), why="test", by="me"):
            moved.add(target)
            assert list(steps.values_list("from_state", "to_state", "why", "by")) == [
                (source, target, "test", "me")
            ]
            assert (command.state, command.state_changed_at) == (target, after(minutes=1))
        else:
            assert not steps.exists()
            assert Command.objects.get(pk=command.pk).state == source

    assert moved == COMMAND.moves[source]


def test_what_never_left_is_final() -> None:
    assert all(COMMAND.moves[state] == frozenset() for state in [*NEVER_SENT, S.FAILED])


def test_nothing_that_may_have_left_goes_back_to_the_queue() -> None:
    back = {state for state in S if {S.REQUESTED, S.QUEUED, *NEVER_SENT} & COMMAND.moves[state]}

    assert back == {S.REQUESTED, S.QUEUED}


def test_a_command_in_flight_may_have_acted_or_still_waits() -> None:
    assert set(IN_FLIGHT) - {S.QUEUED} <= set(MAY_HAVE_ACTED)
    assert set(AWAITING_REPLY) == set(IN_FLIGHT)
    assert not set(MAY_HAVE_ACTED) & NEVER_SENT


def test_evidence_only_moves_forward() -> None:
    rank = {S.QUEUED: 0, S.UNKNOWN: 0, S.SENT: 1, S.DELIVERED: 2, S.REPLIED: 3, S.VERIFIED: 4}

    backwards = [
        (source, target)
        for source in rank
        for target in COMMAND.moves[source] & rank.keys()
        if rank[target] < rank[source]
    ]

    assert backwards == []


@pytest.mark.databases
def test_two_commands_in_flight_for_one_actuator_are_refused_by_the_table_itself(
    north: Platform, command: Command
) -> None:
    waiting = ask(Device.objects.get(pk=command.device_id))

    with pytest.raises(IntegrityError), transaction.atomic():
        put(waiting, S.SENT)

    put(waiting, S.REPLIED)
