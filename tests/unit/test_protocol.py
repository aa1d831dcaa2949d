"""The protocol's laws, on the real engine under hostile schedules, from the stored log alone."""

import os
from collections import Counter

import pytest

from tests.simulation import World
from tests.story import Story

RUNS = int(os.environ.get("PROTOCOL_RUNS", "300"))
BLOCKS = 2
WHAT_HAPPENS = (
    *("answered", "turn_handed_over", "turn_abandoned", "inputs_taken", "inputs_failed"),
    *("aside_began", "turn_interrupted", "partly_answered", "turn_failed", "session_deleted"),
    *("ran", "unknown outcome", "turn_suspended", "approve", "edit", "reject", "decided too late"),
    *("compacted", "finished", "skill_loaded", "step_changed", "turn_typing", "turn_ready"),
    *("followed up", "came at its time", "time bought", "repeated"),
    *("posted", "mode_changed", "events_removed", "inputs_withdrawn"),
    *("turn_postponed", "spent", "passed", "gathered"),
)


@pytest.mark.parametrize("block", range(BLOCKS))
def test_every_law_holds_under_any_schedule(block: int) -> None:
    seen: Counter[str] = Counter()
    for seed in range(block * RUNS // BLOCKS, (block + 1) * RUNS // BLOCKS):
        story = Story(World(seed))
        try:
            story.tell()
            seen += story.check()
        except AssertionError as broken:
            raise AssertionError(f"seed {seed}: {broken}") from broken
    missing = [what for what in WHAT_HAPPENS if not seen[what]]
    assert not missing, "the schedules are hostile"
