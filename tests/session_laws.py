"""The laws of one session, judged by its stored log alone and by what its tools did."""

import json
import os
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from cueline.engine.wake import EARLY_MS
from cueline.log.events import (
    Answered,
    AsideBegan,
    Compacted,
    Decision,
    Event,
    Finished,
    Input,
    InputsFailed,
    InputsTaken,
    InputsWithdrawn,
    ModelCalled,
    PartlyAnswered,
    Posted,
    Recorded,
    SkillLoaded,
    ToolInput,
    ToolOutput,
    TurnAbandoned,
    TurnBegan,
    TurnFailed,
    TurnInterrupted,
    TurnReady,
    TurnSuspended,
)
from cueline.log.fold import fold
from cueline.log.segment import Segment
from cueline.log.state import State, Turn, covered, offsets, steering, waiting_asides
from tests.shown_laws import judge_what_is_shown
from tests.simulated_work import SUMMARY_WORD, TOOLS, Ran, number_in
from tests.status_laws import Statuses
from tests.trigger_laws import Policies, Speaking
from tests.waiting_laws import judge_begin, judge_failed, judge_rest

CUTS = int(os.environ.get("PROTOCOL_CUTS", "8"))
"""Places of one log at which its conversation is judged."""
ENDINGS = Answered | Finished | TurnFailed | TurnInterrupted | InputsFailed | InputsWithdrawn
FREE = (TurnBegan, AsideBegan, PartlyAnswered, ModelCalled, TurnReady)
"""Events with a turn that need not run."""
NEVER = 1 << 62


def name_of(given: Input) -> str:
    """What people call it; no two inputs of a session have the same."""
    if given.texts:
        return given.texts[0]
    if given.decision:
        return given.decision.note
    if given.trigger:
        follows, scheduled = given.trigger.follows, given.trigger.scheduled
        return given.digest or f"{follows} {scheduled} {given.trace * bool(given.trigger.during)}"
    return given.compact.message if given.compact else ""


@dataclass
class Life:
    """Of one tool call: where it stands in the log, whose it is, what became of it."""

    made: list[tuple[int, ToolInput]] = field(default_factory=list)
    decisions: list[tuple[int, Decision]] = field(default_factory=list)
    outputs: list[ToolOutput | SkillLoaded] = field(default_factory=list)

    def before(self, head: int) -> tuple[ToolInput | None, list[Decision]]:
        """As it stood when the log had `head` events, and what had been decided by then."""
        made = [(at, event) for at, event in self.made if at < head]
        if not made:
            return None, []
        return made[-1][1], [decision for at, decision in self.decisions if at < made[-1][0]]


@dataclass
class Judge:
    ran: Sequence[Ran]
    policies: Policies
    seen: Counter[str] = field(default_factory=Counter)
    state: State = field(default_factory=State)
    events: list[Recorded] = field(default_factory=list)
    names: dict[str, int] = field(default_factory=dict)
    """Of inputs, and of what is left to people."""
    ends: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    """Input -> the offsets of the events that ended it."""
    put_off: dict[int, int] = field(default_factory=dict)
    """And of the newest that suspended its turn."""
    begun: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """Turn -> the inputs that it began with."""
    calls: dict[int, Life] = field(default_factory=lambda: defaultdict(Life))
    """By the number of the call."""
    numbers: dict[str, int] = field(default_factory=dict)
    """Id of a call -> its number; of the newest with that id."""
    told: Counter[str] = field(default_factory=Counter)
    """Turn -> how often it was said that it was interrupted, or how far it had come."""
    taken_over: Turn | None = None

    def __post_init__(self) -> None:
        self.speaking = Speaking(self.policies, self.events, self.seen)
        self.statuses = Statuses()

    def read(self, segments: Sequence[Segment]) -> None:
        for segment in segments:
            assert segment.at == len(self.events), "the log is dense"
            assert not self.state.deleted, "nothing is written to a deleted incarnation"
            for recorded in segment.recorded():
                before, event = self.state, recorded.event
                self.events.append(recorded)
                self.seen[event.type] += 1
                self.state = fold(before, recorded.offset, event)
                self._protocol(before, event, recorded.created_at + EARLY_MS)
                self._inputs(before, recorded.offset, event)
                self._calls(before, recorded.offset, event)
                self.speaking.note(before, recorded.offset, event)
                self.statuses.note(before, recorded)
            self.statuses.segment_ends()
            judge_rest(self.state)
            taken = {offset for inputs in self.begun.values() for offset in inputs}
            self.speaking.segment_ends(segment, taken, self._made)
            assert self.state == segment.state, "carried state equals the reduce of all events"

    def rest(self, acknowledged: set[str], scheduled: set[str]) -> None:
        """Nothing is left to do."""
        self.speaking.rest(self.state, scheduled)
        self.statuses.rest(self.state)
        assert all(len(how) == 1 for how in self.ends.values()), "an input ends once"
        self._runs()
        self._conversations()
        if self.state.deleted:
            return
        waits = {o for inputs in self.state.suspended.values() for o in inputs}
        waits.update(i.offset for i in self.state.pending if not i.asks)
        for offset in self.ends:
            assert offset not in waits, "what has ended waits no more"
        for name in acknowledged:
            assert name in self.names, "an acknowledged input is in the log"
            offset = self.names[name]
            known = self.ends[offset] or isinstance(self.events[offset].event, Posted)
            assert known or offset in waits, "an acknowledged input is not lost"
        for call in self.state.suspended:
            life = self.calls[self.numbers[call]]
            assert life.made[-1][1].approval, "what waits needs approval"
            assert not life.outputs, "and has no output"

    # --- who runs, who waits ---------------------------------------------------------------------

    def _protocol(self, before: State, event: Event, now: int) -> None:
        """Written by then: within one step no time goes by."""
        turn = getattr(event, "turn", None)
        if before.open and self.state.open != before.open and not self.state.deleted:
            assert turn == before.open.id, "only its own events change the main turn"
        if turn and not isinstance(event, FREE):
            assert before.running(turn), f"no closed turn goes on: {event.type}"
        match event:
            case TurnBegan():
                self.begun[event.turn] = event.inputs
                assert before.open is None, "one turn at a time"
                judge_begin(before, event.inputs, now, self.seen)
            case AsideBegan():
                self.begun[event.turn] = event.inputs
                assert before.open, "an aside is beside an open turn"
                assert not before.aside, "one at a time"
                assert set(event.inputs) <= {i.offset for i in waiting_asides(before)}
            case InputsTaken():
                steers = steering(before, event.turn, now)
                assert event.inputs == offsets(steers), "only what steers"
            case PartlyAnswered():
                assert self.told[event.turn] == 1, "told once, of an interrupted turn"
                self.told[event.turn] += 1
            case TurnInterrupted():
                self.told[event.turn] += 1
            case TurnAbandoned():
                self.taken_over = before.running(event.turn)
            case InputsFailed(code="turn_abandoned"):
                assert self.taken_over, "only a takeover gives an input up"
                asking = [i.offset for i in self.taken_over.inputs if i.asks]
                assert len(asking) == 1, "an error takes no neighbour with it"
            case InputsFailed():
                judge_failed(before, event, self.seen)

    def _inputs(self, before: State, at: int, event: Event) -> None:
        match event:
            case Input():
                assert self._is_new(event, at), "no input is doubled"
                self.names[name_of(event)] = at
            case Posted():
                self.names[event.text] = at
            case TurnSuspended() | Answered() | Finished() | TurnFailed() | TurnInterrupted():
                running = before.running(event.turn)
                assert running
                assert event.inputs == covered(before, running), "an end names what it ends"
            case InputsFailed():
                known = {i.offset for i in before.pending}
                known.update(o for inputs in before.suspended.values() for o in inputs)
                assert set(event.inputs) <= known
        if isinstance(event, ENDINGS):
            for offset in event.inputs:
                self.ends[offset].append(at)
        text = getattr(event, "text", "")
        assert SUMMARY_WORD not in text, "a summary is no answer"
        if isinstance(event, Finished) and before.mode == "auto":
            silent = {i.offset for t in before.turns for i in t.inputs if not i.asks}
            for offset in set(event.inputs) - silent:
                given = self._input(offset)
                asks = given.policy != "silent" and given.kind in ("message", "decision")
                assert not asks, "who asks is answered"

    def _is_new(self, given: Input, at: int) -> bool:
        """Or a trigger that is asked for anew, and not by its client's own retry."""
        known = self.names.get(name_of(given))
        if known is None:
            return True
        ended = (*self.ends.get(known, ()), self.put_off.get(known))
        return bool(given.trigger) and self.speaking.may_come_again(known, ended[0], at)

    def _input(self, offset: int) -> Input:
        event = self.events[offset].event
        assert isinstance(event, Input)
        return event

    # --- tool calls ------------------------------------------------------------------------------

    def _calls(self, before: State, at: int, event: Event) -> None:
        match event:
            case Input() if event.decision:
                assert event.call in before.suspended, "only what waits is decided on"
                life = self.calls[self.numbers[event.call]]
                assert not life.decisions, "and once"
                life.decisions.append((at, event.decision))
                self.seen[event.decision.verdict] += 1
            case ToolInput():
                number = number_in(event.arguments)
                other = self.calls[self.numbers.get(event.call, number)]
                assert other is self.calls[number] or event.call not in before.suspended
                self.numbers[event.call] = number
                self.calls[number].made.append((at, event))
            case ToolOutput() | SkillLoaded() if event.call:
                life = self.calls[self.numbers[event.call]]
                assert not life.outputs, "a call has one output"
                life.outputs.append(event)
                self.seen["unknown outcome"] += "unknown" in getattr(event, "output", "")
            case TurnSuspended():
                self.put_off.update((offset, at) for offset in event.inputs)
                for call in event.calls:
                    assert not self.calls[self.numbers[call]].outputs, "what has run waits no more"
            case Answered() | Finished():
                for life in self.calls.values():
                    if life.made and self._of(life) & set(event.inputs):
                        assert life.outputs, "who is answered has all outputs"
            case Compacted():
                self._covered(event)

    def _made(self, call: str) -> int:
        return self.calls[self.numbers[call]].made[-1][0]

    def _of(self, life: Life) -> set[int]:
        """The inputs of all turns in which the call stands."""
        return {o for _, event in life.made for o in self.begun[event.turn]}

    def _runs(self) -> None:
        runs = Counter(ran.number for ran in self.ran)
        for ran in self.ran:
            approval, repeatable = TOOLS[ran.tool]
            life = self.calls[ran.number]
            made, decisions = life.before(ran.head)
            assert made, "a call is in the log before it runs"
            assert made.tool == ran.tool
            assert json.loads(made.arguments) == json.loads(ran.arguments), "as it is in the log"
            assert repeatable or runs[ran.number] == 1, "what must not run twice runs once"
            assert not any(getattr(o, "refused", False) for o in life.outputs), "and no refused one"
            if approval:
                said = {decision.verdict for decision in decisions}
                assert said in ({"approve"}, {"edit"}), f"nobody has approved it: {said}"
            self.seen["ran"] += 1

    # --- compactions, and what the model sees ----------------------------------------------------

    def _covered(self, compacted: Compacted) -> None:
        """What the summary stands for had ended where it ends."""
        for recorded in self.events[: compacted.up_to + 1]:
            event = recorded.event
            mine = self.begun.get(getattr(event, "turn", ""), ())
            mine = (recorded.offset,) if isinstance(event, Input) else mine
            if not all(self._ended(o) <= compacted.up_to for o in mine):
                assert not compacted.covers(recorded.offset), "a summary leaves out what goes on"

    def _ended(self, offset: int) -> int:
        return min(self.ends.get(offset, [NEVER]))

    def _conversations(self) -> None:
        count = len(self.events)
        step = max(1, count // CUTS)
        for cut in {*range(step, count, step), count}:
            judge_what_is_shown(self.events, cut, self._ended)
