"""CPU of turns, ours and the bare app's, in rounds that take turns, so that noise meets both."""

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field

from tests.bench.histories import EVENTS_A_TURN, MESSAGES_A_TURN
from tests.bench.report import Row
from tests.bench.talks import Cost, Talk

EVENTS_OF_20_MESSAGES = 20 // MESSAGES_A_TURN * EVENTS_A_TURN
SHORT = "4-85-0"
"""A model whose answer has 340 characters in few tokens: what tokens cost is measured apart."""

FLAT = 1.1
"""How much more a turn may cost in a session of 10,000 events than in one of 100."""


def named(events: int, *, stream: bool) -> str:
    past = "20 messages" if events == EVENTS_OF_20_MESSAGES else f"{events:,} events"
    return f"{past}, {'streamed' if stream else 'JSON'}"


@dataclass
class Cell:
    """A talk, how many turns of it a round has, and what they cost in each round."""

    talk: Talk
    turns: int
    quiet: bool = False
    """The server sends no wake-ups meanwhile."""
    costs: list[Cost] = field(default_factory=list)

    def measure(self) -> None:
        with self.talk.server.quiet() if self.quiet else nullcontext():
            self.costs.append(self.talk.cost(self.turns))

    @property
    def median(self) -> Cost:
        names = ("cpu", "wall", "first")
        return Cost(*(statistics.median(getattr(c, name) for c in self.costs) for name in names))


def budget_beside(events: int) -> float | None:
    """So many times what the bare app needs."""
    if events == EVENTS_OF_20_MESSAGES:
        return 1.7
    return 1.0 if events >= 100 else None


def run(cells: Sequence[Cell], rounds: int, say: Callable[[str], None]) -> None:
    for cell in cells:
        cell.talk.take(1)  # what a process does once is not what a turn costs
    for number in range(rounds):
        say(f"round {number + 1} of {rounds}")
        for cell in cells:
            cell.measure()


def beside(pairs: Mapping[str, tuple[Cell, Cell]], topic: str, *, budgets: bool) -> Iterator[Row]:
    """Ours as so many times the bare app's; `pairs` has them by what they are."""
    for what, (ours, bare) in pairs.items():
        mine, other = ours.median, bare.median
        most = budget_beside(ours.talk.events) if budgets else None
        figures = {
            "ours ms": mine.cpu,
            "bare ms": other.cpu,
            "ours wall ms": mine.wall,
            "bare wall ms": other.wall,
        }
        if ours.talk.stream:
            figures |= {"ours first byte ms": mine.first, "bare first byte ms": other.first}
        yield Row(topic, what, mine.cpu / other.cpu, "x bare", most, also=figures)
