"""The laws of those who listen, on the real engine and door under hostile schedules.

And they can be broken: an engine or a door without one of its rules is found out.
"""

import logging
import os
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from cueline.adapters.dynamodb import items
from cueline.adapters.memory import MemoryConnections
from cueline.engine import accept, answering, asking, host, takeover, telling
from cueline.engine.agent import Agent, AgentStep
from cueline.engine.host import Host
from cueline.engine.listeners import Connection
from cueline.engine.model import ModelRequest
from cueline.engine.settings import with_settings
from cueline.log import state
from cueline.log.events import SettingsChanged
from cueline.log.settings import Settings
from cueline.log.state import State, Waiting, next_batch
from tests.simulation import World
from tests.story import Story

RUNS = int(os.environ.get("LISTENING_RUNS", "24"))
MOST_SEEDS = 100
WHAT_HAPPENS = (
    *("listening", "settings_changed", "answered", "turn_interrupted", "turn_abandoned"),
    *("turn_failed", "spoke", "partly_answered", "session_deleted", "aside_began", "posted"),
    *("came back", "texts", "deltas", "resumed", "queued", "applied", "duplicate", "accepted"),
)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Whoever fails here says so to nobody."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def told_of(seed: int) -> Story:
    story = Story(World(seed))
    story.listeners.share = 1.0
    story.tell()
    return story


def test_every_law_holds_for_those_who_listen_under_any_schedule() -> None:
    seen: Counter[str] = Counter()
    for seed in range(RUNS):
        try:
            story = told_of(seed)
        except AssertionError as broken:
            raise AssertionError(f"seed {seed}: {broken}") from broken
        seen += what_happened(story)
    missing = [what for what in WHAT_HAPPENS if not seen[what]]
    assert not missing, "the schedules are hostile"


def what_happened(story: Story) -> Counter[str]:
    seen: Counter[str] = Counter()
    for segments in story.witness.written.values():
        seen.update(event.type for segment in segments for event in segment.events)
    for guest in story.listeners.guests:
        seen["came back"] += guest.came > 1
        seen["texts"] += len(guest.hearer.texts)
        seen["deltas"] += len(guest.hearer.live)
        data = [answer["data"] for answer in guest.hearer.answers]
        seen["resumed"] += sum(one.get("type") == "resume" for one in data)
        seen.update(str(one.get("status")) for one in data)
    return seen


# --- and can be broken ---------------------------------------------------------------------------

ask = answering._request


def asks_with_the_newest(host: Host, agent: Agent, step: AgentStep, window: int) -> ModelRequest:
    changes = [r.event for r in host.events if isinstance(r.event, SettingsChanged)]
    if changes:
        agent = with_settings(agent, changes[-1].settings)
        newest = agent.step(host.state.step).instructions
        step = step.model_copy(update={"instructions": newest})
    return ask(host, agent, step, window)


def says_only_more(host: Host, text: str) -> None:
    """To who comes in the middle too."""
    if host.state.heard_until and (speech := telling.listened(host)):
        speech.says(None if host.told else host.part, text)
        host.told = host.call


def all_that_are_open(connections: MemoryConnections, *_: object, **__: object) -> list[Connection]:
    return [one for one, _ in connections._rows.values() if one.gateway]


def takes_the_first(state: State, _: int) -> tuple[Waiting, ...]:
    asking = [n for n, one in enumerate(state.pending) if one.asks]
    return state.pending[: asking[0] + 1] if asking else ()


def takes_only_who_interrupts(state: State, now: int) -> tuple[Waiting, ...]:
    interrupting = [one for one in state.pending if one.policy == "interrupt"]
    return tuple(interrupting[-1:]) or next_batch(state, now)


MUTANTS: dict[str, Callable[[Any], object]] = {
    "settings count at once": lambda m: m.setattr(answering, "_request", asks_with_the_newest),
    "settings are for nobody": lambda m: m.setattr(host, "with_settings", lambda agent, _: agent),
    "settings are forgotten": lambda m: m.setattr(Settings, "merged", lambda _, change: change),
    "all that a turn says is its first": lambda m: m.setattr(Host, "part", property(lambda _: 0)),
    "what is said is told in pieces only": lambda m: m.setattr(asking, "speak", says_only_more),
    "what waits is not taken along": lambda m: batches(m, takes_the_first),
    "who interrupts leaves the others": lambda m: batches(m, takes_only_who_interrupts),
    "what is heard is not marked": lambda m: m.setattr(items, "flags_of", lambda _: ()),
    "who was told nothing yet is told all": lambda m: m.setattr(
        MemoryConnections, "of", all_that_are_open
    ),
}


def batches(m: Any, batch: Callable[[State, int], Any]) -> None:
    for module in (accept, takeover, state):
        m.setattr(module, "next_batch", batch)


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_door_without_one_of_its_rules_is_found_out(
    mutant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    MUTANTS[mutant](monkeypatch)
    assert any(breaks_a_law(seed) for seed in range(MOST_SEEDS))


def breaks_a_law(seed: int) -> bool:
    try:
        told_of(seed)
    except AssertionError:
        return True
    return False
