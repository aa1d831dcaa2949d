"""One call of the model: asked, heard to its end, ended from outside."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal

from cueline.engine.guidelines import Markers
from cueline.engine.model import (
    CallMade,
    Chunks,
    End,
    Model,
    ModelRequest,
    TextDelta,
    ThinkingDelta,
    Usage,
)
from cueline.engine.prompt import estimated_tokens, tokens_of
from cueline.errors import CuelineError, ModelError

SMALLEST_WINDOW = 1_000
"""Bytes of conversation below which a model that still finds it too long is believed."""


@dataclass(frozen=True, slots=True)
class Restarted:
    """The model is asked again: what it thought so far is not what it will have thought."""


@dataclass(frozen=True, slots=True)
class CompactionStarted:
    """The oldest turns are being summed up; what is said next comes later than usual."""


Delta = ThinkingDelta | TextDelta | Restarted | CompactionStarted
Emit = Callable[[Delta], None]
"""Told what the turn says, as it says it."""
Build = Callable[[int], ModelRequest]
"""From the bytes of conversation that fit to the request."""


@dataclass(slots=True)
class Spoken:
    """What the model has said so far in this call."""

    thinking: list[str] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    calls: list[CallMade] = field(default_factory=list)
    cut: bool = False
    markers: Markers | None = None
    """Where the answer may have any: they are no part of its text."""
    usage: Usage | None = None

    @property
    def anything(self) -> bool:
        return bool(self.thinking or self.text or self.calls)


@dataclass(slots=True)
class Call:
    model: Callable[[], Model]
    deadline: float
    """Seconds on the monotonic clock."""
    emit: Emit
    purpose: Literal["answer", "compaction"] = "answer"
    plain: bool = True
    """What it says is for people: they are told, also where it is cut off."""
    spoken: Spoken = field(default_factory=Spoken)
    closed: bool = False
    request: ModelRequest | None = None
    """What was asked in the end."""
    failure: CuelineError | None = None
    asked: bool = False
    """The provider may have heard of it."""
    counted: bool = False
    """What it took is in the log."""
    _chunks: Chunks | None = None

    def make(self, build: Build, window: int, *, shrink: bool = True) -> None:
        """Fills `spoken`; raises ModelError. `window` is in bytes of conversation.

        With `shrink`, a model whose own limit is smaller is asked again without the oldest turns.
        """
        self.request = build(window)
        while True:
            try:
                return self._hear(self.model().stream(self.request, self.deadline))
            except ModelError as error:
                too_long = error.kind == "context_limit_exceeded" and not self.spoken.text
                if not (too_long and shrink):
                    raise
                shorter = self.request
                while shorter.items == self.request.items and window > SMALLEST_WINDOW:
                    window //= 2
                    shorter = build(window)
                if shorter.items == self.request.items:
                    raise
                self.request = shorter

    def usage(self) -> tuple[Usage, bool]:
        """The tokens that it took, and whether that is an estimate."""
        if self.spoken.usage:
            return self.spoken.usage, False
        said = "".join([*self.spoken.text, *(c.arguments for c in self.spoken.calls)])
        thought = estimated_tokens("".join(self.spoken.thinking)) if self.spoken.thinking else 0
        asked = tokens_of(self.request) if self.request else 0
        return Usage(asked, estimated_tokens(said) + thought, thought), True

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
                        self._say(chunk)
                    case ThinkingDelta():
                        self.spoken.thinking.append(chunk.text)
                        self.emit(chunk)
                    case CallMade():
                        self.spoken.calls.append(chunk)
                    case Usage():
                        self.spoken.usage = chunk
                    case End():
                        self.spoken.cut = chunk.reason == "length"
                        if self.spoken.markers and (rest := self.spoken.markers.rest()):
                            self._tell(TextDelta(rest))
                        return
        finally:
            self._chunks = None
            chunks.close()

    def _say(self, said: TextDelta) -> None:
        if not self.spoken.markers:
            self._tell(said)
        elif text := self.spoken.markers.feed(said.text):
            self._tell(TextDelta(text))

    def _tell(self, said: TextDelta) -> None:
        self.spoken.text.append(said.text)
        self.emit(said)
