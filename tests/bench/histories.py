"""Sessions with a past, written as Cueline would have written it."""

import time
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

from cueline.adapters.dynamodb.items import Item, segment_to_item, session_to_item, size_of
from cueline.adapters.dynamodb.records import agent_to_item
from cueline.engine.agent import Agent, AgentStep, Compaction, Guideline, Instruction
from cueline.log.events import (
    Answered,
    Compacted,
    CompactionAsked,
    Finished,
    Input,
    TurnBegan,
)
from cueline.log.fold import reduce
from cueline.log.segment import Segment, Session
from cueline.log.state import State
from tests.bench.model import INSTRUCTIONS, QUESTION, deltas
from tests.contract.backends import TABLE

EVENTS_A_TURN = 3
SEGMENTS_A_TURN = 2
MESSAGES_A_TURN = 2
INCARNATION = int(time.time() * 1000)
_BATCH = 25
KEPT = 3
"""Turns that a compaction leaves, as it does by default."""
SUMMARY = 2_000
"""Characters."""


def turns_of(events: int) -> int:
    """Of so many events, as near as whole turns come."""
    return max(1, round(events / EVENTS_A_TURN))


def create_agent(
    dynamodb: Any, model: str, key: str = "", guidelines: Sequence[Guideline] = ()
) -> None:
    """Under the model's name, if no other key is given. It sums nothing up: histories stay as
    written."""
    now = int(time.time() * 1000)
    step = AgentStep(instructions=(Instruction(name="main", template=INSTRUCTIONS),))
    agent = Agent(
        key=key or model,
        name=model,
        model=model,
        steps={"main": step},
        compaction=Compaction(enabled=False),
        guidelines=tuple(guidelines),
        created_at=now,
        updated_at=now,
    )
    dynamodb.put_item(TableName=TABLE, Item=agent_to_item(agent, uuid.uuid4().hex))


def create_session(
    dynamodb: Any, model: str, turns: int, *, compacted: bool = False, agent: str = ""
) -> str:
    """The key of a new session, in which so many turns were; of the model's agent, or another."""
    key = uuid.uuid4().hex[:12]
    session = Session(agent or model, key, INCARNATION, "A talk", INCARNATION)
    past = [*segments(model, turns)]
    past += [summary(past)] if compacted else []
    items = [session_to_item(session, uuid.uuid4().hex, INCARNATION)]
    items += [segment_to_item(session.id, INCARNATION, one) for one in past]
    for n in range(0, len(items), _BATCH):
        puts = [{"PutRequest": {"Item": item}} for item in items[n : n + _BATCH]]
        dynamodb.batch_write_item(RequestItems={TABLE: puts})
    return key


def segments(model: str, turns: int) -> Iterator[Segment]:
    state, at = State(), 0
    answer = "".join(deltas(model))
    for _ in range(turns):
        turn = uuid.uuid4().hex
        asked = Input(texts=(QUESTION,), digest=uuid.uuid4().hex[:22])
        begin = (asked, TurnBegan(turn=turn, inputs=(at,)))
        end = (Answered(turn=turn, inputs=(at,), text=answer),)
        for events in (begin, end):
            state = reduce(state, at, events)
            ids = uuid.uuid4().hex, uuid.uuid4().hex
            yield Segment(at, events, state, ids[0], int(time.time() * 1000), ids[1])
            at += len(events)


def summary(past: Sequence[Segment]) -> Segment:
    """What a compaction writes that keeps the newest turns."""
    last, turn = past[-1], uuid.uuid4().hex
    events = (
        Input(compact=CompactionAsked()),
        TurnBegan(turn=turn, inputs=(last.end,)),
        Compacted(turn=turn, up_to=past[-SEGMENTS_A_TURN * KEPT].at - 1, summary="x" * SUMMARY),
        Finished(turn=turn, inputs=(last.end,)),
    )
    state = reduce(last.state, last.end, events)
    return Segment(last.end, events, state, uuid.uuid4().hex, int(time.time() * 1000))


def needed(past: Sequence[Segment]) -> list[Segment]:
    """The segments that a turn after these must read."""
    compacted = past[-1].state.compacted
    return [one for one in past if not compacted or one.end > compacted[1]]


def window_of(model: str, turns: int) -> int:
    """Bytes, as stored, of so many turns late in a session: what a window of them must hold."""
    long_ago = 100
    session = f"{model}.{'0' * 12}"
    late = list(segments(model, long_ago + turns))[-SEGMENTS_A_TURN * turns :]
    items: Sequence[Item] = [segment_to_item(session, INCARNATION, one) for one in late]
    return sum(map(size_of, items))


def messages(model: str, turns: int) -> list[dict[str, str]]:
    """The same talk as a provider's client takes it."""
    answer = "".join(deltas(model))
    asked = {"role": "user", "content": QUESTION}
    return [asked, {"role": "assistant", "content": answer}] * turns
