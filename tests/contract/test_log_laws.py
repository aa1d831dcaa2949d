"""The laws of the log, against random writers, readers, losses, deletions and sweeps.

Writers hold whatever head they once read, and go on from it. They die at the second round of a
sweep, which comes a process lifetime after the first.

- The log is dense and in order; nothing accepted is lost, nothing is doubled.
- The carried state equals the reduce of all events.
- A write is accepted exactly where its writer has read everything, and its key is free.
- A deleted incarnation accepts nothing and shows nothing.
- After the second round nothing is left but a bare tombstone, and only while it is the newest.
"""

from contextlib import ExitStack
from dataclasses import dataclass
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from cueline.errors import Unavailable
from cueline.log.events import Answered, Event, Input, SessionDeleted, TurnBegan
from cueline.log.fold import reduce
from cueline.log.segment import Head, Keyed, Segment
from cueline.log.state import State, next_batch, offsets
from tests.contract.backends import BACKENDS, SESSION, Loss, agent, session, stored_size

LOSSES = st.sampled_from(["none", "none", "repeated", "cut"])
KEYS = st.sampled_from([None, None, None, None, "a", "b"])
POLICIES = st.sampled_from(["enqueue", "coalesce", "interrupt", "steer", "silent"])
TOMBSTONE = (SessionDeleted(),)
NOW = 1_750_000_000_000


@dataclass
class Writer:
    head: Head
    sent: tuple[int, Segment, Keyed | None] | None = None
    """What it wrote last, into which incarnation and under which key."""
    accepted: bool = False
    """By the log; the writer may not know."""
    unsure: bool = False
    """Its answer was lost."""


class Laws(RuleBasedStateMachine):
    kind: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.open = ExitStack()
        self.backend = self.open.enter_context(BACKENDS[self.kind]())
        self.log, self.sweeper = self.backend.ports.log, self.backend.ports.sweeper
        self.truth: dict[int, list[Event]] = {}
        self.written: dict[int, list[Segment]] = {}
        self.keys: dict[tuple[int, str], Keyed] = {}
        self.deleted: set[int] = set()
        self.blanked: set[int] = set()
        self.cleared: set[int] = set()
        self.serial = self.attempts = 0

    def teardown(self) -> None:
        self.open.close()

    @initialize()
    def begin(self) -> None:
        self.backend.ports.agents.create(agent())
        self.current = 0
        self.make(5)
        self.writers = [Writer(self.log.tail(SESSION).head) for _ in range(4)]
        for n, writer in enumerate(self.writers[1:]):  # each has read a little more than the last
            writer.head = self.log.tail(SESSION).head
            self.send(writer, [Input(texts=(str(n),))] * (n + 1), "none")

    def make(self, incarnation: int) -> None:
        made = session(incarnation=incarnation)
        assert self.backend.ports.sessions.create(made, over=self.current)
        self.current = incarnation
        self.truth[incarnation], self.written[incarnation] = [], []

    # --- writers ---

    @rule(who=st.integers(0, 3))
    def look(self, who: int) -> None:
        writer = self.writers[who]
        if not writer.unsure:
            writer.head = self.log.tail(SESSION).head

    @rule(who=st.integers(0, 3), count=st.integers(1, 16), loss=LOSSES, policy=POLICIES, key=KEYS)
    def write(self, who: int, count: int, loss: Loss, policy: str, key: str | None) -> None:
        writer = self.writers[who]
        if writer.unsure or writer.head.state.deleted:
            return
        self.serial += 1
        events: list[Event] = [
            Input.model_validate({"policy": policy, "texts": [f"{self.serial}.{n}"]})
            for n in range(count)
        ]
        turn = writer.head.state.open
        if turn and count % 2:
            events[0] = Answered(
                turn=turn.id, inputs=offsets(turn.inputs), text=f"{self.serial}.answer"
            )
        elif batch := next_batch(writer.head.state, 0):
            events[-1] = TurnBegan(turn=f"t{self.serial}", inputs=offsets(batch))
        self.send(writer, events, loss, key)

    @rule(who=st.integers(0, 3), loss=LOSSES)
    @precondition(lambda self: self.serial % 3 == 0)
    def delete(self, who: int, loss: Loss) -> None:
        writer = self.writers[who]
        self.look(who)
        if not writer.unsure and not writer.head.state.deleted:
            self.send(writer, [SessionDeleted()], loss)

    def late(self) -> list[Writer]:
        """They have not heard of the deletion."""
        return [
            writer
            for writer in self.writers
            if writer.head.incarnation in self.deleted
            and not writer.head.state.deleted
            and not writer.unsure
        ]

    @precondition(lambda self: self.late())
    @rule(loss=LOSSES, key=KEYS)
    def write_late(self, loss: Loss, key: str | None) -> None:
        for writer in self.late():
            self.send(writer, [Input(texts=("late",))], loss, key)

    @rule(who=st.integers(0, 3), loss=LOSSES)
    def ask_again(self, who: int, loss: Loss) -> None:
        """The same attempt, at once or much later."""
        writer = self.writers[who]
        if writer.sent:
            self.attempt(writer, *writer.sent, loss)

    def send(self, writer: Writer, events: list[Event], loss: Loss, key: str | None = None) -> None:
        head, self.attempts = writer.head, self.attempts + 1
        state = reduce(head.state, head.at, events)
        new = Segment(head.at, tuple(events), state, f"a{self.attempts}", NOW + self.serial)
        truth = self.truth[head.incarnation]
        keyed = Keyed(key, new.attempt, head.at) if key else None
        writer.sent = head.incarnation, new, keyed
        writer.accepted = head.at == len(truth) and head.incarnation not in self.deleted
        if keyed and (head.incarnation, keyed.key) in self.keys:
            writer.accepted = False
        if writer.accepted:
            if keyed:
                self.keys[head.incarnation, keyed.key] = keyed
            self.written[head.incarnation].append(new)
            truth += events
            if events[-1] == SessionDeleted():
                self.deleted.add(head.incarnation)
        self.attempt(writer, head.incarnation, new, keyed, loss)

    def attempt(
        self, writer: Writer, incarnation: int, new: Segment, keyed: Keyed | None, loss: Loss
    ) -> None:
        try:
            found = self.backend.losing(
                loss, lambda: self.log.append(SESSION, incarnation, new, keyed)
            )
        except Unavailable:
            assert loss == "cut"
            writer.unsure = True
            return
        writer.unsure = False
        assert (found is None) == writer.accepted, "accepted where all was read, and only there"
        taken = self.keys.get((incarnation, keyed.key)) if keyed else None
        if taken and taken != keyed:
            assert found == taken, "a key stands for the first input that it came with"
        elif found:
            self.look_at_conflict(incarnation, found)
            if (incarnation, new.at) == (
                writer.head.incarnation,
                writer.head.at,
            ):  # a commit goes on from what is in its way
                writer.head = Head(incarnation, found.end, found.state)

    def look_at_conflict(self, incarnation: int, found: Segment) -> None:
        starts = [s.at for s in self.written[incarnation]]
        assert found.at in starts, "in the way is only what was accepted"
        truth = self.truth[incarnation]
        blank = incarnation in self.blanked and found.events != TOMBSTONE
        assert list(found.events) == ([] if blank else truth[found.at : found.end])
        expected = reduce(State(), 0, truth[: found.end])
        assert found.state == (State(deleted=True) if blank else expected)

    # --- readers ---

    @rule(after=st.integers(-1, 100), limit=st.integers(1, 30), back=st.integers(0, 1))
    def read(self, after: int, limit: int, back: int) -> None:
        incarnation = sorted(self.truth)[-1 - back % len(self.truth)]
        events = self.log.read(SESSION, incarnation, after, limit)
        if incarnation in self.deleted:
            assert events == (), "a deleted incarnation shows nothing"
            return
        truth = self.truth[incarnation][after + 1 :][:limit]
        assert [e.event for e in events] == truth
        assert [e.offset for e in events] == list(range(after + 1, after + 1 + len(truth)))

    @precondition(lambda self: self.deleted)
    @rule(after=st.integers(-1, 20), limit=st.integers(1, 3))
    def read_deleted(self, after: int, limit: int) -> None:
        for incarnation in self.deleted:
            assert self.log.read(SESSION, incarnation, after, limit) == ()

    @rule(window=st.integers(0, 5000))
    def window(self, window: int) -> None:
        tail = self.log.tail(SESSION, window)
        if self.current in self.deleted:
            assert tail.events == (), "a deleted incarnation shows nothing"
            return
        written, truth = self.written[self.current], self.truth[self.current]
        first = tail.events[0].offset if tail.events else 0
        taken = [s for s in written if s.at >= first]
        assert tail.events == tuple(r for s in taken for r in s.recorded()), "whole segments"
        assert [r.event for r in tail.events] == truth[first:]
        assert tail.whole == (first == 0)
        room = window - sum(stored_size(s) for s in taken)
        assert len(taken) <= 1 or room >= 0, "no more than the window holds"
        left = written[: len(written) - len(taken)]
        assert not left or taken, "at least the newest"
        assert not left or room < stored_size(left[-1]), "and no less"

    @invariant()
    def the_head_is_the_reduce_of_all_that_was_accepted(self) -> None:
        if not self.truth:
            return
        truth = self.truth[self.current]
        tail = self.log.tail(SESSION)
        assert (tail.head.incarnation, tail.head.at) == (self.current, len(truth))
        assert tail.head.state == reduce(State(), 0, truth)
        assert bool(tail.live(0)) == (self.current not in self.deleted)
        for incarnation, key in [(i, k) for i in self.truth for k in "ab"]:
            taken = self.keys.get((incarnation, key))
            assert self.log.keyed(SESSION, incarnation, key) == taken
        everything = self.log.read(SESSION, self.current, -1, 10_000)
        shown = [] if self.current in self.deleted else truth
        assert [e.event for e in everything] == shown, "nothing lost, nothing doubled"

    # --- deletion, and what follows ---

    @precondition(lambda self: self.current in self.deleted)
    @rule(step=st.integers(1, 3), removed=st.booleans())
    def make_again(self, step: int, removed: bool) -> None:
        if removed:
            self.backend.ports.sessions.remove(SESSION, self.current)
        self.make(self.current + step)

    @rule(turn=st.sampled_from("ab"))
    def beat(self, turn: str) -> None:
        self.backend.ports.beats.beat(SESSION, self.current, turn)

    @precondition(lambda self: self.deleted)
    @rule(data=st.data())
    def first_round(self, data: st.DataObject) -> None:
        incarnation = data.draw(st.sampled_from(sorted(self.deleted, reverse=True)))
        self.sweeper.blank(SESSION, incarnation)
        self.blanked |= {i for i in self.truth if i <= incarnation}
        for kept, _, events in self.backend.kept():
            assert kept > incarnation or events in ("", "[]", '[{"type":"session_deleted"}]')

    @precondition(lambda self: self.blanked)
    @rule(data=st.data())
    def second_round(self, data: st.DataObject) -> None:
        incarnation = data.draw(st.sampled_from(sorted(self.blanked, reverse=True)))
        if not {i for i in self.truth if i <= incarnation} <= self.cleared:
            # The first time. A repeated wake-up finds no writer dead that was not before.
            self.writers = [Writer(self.log.tail(SESSION).head) for _ in range(4)]
        self.sweeper.clear(SESSION, incarnation)
        self.cleared |= {i for i in self.truth if i <= incarnation}
        self.keys = {cell: keyed for cell, keyed in self.keys.items() if cell[0] > incarnation}
        kept = self.backend.kept()
        newest = max((k[:2] for k in kept if k[1] >= 0), default=None)
        for left in (k for k in kept if k[0] <= incarnation):
            assert left[:2] == newest, "a tombstone is left only while it is the newest"
            assert left[2] == '[{"type":"session_deleted"}]', "and it is bare"


def machine(name: str) -> type[Laws]:
    return type(f"LawsOn{name.title()}", (Laws,), {"kind": name})


@pytest.mark.parametrize(("name", "examples"), [("memory", 150), ("dynamodb", 20)])
def test_the_laws_hold(name: str, examples: int) -> None:
    run_state_machine_as_test(
        machine(name),
        settings=settings(
            max_examples=examples,
            stateful_step_count=40,
            deadline=None,
            phases=[Phase.generate],  # shrinking takes minutes; add it to look into a failure
            suppress_health_check=list(HealthCheck),
        ),
    )
