"""The model port: what the engine asks of a model provider, and the chunks that come back."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

from cueline.engine.agent import OutputSchema
from cueline.log.conversation import Called, Item, Returned, Said

__all__ = ["Called", "Item", "Returned", "Said"]

# --- what is asked ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may call; `parameters` is its JSON Schema."""

    name: str
    description: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One model call. `parameters` are passed to the provider as they are (temperature, ...)."""

    model: str
    instructions: str
    items: tuple[Item, ...]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    tools: tuple[Tool, ...] = ()
    output: OutputSchema | None = None
    """The answer shall be JSON in this form; a provider may not hold to it."""

    def saying(self, *more: Said) -> "ModelRequest":
        """The same with more messages at the end."""
        return replace(self, items=(*self.items, *more)) if more else self


# --- what comes back -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ThinkingDelta:
    text: str


@dataclass(frozen=True, slots=True)
class TextDelta:
    text: str


@dataclass(frozen=True, slots=True)
class CallMade:
    """A whole tool call, after its last argument delta."""

    call: str
    tool: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of this call, as the provider counts them."""

    input_tokens: int
    output_tokens: int
    reasoning_tokens: int = 0


@dataclass(frozen=True, slots=True)
class End:
    """The last chunk of every complete answer; `length` means that the token limit cut it."""

    reason: Literal["stop", "length", "tool_calls"]


Chunk = ThinkingDelta | TextDelta | CallMade | Usage | End


class Chunks(Iterator[Chunk], Protocol):
    """The chunks of one answer as they come; the last is `End`."""

    def close(self) -> None:
        """Ends the answer at once and closes its connection, also while another thread waits."""


class Model(Protocol):
    """A provider. Raises ModelError, and nothing else, for whatever the provider does."""

    def stream(self, request: ModelRequest, deadline: float) -> Chunks:
        """`deadline` is in seconds on the monotonic clock: no read waits beyond it."""
