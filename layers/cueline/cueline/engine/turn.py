"""The host of a turn: performs what `next_step` says, appends what it produced, and asks again."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cueline.engine.agent import Agent
from cueline.engine.append import LIFETIME, Writer
from cueline.engine.call import Call, Emit, Restarted, Spoken
from cueline.engine.model import Model
from cueline.engine.ports import Ports
from cueline.engine.reader import LOOK_EVERY, Reader
from cueline.engine.steps import Done, TakeInputs, next_step
from cueline.errors import CuelineError, ModelError, TooLarge, Unavailable, unexpected
from cueline.log.events import (
    Answered,
    Event,
    InputsTaken,
    PartlyAnswered,
    Recorded,
    Thinking,
    TurnFailed,
    TurnHandedOver,
    TurnInterrupted,
)
from cueline.log.state import State, covered, offsets, steering

logger = logging.getLogger(__name__)

MODEL_TRIES = 4
FIRST_BACKOFF = 0.5
"""Seconds; doubles at each try, with jitter."""
LONGEST_BACKOFF = 20.0
SHORTEST_CALL = 30.0
"""Seconds that a further model call should have; with less, a fresh process makes it."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one deployment. Seconds, but where it says bytes."""

    lease: int = 30
    turn: float = 280.0
    window_bytes: int = 400_000
    """Of the log, as stored, that the turn reads back, and of the text that it sends."""
    freezes: bool = False
    """The platform stops this process between a response and the next request."""


@dataclass(slots=True)
class Host:
    """Runs one begun turn to its end, or until the log says that it is closed."""

    ports: Ports
    model: Callable[[], Model]
    writer: Writer
    reader: Reader
    """Stands behind the turn's begin, or further on."""
    window: Callable[[], Sequence[Recorded]]
    """Gives the events that the turn answers, up to its begin."""
    turn: str
    limits: Limits
    deadline: float
    """Seconds on the monotonic clock; the turn has ended before."""
    emit: Emit = lambda _: None
    heard: bool = False
    """Somebody hears what is said while it is said, so it cannot be taken back."""
    _tries: int = MODEL_TRIES
    _progress: bool = False
    _call: Call | None = None
    _beaten_at: float = 0.0
    _stood: float = 0.0
    """The longest in seconds that no timer ran here: then others may hold the turn for dead."""

    def run(self, agent: Agent | None) -> None:
        """Where more can begin afterwards, who called this wakes somebody up for it."""
        clock = self.ports.clock
        self._beaten_at = clock.monotonic()
        roomy = self.deadline - self._beaten_at >= SHORTEST_CALL
        with (
            clock.every(self.limits.lease / 2, self._beat),
            clock.every(LOOK_EVERY, self._watch),
        ):
            try:
                window = self.window()
            except Unavailable as error:
                logger.warning("A turn is handed over, unread", extra=unexpected(error))
                self._append(self._handing_over)
                return
            while not isinstance(step := next_step(self.reader.state, self.turn), Done):
                if self._stood >= LIFETIME:
                    return  # what it would write to may have been removed meanwhile
                in_a_hurry = clock.monotonic() + SHORTEST_CALL > self.deadline
                if self._progress and roomy and in_a_hurry:
                    self._append(self._handing_over)
                elif isinstance(step, TakeInputs):
                    self._append(self._taking)
                    self._progress = True
                elif not self._call_model(agent, window):
                    return
            if self._interrupted():
                self._tell_what_was_said()

    # --- steps -----------------------------------------------------------------------------------

    def _taking(self, state: State) -> tuple[Event, ...]:
        inputs = offsets(steering(state, self.turn))
        return (InputsTaken(turn=self.turn, inputs=inputs),) if inputs else ()

    def _handing_over(self, state: State) -> tuple[Event, ...]:
        return (TurnHandedOver(turn=self.turn),) if state.running(self.turn) else ()

    def _call_model(self, agent: Agent | None, window: Sequence[Recorded]) -> bool:
        """One try, and the turn's end unless there shall be another.

        False where the turn is left to its wake-up.
        """
        call = self._call = Call(self.model, self.deadline, self.emit)
        failure: CuelineError | None = None
        try:
            later = (r for r in self.reader.passed if r.offset > window[-1].offset)
            call.make(agent, [*window, *later], self.limits.window_bytes)
        except CuelineError as error:
            failure = error
        except Exception as error:
            logger.error("A turn failed inside Cueline", extra=unexpected(error))  # noqa: TRY400
            failure = CuelineError("The turn failed inside Cueline.")
        if call.closed:
            return True
        self._note_time()
        if self._stood >= (self.limits.lease if failure else LIFETIME):
            # What failed is this process, which the platform had stopped, and with it the
            # connection to the provider. A wake-up has the turn taken over.
            logger.warning("A turn is left to its wake-up: its host stood still")
            return False
        if not (isinstance(failure, ModelError) and self._shall_try_again(failure, call)):
            self._end(call.spoken, failure)
        return True

    def _shall_try_again(self, error: ModelError, call: Call) -> bool:
        """Pauses before the next try; False where none shall be made."""
        # What was heard cannot be taken back, so it is not said again in other words.
        if not error.retryable or (call.spoken.text and self.heard):
            return False
        # A provider that hangs once has taken most of the time that a caller waits.
        if error.kind == "model_timeout" or self._tries <= 1:
            return False
        clock = self.ports.clock
        backoff = FIRST_BACKOFF * 2 ** (MODEL_TRIES - self._tries) * (0.5 + clock.random() / 2)
        pause = max(backoff, error.retry_after or 0.0)
        if pause > LONGEST_BACKOFF or clock.monotonic() + pause >= self.deadline:
            return False
        self._tries -= 1
        logger.warning("The model failed and is asked again", extra={"code": error.kind})
        until = clock.monotonic() + pause
        while self.reader.state.running(self.turn) and (left := until - clock.monotonic()) > 0:
            clock.sleep(min(left, LOOK_EVERY))
        if call.spoken.thinking:
            self.emit(Restarted())
        self._call = None
        self._watch()  # for what came during the pause
        return True

    # --- what is written -------------------------------------------------------------------------

    def _end(self, spoken: Spoken, failure: CuelineError | None) -> None:
        """Closes the turn with its answer or its failure; writes nothing where it is closed."""
        try:
            self._append(lambda state: self._ending(state, spoken, failure))
        except TooLarge:
            failure = ModelError(
                "answer_too_large", "The answer is too large to be kept.", retryable=False
            )
            self._append(lambda state: self._ending(state, Spoken(), failure))

    def _ending(
        self, state: State, spoken: Spoken, failure: CuelineError | None
    ) -> tuple[Event, ...]:
        if not (mine := state.running(self.turn)):
            return ()
        inputs = covered(state, mine)
        thinking, text = "".join(spoken.thinking), "".join(spoken.text)
        events: list[Event] = [Thinking(turn=self.turn, text=thinking)] if thinking else []
        if failure:
            events.append(
                TurnFailed(
                    turn=self.turn,
                    inputs=inputs,
                    code=failure.kind if isinstance(failure, ModelError) else failure.code,
                    message=failure.message,
                    retryable=failure.retryable,
                    text=text,
                )
            )
        else:
            events.append(Answered(turn=self.turn, inputs=inputs, text=text, cut=spoken.cut))
        return tuple(events)

    def _interrupted(self) -> bool:
        events = (r.event for r in self.reader.passed)
        return any(isinstance(e, TurnInterrupted) and e.turn == self.turn for e in events)

    def _tell_what_was_said(self) -> None:
        """After the end: who interrupted the turn could not know it."""
        text = "".join(self._call.spoken.text) if self._call else ""
        said = PartlyAnswered(turn=self.turn, text=text)

        def telling(state: State) -> tuple[Event, ...]:
            told = state.deleted or any(r.event == said for r in self.reader.passed)
            return () if told or not said.text else (said,)

        try:
            self._append(telling)
        except CuelineError as error:
            logger.warning("What an interrupted turn had said is lost", extra=unexpected(error))

    def _append(self, build: Callable[[State], Sequence[Event]]) -> None:
        """Appends at the head, or nothing where `build` gives nothing there.

        After a conflict it goes on at once from the segment in its way, where all others pause.
        """
        clock, reader, pause = self.ports.clock, self.reader, FIRST_BACKOFF
        while events := tuple(build(reader.state)):
            try:
                segment, found = self.writer.put(reader.head, events)
                reader.go_past(found or segment)
                if not found:
                    return
            except Unavailable:
                # The answer is worth waiting for; past the deadline a wake-up runs the turn anew.
                if clock.monotonic() + pause >= self.deadline:
                    raise
                clock.sleep(pause)
                pause = min(2 * pause, LONGEST_BACKOFF)

    # --- beside the model ------------------------------------------------------------------------

    def _beat(self) -> None:
        """By a timer, never by what the model says."""
        self._note_time()
        try:
            self.ports.beats.beat(self.writer.session, self.reader.head.incarnation, self.turn)
        except Exception as error:  # the next one may go through
            logger.warning("A heartbeat was lost", extra=unexpected(error))

    def _watch(self) -> None:
        """Ends the model call once somebody else has closed the turn."""
        try:
            self.reader.look()
        except Exception as error:  # the next one may go through
            logger.warning("A look at the log was lost", extra=unexpected(error))
        if (call := self._call) and not self.reader.state.running(self.turn):
            call.close()

    def _note_time(self) -> None:
        now = self.ports.clock.monotonic()
        self._stood, self._beaten_at = max(self._stood, now - self._beaten_at), now
