"""The host of a turn: performs what `next_step` says, appends what it produced, and asks again."""

import logging
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace

from cueline.engine.append import Writer
from cueline.engine.model import (
    CallMade,
    Chunk,
    End,
    Model,
    ModelRequest,
    TextDelta,
    ThinkingDelta,
    Usage,
)
from cueline.engine.ports import Agent, Ports
from cueline.engine.steps import Done, next_step
from cueline.errors import CuelineError, ModelError, TooLarge, Unavailable, unexpected
from cueline.log.conversation import conversation
from cueline.log.events import Answered, Event, Recorded, Thinking, TurnFailed
from cueline.log.segment import Head, Segment
from cueline.log.state import State, covered

logger = logging.getLogger(__name__)

MODEL_TRIES = 4
FIRST_BACKOFF = 0.5
"""Seconds; doubles at each try, with jitter."""
LONGEST_BACKOFF = 20.0
SMALLEST_WINDOW = 1_000
"""Bytes of conversation below which a model that still finds it too long is believed."""


@dataclass(frozen=True, slots=True)
class Restarted:
    """The model is asked again: what it thought so far is not what it will have thought."""


Delta = ThinkingDelta | TextDelta | Restarted
Emit = Callable[[Delta | Recorded], None]
"""Told what the turn says, as it says it, and each event once it is in the log."""


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
class Spoken:
    """What the model has said so far in this call."""

    thinking: list[str] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    cut: bool = False


@dataclass(slots=True)
class Host:
    """Runs one begun turn to its end, or until the log says that it is closed."""

    ports: Ports
    model: Callable[[], Model]
    writer: Writer
    incarnation: int
    turn: str
    limits: Limits
    deadline: float
    """Seconds on the monotonic clock; the turn has ended before."""
    emit: Emit = lambda _: None
    heard: bool = False
    """Somebody hears what is said while it is said, so it cannot be taken back."""
    _beaten_at: float = 0.0

    def run(self, agent: Agent | None, head: Head, events: Sequence[Recorded]) -> Head:
        """The head at its end; `events` is the window that it answers, up to `head`.

        Where more can begin then, who called this wakes somebody up for it.
        """
        self._beaten_at = self.ports.clock.monotonic()
        with self.ports.clock.every(self.limits.lease / 2, self._beat):
            while not isinstance(next_step(head.state, self.turn), Done):
                spoken = Spoken()
                failure: CuelineError | None = None
                try:
                    self._call_model(agent, events, spoken)
                except CuelineError as error:
                    failure = error
                except Exception as error:
                    logger.error("A turn failed inside Cueline", extra=unexpected(error))  # noqa: TRY400
                    failure = CuelineError("The turn failed inside Cueline.")
                if failure and self._stood_still():
                    # What failed is this process, which the platform had stopped, and with it the
                    # connection to the provider. A wake-up has the turn taken over.
                    logger.warning("A turn is left to its wake-up: its host stood still")
                    return head
                head, written = self._commit(head, spoken, failure)
                if written:
                    for recorded in written.recorded():
                        self.emit(recorded)
        return head

    def _call_model(self, agent: Agent | None, events: Sequence[Recorded], spoken: Spoken) -> None:
        if agent is None:
            raise ModelError("agent_not_found", "The agent was deleted.", retryable=False)
        window = self.limits.window_bytes
        request = ModelRequest(
            model=agent.model,
            instructions="\n\n".join(i.template for i in agent.instructions if i.enabled),
            items=conversation(events, window),
            parameters=agent.parameters,
        )
        tries = MODEL_TRIES
        while True:
            try:
                with closing(_closable(self.model().stream(request, self.deadline))) as chunks:
                    return self._listen(chunks, spoken)
            except ModelError as error:
                tries -= 1
                # What was heard cannot be taken back, so it is not said again in other words.
                if spoken.text and self.heard:
                    raise
                if error.kind == "context_limit_exceeded":
                    # The model's own limit is smaller: the oldest turns go.
                    items = request.items
                    while items == request.items and window > SMALLEST_WINDOW:
                        window //= 2
                        items = conversation(events, window)
                    if items == request.items:
                        raise
                    request = replace(request, items=items)
                    continue
                # A provider that hangs once has taken most of the time that a caller waits.
                if not error.retryable or not tries or error.kind == "model_timeout":
                    raise
                self._pause(MODEL_TRIES - tries, error)
                spoken.text.clear()
                if spoken.thinking:
                    spoken.thinking.clear()
                    self.emit(Restarted())

    def _pause(self, failures: int, error: ModelError) -> None:
        """Waits before the next try; raises `error` where that comes too late."""
        clock = self.ports.clock
        backoff = FIRST_BACKOFF * 2 ** (failures - 1) * (0.5 + clock.random() / 2)
        pause = max(backoff, error.retry_after or 0.0)
        if pause > LONGEST_BACKOFF or clock.monotonic() + pause >= self.deadline:
            raise error
        logger.warning("The model failed and is asked again", extra={"code": error.kind})
        clock.sleep(pause)

    def _listen(self, chunks: Iterator[Chunk], spoken: Spoken) -> None:
        for chunk in chunks:
            match chunk:
                case TextDelta():
                    spoken.text.append(chunk.text)
                    self.emit(chunk)
                case ThinkingDelta():
                    spoken.thinking.append(chunk.text)
                    self.emit(chunk)
                case CallMade():
                    raise ModelError(
                        "model_malformed",
                        f"The model called a tool that it was not given: {chunk.tool[:100]!r}.",
                        retryable=True,
                    )
                case End():
                    spoken.cut = chunk.reason == "length"
                    return
                case Usage():
                    pass

    def _commit(
        self, head: Head, spoken: Spoken, failure: CuelineError | None
    ) -> tuple[Head, Segment | None]:
        """Closes the turn with its answer or its failure; writes nothing where it is closed."""

        def build(state: State, _: int) -> Sequence[Event]:
            mine = state.running(self.turn)
            return self._ending(covered(state, mine), spoken, failure) if mine else ()

        pause = FIRST_BACKOFF
        while True:
            try:
                return self.writer.append(head, build, chase=True)
            except TooLarge:
                spoken = Spoken()
                failure = ModelError(
                    "answer_too_large", "The answer is too large to be kept.", retryable=False
                )
            except Unavailable:
                # The answer is worth waiting for; past the deadline a wake-up runs the turn anew.
                if self.ports.clock.monotonic() + pause >= self.deadline:
                    raise
                self.ports.clock.sleep(pause)
                pause = min(2 * pause, LONGEST_BACKOFF)

    def _ending(
        self, inputs: tuple[int, ...], spoken: Spoken, failure: CuelineError | None
    ) -> tuple[Event, ...]:
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

    def _beat(self) -> None:
        """By a timer, never by what the model says."""
        self._beaten_at = self.ports.clock.monotonic()
        try:
            self.ports.beats.beat(self.writer.session, self.incarnation, self.turn)
        except Exception as error:  # the next one may go through
            logger.warning("A heartbeat was lost", extra=unexpected(error))

    def _stood_still(self) -> bool:
        """For a lease no timer ran here, so others may hold the turn for dead."""
        return self.ports.clock.monotonic() - self._beaten_at >= self.limits.lease


def _closable(chunks: Iterator[Chunk]) -> Generator[Chunk, None, None]:
    """A generator, so that leaving it early closes the connection to the provider."""
    yield from chunks
