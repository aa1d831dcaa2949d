"""The laws of what a turn tells of itself, trace by trace, judged by the log alone."""

from collections import Counter
from dataclasses import dataclass, field

from cueline.log.events import (
    Answered,
    AsideBegan,
    Finished,
    InputsFailed,
    Recorded,
    Spoke,
    ToolOutput,
    TurnBegan,
    TurnFailed,
    TurnInterrupted,
    TurnReady,
    TurnSuspended,
    TurnTyping,
)
from cueline.log.state import MOST_TOLD, State, trace_of

ENDS = Answered | Finished | TurnFailed | TurnInterrupted | TurnSuspended
SHOWN = TurnBegan | AsideBegan | TurnTyping | Spoke | ToolOutput | ENDS | TurnReady
"""Of a turn's events, what is told of it, or ends it."""


@dataclass
class Statuses:
    traces: dict[str, str] = field(default_factory=dict)
    """Turn -> its trace; empty where nobody asks to be told."""
    processing: Counter[str] = field(default_factory=Counter)
    """Trace -> how often it was told, as are the next two."""
    typing: Counter[str] = field(default_factory=Counter)
    ready: Counter[str] = field(default_factory=Counter)
    awaited: set[str] = field(default_factory=set)
    """Traces of which must be told, in this segment still, that they are ready."""

    def note(self, before: State, recorded: Recorded) -> None:
        event = recorded.event
        if isinstance(event, TurnBegan | AsideBegan):
            self._begun(before, event)
        turn = getattr(event, "turn", "")
        trace = self.traces.get(turn, "")
        if isinstance(event, SHOWN) and not isinstance(event, TurnReady) and turn in self.traces:
            told = getattr(event, "trace", "") or recorded.trace_id
            assert not trace or told == trace, "a turn is told under one trace"
        if isinstance(event, TurnTyping):
            assert trace, "who speaks is told to whoever asks for it"
            assert self.processing[trace], "and after it was told to be at work"
            self._once(self.typing, trace)
        if isinstance(event, ENDS) and trace:
            self.awaited.add(trace)
        if isinstance(event, InputsFailed):
            self._failed(before, event)
        if isinstance(event, TurnReady):
            assert event.trace, "somebody asks for it"
            self._once(self.ready, event.trace)
            self.awaited.discard(event.trace)

    def _begun(self, before: State, event: TurnBegan | AsideBegan) -> None:
        taken = [i for i in before.pending if i.offset in event.inputs]
        assert event.trace == trace_of(taken), "a turn is told to who spoke last"
        self.traces[event.turn] = event.trace
        if event.trace and not event.again:
            self._once(self.processing, event.trace)

    def _failed(self, before: State, event: InputsFailed) -> None:
        waits = {i.trace: i.offset in event.inputs for i in before.pending if i.trace}
        if event.trace:
            assert waits[event.trace], "whoever waits is told why it has failed"
            self.awaited.add(event.trace)
        elif len(waits) <= MOST_TOLD:
            assert not any(waits.values()), "under the trace of what has failed"

    def _once(self, told: Counter[str], trace: str) -> None:
        told[trace] += 1
        assert told[trace] == 1, "a status is told once"
        assert told is self.ready or not self.ready[trace], "and nothing after the end"

    def segment_ends(self) -> None:
        assert not self.awaited, "who is told of a turn is told last that it ended, and at once"

    def rest(self, state: State) -> None:
        """Nothing is left to do."""
        if state.deleted:
            return
        waits = {i.trace for i in state.pending}
        for trace in self.processing:
            assert self.ready[trace] or trace in waits, "whoever is told of a turn is told its end"
