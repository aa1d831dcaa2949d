"""One call of the model: asked with the conversation, heard to its end, ended from outside."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from cueline.engine.agent import Agent
from cueline.engine.model import (
    CallMade,
    Chunks,
    End,
    Model,
    ModelRequest,
    TextDelta,
    ThinkingDelta,
)
from cueline.errors import ModelError
from cueline.log.conversation import conversation
from cueline.log.events import Recorded

SMALLEST_WINDOW = 1_000
"""Bytes of conversation below which a model that still finds it too long is believed."""


@dataclass(frozen=True, slots=True)
class Restarted:
    """The model is asked again: what it thought so far is not what it will have thought."""


Delta = ThinkingDelta | TextDelta | Restarted
Emit = Callable[[Delta], None]
"""Told what the turn says, as it says it."""


@dataclass(slots=True)
class Spoken:
    """What the model has said so far in this call."""

    thinking: list[str] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    cut: bool = False


@dataclass(slots=True)
class Call:
    model: Callable[[], Model]
    deadline: float
    """Seconds on the monotonic clock."""
    emit: Emit
    spoken: Spoken = field(default_factory=Spoken)
    closed: bool = False
    _chunks: Chunks | None = None

    def make(self, agent: Agent | None, events: Sequence[Recorded], window: int) -> None:
        """Fills `spoken`; raises ModelError. `window` is in bytes of conversation.

        A model whose own limit is smaller is asked again without the oldest turns.
        """
        if agent is None:
            raise ModelError("agent_not_found", "The agent was deleted.", retryable=False)
        items = conversation(events, window)
        while True:
            request = ModelRequest(
                model=agent.model,
                instructions="\n\n".join(
                    i.template for i in agent.step("").instructions if i.enabled
                ),
                items=items,
                parameters=agent.parameters,
            )
            try:
                return self._hear(self.model().stream(request, self.deadline))
            except ModelError as error:
                if error.kind != "context_limit_exceeded" or self.spoken.text:
                    raise
                shorter = items
                while shorter == items and window > SMALLEST_WINDOW:
                    window //= 2
                    shorter = conversation(events, window)
                if shorter == items:
                    raise
                items = shorter

    def close(self) -> None:
        """Ends it, from any thread: what is said from now on is not heard."""
        self.closed = True
        if chunks := self._chunks:
            with suppress(ValueError):  # a generator that another thread waits in
                chunks.close()

    def _hear(self, chunks: Chunks) -> None:
        self._chunks = chunks
        try:
            for chunk in chunks:
                if self.closed:
                    return
                match chunk:
                    case TextDelta():
                        self.spoken.text.append(chunk.text)
                        self.emit(chunk)
                    case ThinkingDelta():
                        self.spoken.thinking.append(chunk.text)
                        self.emit(chunk)
                    case CallMade():
                        raise ModelError(
                            "model_malformed",
                            f"The model called a tool that it was not given: {chunk.tool[:100]!r}.",
                            retryable=True,
                        )
                    case End():
                        self.spoken.cut = chunk.reason == "length"
                        return
        finally:
            self._chunks = None
            chunks.close()
