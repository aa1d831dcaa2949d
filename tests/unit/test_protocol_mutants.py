"""The laws of the simulation can be broken: an engine without one of its rules is found out."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from cueline.engine import (
    accept,
    answering,
    asking,
    compaction,
    modes,
    removal,
    steps,
    takeover,
    timers,
    toolcalls,
    turn,
    work,
    worker,
)
from cueline.engine.host import Host
from cueline.engine.model import CallMade
from cueline.engine.postponing import postponed
from cueline.engine.timers import Timer
from cueline.engine.tools import ToolSpec
from cueline.engine.work import OpenCall
from cueline.log import conversation, fold
from cueline.log.events import Decision, Event, EventsRemoved, Input, Recorded, TurnTyping
from cueline.log.state import State, Waiting, interruption, next_batch, offsets, ready, trace_of
from tests.simulation import World
from tests.story import Story

MOST_SEEDS = 300
store_calls, run_tools, take_up = toolcalls.store_calls, toolcalls.run_tools, toolcalls.take_up
divided, fold_input, timer_events = compaction._divided, fold._fold_input, Timer.events
wants_answer = work._wants_answer


def runs_first(host: Host, step: Any, said: Sequence[Event], calls: Sequence[CallMade]) -> bool:
    done = {}
    for made in calls:
        spec = next((spec for spec in host.specs if spec.name == made.tool), None)
        if spec and not spec.approval and made.arguments.endswith("}"):
            done[made.arguments] = spec.run(json.loads(made.arguments), 5.0)

    def known(spec: ToolSpec) -> ToolSpec:
        return replace(
            spec, run=lambda given, s: done.pop(json.dumps(given), None) or spec.run(given, s)
        )

    host.__dict__["specs"] = [known(spec) for spec in host.specs]
    return store_calls(host, step, said, calls)


def runs_anything(host: Host, calls: Sequence[OpenCall]) -> bool:
    host.mine |= {call.call for call in calls}
    return run_tools(host, calls)


def approves_always(host: Host, calls: Sequence[OpenCall]) -> bool:
    yes = Decision(verdict="approve")
    return take_up(host, [replace(c, decision=c.decision and yes) for c in calls])


def keeps_nothing(live: Sequence[Recorded], ends: dict[int, int], place: int) -> Any:
    return divided(live, ends, place)[0], ()


def keeps_inputs(live: Sequence[Recorded], ends: dict[int, int], place: int) -> Any:
    past, kept = divided(live, ends, place)
    inputs = {r.offset for r in live if isinstance(r.event, Input)}
    return past, tuple(offset for offset in kept if offset in inputs)


def append_anyway(host: Host, *events: Event) -> bool:
    return host.append(lambda _: () if host.state.deleted else events)


def never_too_late(given: Input, state: State) -> bool:
    return given.trigger is not None or wants_answer(given, state)


def hears_nobody(state: State, offset: int, event: Input) -> State:
    return replace(fold_input(state, offset, event), quiet=state.quiet)


def forgets_no_time(state: State, offset: int, event: Input) -> State:
    return replace(fold_input(state, offset, event), scheduled=state.scheduled)


def interrupts(timer: Timer, state: State, at: int, now: int) -> tuple[Event, ...]:
    return timer_events(timer, replace(state, open=None, aside=None, pending=()), at, now)


def types_again(host: Host) -> None:
    host.append_mine(TurnTyping(turn=host.turn))


def takes_any(state: State, _: int) -> tuple[Waiting, ...]:
    return next_batch(state, 1 << 62)


def told_anew(inputs: Sequence[Waiting]) -> dict[str, Any]:
    return {"trace": trace_of(inputs)}


def only_removes(state: State, first: int, *_: Any) -> tuple[Event, ...]:
    return (*interruption(state), EventsRemoved(first=first))


MUTANTS: dict[str, Callable[[Any], object]] = {
    "a call runs before it is in the log": lambda m: m.setattr(
        answering, "store_calls", runs_first
    ),
    "a call that was cut off is run again": lambda m: m.setattr(turn, "run_tools", runs_anything),
    "any decision is a yes": lambda m: m.setattr(turn, "take_up", approves_always),
    "nobody is asked": lambda m: m.setattr(steps, "_with_calls", steps.RunTools),
    "a call is decided on twice": lambda m: m.setattr(accept, "_check_waiting", lambda *_: None),
    "a decision ends alone": lambda m: m.setattr(
        answering, "covered", lambda _, turn: offsets(turn.inputs)
    ),
    "what is suspended is forgotten": lambda m: m.setattr(fold, "_undecided", lambda *_: {}),
    "nothing is kept beside a summary": lambda m: m.setattr(compaction, "_divided", keeps_nothing),
    "a summary cuts a turn in two": lambda m: m.setattr(compaction, "_divided", keeps_inputs),
    "a compaction answers everybody": lambda m: m.setattr(
        work, "_wants_answer", lambda given, _: False
    ),
    "a closed turn goes on": lambda m: m.setattr(Host, "append_mine", append_anyway),
    "what is held back is forgotten": lambda m: m.setattr(worker, "come_again", lambda *_: False),
    "what is held back is not": lambda m: m.setattr(takeover, "next_batch", takes_any),
    "who has no try left goes along": lambda m: m.setattr(
        answering, "postponed", lambda *given: postponed(*given)[:1]
    ),
    "calls are shown without outputs": lambda m: m.setattr(
        conversation._Block, "close", lambda block, _: block.open_calls.clear()
    ),
}
SPEAKING_MUTANTS: dict[str, Callable[[Any], object]] = {
    "whoever has spoken is followed up": lambda m: m.setattr(fold, "_fold_input", hears_nobody),
    "a follow-up waits for nothing": lambda m: m.setattr(Timer, "events", interrupts),
    "nobody is followed up": lambda m: m.setattr(timers, "wake_at", lambda *_: None),
    "what came at its time comes again": lambda m: m.setattr(fold, "_fold_input", forgets_no_time),
    "a trigger that comes again speaks again": lambda m: m.setattr(fold, "_triggers", lambda _: ()),
    "a hand-over closes nothing": lambda m: m.setattr(modes, "interruption", lambda _: ()),
    "people are answered for": lambda m: m.setattr(
        fold, "_fold_mode", lambda state, event: replace(state, mode=event.mode)
    ),
    "an end is told twice": lambda m: m.setattr(
        answering, "ready", lambda turn, *_: ready(turn) * 2
    ),
    "an end is not told": lambda m: m.setattr(answering, "ready", lambda *_: ()),
    "a begin is told again": lambda m: m.setattr(takeover, "_told", told_anew),
    "typing is told again": lambda m: m.setattr(asking, "tell_typing", types_again),
    "time is bought for what is over": lambda m: m.setattr(work, "_wants_answer", never_too_late),
    "who answers is asked to buy time": lambda m: m.setattr(
        conversation._Block, "aside", property(lambda _: False, lambda *_: None)
    ),
    "what was removed waits on": lambda m: m.setattr(removal, "removal", only_removes),
    "what was removed is shown": lambda m: m.setattr(conversation, "remaining", tuple),
}


@pytest.mark.parametrize("mutant", [*MUTANTS, *SPEAKING_MUTANTS])
def test_an_engine_without_one_of_its_rules_is_found_out(
    mutant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    {**MUTANTS, **SPEAKING_MUTANTS}[mutant](monkeypatch)
    share = 1.0 if mutant in SPEAKING_MUTANTS else 0.0
    assert any(breaks_a_law(seed, share) for seed in range(MOST_SEEDS))


def breaks_a_law(seed: int, share: float) -> bool:
    story = Story(World(seed))
    story.door.share = share
    try:
        story.tell()
    except AssertionError:
        return True
    return False
