"""The laws of an agent that speaks by itself, and of people beside it, judged by the log alone."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from cueline.log.events import (
    Answered,
    AsideBegan,
    Event,
    EventsRemoved,
    Input,
    InputsWithdrawn,
    ModeChanged,
    Posted,
    Recorded,
    TriggerScheduled,
    TurnBegan,
)
from cueline.log.repeats import FAILURE_MS, REPEATABLE_EVENTS
from cueline.log.segment import Segment
from cueline.log.state import State
from cueline.log.triggers import Trigger


@dataclass(frozen=True)
class Policies:
    """Of the session and its agent."""

    rungs: int = 0
    """Of the longest ladder of follow-ups that there was."""
    last_rungs: int = 0
    """And of the one that there is in the end."""
    times: int = 0
    """How often time is bought in one turn, at most."""


def speaks(event: Event) -> bool:
    """Somebody but the agent says something."""
    match event:
        case Input():
            return event.speaks
        case Posted():
            return event.kind == "message"
    return False


def by_the_customer(event: Event) -> bool:
    return speaks(event) and (isinstance(event, Input) or getattr(event, "source", "") == "user")


@dataclass
class Speaking:
    policies: Policies
    events: Sequence[Recorded]
    """Of the log so far, up to the one that is being judged."""
    seen: Counter[str]
    followed: int = 0
    """Follow-ups since the customer last said something."""
    bought: Counter[str] = field(default_factory=Counter)
    """Turn -> how often its host asked for time."""
    asides: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """Turn -> its inputs."""
    during: dict[int, str] = field(default_factory=dict)
    """What buys time -> the turn that it does so for."""
    fired: Counter[int] = field(default_factory=Counter)
    """Scheduled trigger -> how often it came."""

    def note(self, before: State, at: int, event: Event) -> None:
        if by_the_customer(event):
            self.followed = 0
        match event:
            case Input() if event.trigger:
                planned = event.trigger.scheduled is not None
                by_policy = not (event.digest or planned)
                self._triggered(before, at, event.trigger, by_policy=by_policy)
            case TurnBegan() | AsideBegan():
                if isinstance(event, AsideBegan):
                    self.asides[event.turn] = event.inputs
                for waiting in before.pending:
                    if waiting.policy == "aside" and waiting.offset not in event.inputs:
                        self.during.setdefault(waiting.offset, event.turn)
                if before.mode == "manual":
                    self._in_manual_mode(before, event.inputs)
            case Answered() if event.turn in self.asides and event.text:
                for offset, trigger in self._triggers(event.inputs):
                    during = trigger.during or self.during[offset]
                    goes_on = before.open and before.open.id == during
                    assert goes_on, "time is bought for what goes on"
            case Answered() if event.text:
                given = [self.events[offset].event for offset in event.inputs]
                asks = [one for one in given if isinstance(one, Input) and one.policy != "silent"]
                late = [one.trigger and one.policy == "aside" for one in asks]
                assert not (late and all(late)), "nor is it once that is over"
            case ModeChanged(mode="manual"):
                assert not before.turns, "a hand-over closes what runs in the same step"
            case TriggerScheduled():
                assert not event.digest or event.digest not in before.scheduled.values()

    def _triggered(self, before: State, at: int, trigger: Trigger, *, by_policy: bool) -> None:
        if trigger.follows is not None:
            self.seen["followed up"] += 1
            self._follows(before, at, trigger.follows)
        if (scheduled := trigger.scheduled) is not None:
            self.fired[scheduled] += 1
            self.seen["came at its time"] += 1
            assert self.fired[scheduled] == 1, "what is to come at its time comes once"
            assert isinstance(self.events[scheduled].event, TriggerScheduled)
            assert not self.removed(scheduled), "and not if it was removed"
        if trigger.during:
            assert before.open, "time is bought"
            assert before.open.id == trigger.during, "for the turn that runs"
            self.bought[trigger.during] += by_policy
            self.seen["time bought"] += by_policy
            assert self.bought[trigger.during] <= self.policies.times, "so often and no more"

    def _follows(self, before: State, at: int, follows: int) -> None:
        answer = self.events[follows].event
        assert isinstance(answer, Answered)
        assert answer.follow_up, "what may be followed up is"
        for recorded in self.events[follows + 1 : at]:
            event = recorded.event
            assert not speaks(event), "nobody is followed up who has spoken since"
            assert not self._speaks_again(event), "only the agent's last words are"
            assert not isinstance(event, ModeChanged) or event.mode == "auto", "not by a person"
            given = event.trigger if isinstance(event, Input) else None
            assert not given or given.follows != follows, "each rung is used once"
        assert not self.removed(follows), "nothing that was removed is followed up"
        assert not before.turns, "nor while the agent is at work"
        now = self.events[at].created_at
        assert not any(i.asks and not i.held(now) for i in before.pending), "or will be"
        self.followed += 1
        assert self.followed <= self.policies.rungs, "the ladder has an end"

    def _speaks_again(self, event: Event) -> bool:
        return isinstance(event, Answered) and bool(event.text) and event.turn not in self.asides

    def _in_manual_mode(self, before: State, inputs: Sequence[int]) -> None:
        for waiting in before.pending:
            if waiting.offset in inputs and waiting.asks:
                given = self.events[waiting.offset].event
                assert isinstance(given, Input)
                guided = given.trigger and given.trigger.guidelines
                assert guided or given.kind in ("decision", "compaction"), "people answer"

    def _triggers(self, inputs: Sequence[int]) -> Iterator[tuple[int, Trigger]]:
        for offset in inputs:
            event = self.events[offset].event
            if isinstance(event, Input) and event.trigger:
                yield offset, event.trigger

    def removed(self, offset: int) -> bool:
        later = (r.event for r in self.events[offset + 1 :])
        return any(isinstance(e, EventsRemoved) and e.first <= offset for e in later)

    def may_come_again(self, first: int, end: int | None, again: int) -> bool:
        """Whether what stands at `again` is no client's own retry of the trigger at `first`, which
        ended at `end`."""
        if self.removed(first):
            return True
        if end is None:
            return False
        ended = self.events[end]
        if isinstance(ended.event, InputsWithdrawn):
            return True  # it was not followed
        age = self.events[again].created_at - ended.created_at
        return age >= FAILURE_MS or again - ended.offset > REPEATABLE_EVENTS

    def segment_ends(
        self, segment: Segment, taken: Iterable[int], made: Callable[[str], int]
    ) -> None:
        """`taken` are inputs that a turn has begun with; `made` is where a call stands last."""
        state = segment.state
        for event in segment.events:
            if not isinstance(event, EventsRemoved):
                continue
            assert not state.turns, "nothing runs on what was removed"
            suspended = (o for inputs in state.suspended.values() for o in inputs)
            pending = {i.offset for i in state.pending}
            assert not pending.intersection(taken), "nor does what is between two hosts"
            waits = (*pending, *suspended, *state.scheduled)
            assert all(offset < event.first for offset in waits), "and nothing of it waits"
            assert all(made(call) < event.first for call in state.suspended), "nor for a decision"

    def rest(self, state: State, scheduled: set[str]) -> None:
        """Nothing is left to do; `scheduled` are digests of triggers that were acknowledged."""
        if state.deleted:
            return
        assert not self._forgotten(), "whoever says nothing is followed up"
        found = {r.event.digest: r for r in self.events if isinstance(r.event, TriggerScheduled)}
        for digest in scheduled:
            assert digest in found, "an acknowledged trigger is in the log"
            offset = found[digest].offset
            assert self.fired[offset] or self.removed(offset), "what is to come at its time comes"

    def _forgotten(self) -> bool:
        """The agent's last words are to be followed up, and nobody has."""
        waits: int | None = None
        for recorded in self.events:
            event = recorded.event
            if self._speaks_again(event):
                waits = recorded.offset if getattr(event, "follow_up", 0) else None
            given = event.trigger if isinstance(event, Input) else None
            follows = given is not None and given.follows is not None
            handed_over = isinstance(event, ModeChanged) and event.mode == "manual"
            if follows or handed_over or speaks(event):
                waits = None
        if waits is None or self.removed(waits):
            return False
        return self.followed < self.policies.last_rungs
