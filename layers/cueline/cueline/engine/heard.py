"""What the caller of one input is told of its session's log."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from cueline.engine.call import Delta
from cueline.engine.window import answer_to, ends
from cueline.log.events import Input, PartlyAnswered, Recorded, TurnBegan, TurnInterrupted

Emit = Callable[[Delta | Recorded], None]


@dataclass(slots=True)
class Heard:
    """All since an offset, or what became of its input.

    And nothing after the end of its input, which is at `offset`, however much of the log is known:
    so its own answer is the last, and a repeat is told the same.
    """

    offset: int
    since: int | None
    emit: Emit
    events: list[Recorded] = field(default_factory=list)
    ended: bool = False
    over: bool = False
    """Nothing more is told; what an interrupted turn had said still is once it has ended."""
    _turns: set[str] = field(default_factory=set)
    """Those that took the input."""
    _told: set[int] = field(default_factory=set)

    def hear(self, recorded: Sequence[Recorded]) -> None:
        for one in recorded:
            self.over = self.over or (self.ended and isinstance(one.event, TurnBegan))
            if self.over:
                return
            self.events.append(one)
            if ends(one, self.offset):
                self.ended, self.over = True, not isinstance(one.event, TurnInterrupted)
            elif isinstance(one.event, PartlyAnswered) and one.event.turn in self._turns:
                self.over = True
            self._tell(one)

    def _tell(self, one: Recorded) -> None:
        turn, inputs = getattr(one.event, "turn", None), getattr(one.event, "inputs", ())
        if self.offset in inputs and turn:
            self._turns.add(turn)
        if self.since is not None:
            self.emit(one)
        elif one.offset == self.offset or turn in self._turns or ends(one, self.offset):
            taken = (r for r in self.events if isinstance(r.event, Input) and r.offset in inputs)
            for told in (*taken, one):
                if told.offset not in self._told:
                    self._told.add(told.offset)
                    self.emit(told)

    def answer(self) -> list[Recorded]:
        """Empty where the input has not ended."""
        if self.since is None or not self.ended:
            return answer_to(self.events, self.offset)
        return self.events
