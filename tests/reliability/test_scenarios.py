"""The same conversations under every hostile condition: whatever happens, the promises hold."""

import itertools

import pytest

from tests.reliability.conditions import Conditions
from tests.reliability.driver import crew, play
from tests.reliability.laws import broken
from tests.reliability.scenarios import SCENARIOS
from tests.reliability.stack import Base

CONDITIONS = (
    Conditions("normal"),
    Conditions("every delivery doubled", doubled=True),
    Conditions("a lease of no time", lease=0),
    Conditions("heartbeats lost", beats=False),
    Conditions("a fifth of the table's calls throttled", throttled=0.2),
    Conditions("answers lost after the commit", lost=0.15),
    Conditions("clocks two minutes apart", skew=120),
    Conditions("a model that fails", failing=0.3),
)


@pytest.mark.parametrize("conditions", CONDITIONS, ids=lambda conditions: conditions.name)
def test_every_promise_holds(shared: Base, conditions: Conditions) -> None:
    with shared.stack(conditions) as stack:
        doors = itertools.cycle([stack.door(), stack.door()])
        with crew(stack, workers=2):
            played = play(stack, lambda: next(doors), SCENARIOS)
        found = [
            *broken(stack.items(), played.told, played.readings, stack.ledger()),
            *stack.errors(),
        ]
    assert not found, "\n".join(found)
