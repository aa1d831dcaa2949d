"""Whatever is written while clients come and go, each of them knows in the end what the log says.

And that can fail: a door without one of its rules is found out.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cueline.adapters.dynamodb import items
from cueline.adapters.memory import MemoryConnections
from cueline.doors.client_commands import broadcast, frames, told
from cueline.engine.listeners import Connection
from cueline.engine.window import read_pages
from cueline.log import fold
from cueline.log.events import Listening, SettingsChanged, TurnAbandoned, TurnInterrupted
from cueline.log.fold import reduce
from cueline.log.state import State, state_from_json, state_to_json
from tests.listening_walks import ListeningWalk

MOST_SEEDS = 400
tape = st.integers(0, 1000)
tapes = st.one_of(st.lists(tape, max_size=40), st.lists(tape, min_size=80, max_size=250))


def everybody_knows_what_was_said(numbers: Sequence[int]) -> None:
    walk = ListeningWalk(numbers)
    for _ in walk.steps():
        pass
    walk.rest()
    walk.judge()


test_everybody_knows_in_the_end_what_was_said = given(tapes)(everybody_knows_what_was_said)


@given(tapes)
def test_each_turn_has_the_settings_of_its_begin(numbers: Sequence[int]) -> None:
    walk = ListeningWalk(numbers)
    for _ in walk.steps():
        for turn in walk.state.turns:
            began = [getattr(event, "turn", "") for event in walk.events].index(turn.id)
            before = [n for n in range(began) if isinstance(walk.events[n], SettingsChanged)]
            assert turn.settings == (before[-1] if before else None)


@given(tapes)
def test_what_is_carried_of_a_session_with_listeners_is_all_that_happened(
    numbers: Sequence[int],
) -> None:
    walk = ListeningWalk(numbers)
    for _ in walk.steps():
        pass
    assert reduce(State(), 0, walk.events) == walk.state
    assert state_from_json(state_to_json(walk.state)) == walk.state
    listens = [event.until for event in walk.events if isinstance(event, Listening)]
    assert walk.state.heard_until == max(listens, default=0)


# --- the property can fail -----------------------------------------------------------------------

session, pieces = frames.session, frames._pieces


def replays_from_behind(log: Any, of: str, incarnation: int, first: int, end: int) -> Any:
    return read_pages(log, of, incarnation, first + 1, end)


def replays_too_little(log: Any, of: str, incarnation: int, first: int, end: int) -> Any:
    return read_pages(log, of, incarnation, first, end - 1)


def all_that_are_open(connections: MemoryConnections, *_: object, **__: object) -> list[Connection]:
    return [one for one, _ in connections._rows.values() if one.gateway]


def a_place_too_far(*given: Any, offset: int, **more: Any) -> str:
    return session(*given, offset=offset + 1, **more)


def without_their_first(text: str, room: int) -> Iterator[str]:
    yield from [*pieces(text, room)][1:] or [text]


MUTANTS: dict[str, Callable[[Any], object]] = {
    "a replay leaves out its first": lambda m: m.setattr(
        broadcast, "read_pages", replays_from_behind
    ),
    "a replay ends too early": lambda m: m.setattr(broadcast, "read_pages", replays_too_little),
    "who was told nothing yet is told all": lambda m: m.setattr(
        MemoryConnections, "of", all_that_are_open
    ),
    "who was told all is told nothing": lambda m: m.setattr(
        MemoryConnections, "tell", lambda connections, one: one
    ),
    "who comes is told to be elsewhere": lambda m: m.setattr(frames, "session", a_place_too_far),
    "what is heard is not marked": lambda m: m.setattr(items, "flags_of", lambda _: ()),
    "nobody is known to listen": lambda m: m.setattr(fold, "max", min, raising=False),
    "what was removed is told again": lambda m: m.setattr(State, "is_removed", lambda *_: False),
    "a mark is told to nobody": lambda m: m.setattr(told, "_item", lambda *_: None),
    "a long text lacks its beginning": lambda m: m.setattr(frames, "_pieces", without_their_first),
    "who is taken over never ends": lambda m: m.setattr(
        told, "_ENDS", tuple(set(told._ENDS) - {TurnAbandoned, TurnInterrupted})
    ),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_door_without_one_of_its_rules_is_found_out(
    mutant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    MUTANTS[mutant](monkeypatch)
    logging.disable(logging.CRITICAL)
    try:
        assert any(breaks_the_law(seed) for seed in range(MOST_SEEDS))
    finally:
        logging.disable(logging.NOTSET)


def breaks_the_law(seed: int) -> bool:
    dice = Random(seed)
    try:
        everybody_knows_what_was_said([dice.randrange(1000) for _ in range(250)])
    except AssertionError:
        return True
    return False
