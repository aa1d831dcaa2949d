"""`conversation(events)`: the log as a model provider accepts it, at every possible cut point."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from cueline.log.events import (
    Answered,
    AsideBegan,
    Input,
    InputsTaken,
    Recorded,
    ToolInput,
    ToolOutput,
    TurnAbandoned,
    TurnBegan,
    TurnFailed,
    TurnHandedOver,
    TurnInterrupted,
    TurnSuspended,
)

CUT_OFF = "This call was cut off; whether it had an effect is unknown."
UNSAYABLE = ("context_limit_exceeded", "model_refused")
"""Codes of turns whose inputs the provider does not take, whatever comes after them."""
WAITING = "This call waits for approval; it has not run."


@dataclass(frozen=True, slots=True)
class Said:
    """A message. `system` is context from the application, never text of its user."""

    role: Literal["user", "assistant", "system"]
    text: str


@dataclass(frozen=True, slots=True)
class Called:
    """A tool call that the model made; `arguments` is a JSON object as text."""

    call: str
    tool: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Returned:
    """The output of the tool call with the same `call`."""

    call: str
    output: str


Item = Said | Called | Returned


@dataclass(slots=True)
class _Block:
    """A turn: the inputs that it took, and what it did."""

    inputs: list[int]
    did: list[Item] = field(default_factory=list)
    open_calls: list[str] = field(default_factory=list)

    def close(self, output: str) -> None:
        """A provider refuses a call without an output, and anything between the two."""
        self.did += [Returned(call, output) for call in self.open_calls]
        self.open_calls.clear()


def conversation(events: Iterable[Recorded], max_bytes: int | None = None) -> tuple[Item, ...]:
    """What was said, in the order of the turns, each input under the turn that took it.

    Inputs that no turn has taken are left out. With `max_bytes`, whole turns are dropped from
    the oldest on until the rest fits; the newest always stays.
    """
    said: dict[int, Input] = {}
    blocks = _blocks(events, said)
    rendered = [_render(block, said) for block in blocks]
    if max_bytes is not None:
        rendered = _newest(rendered, max_bytes)
    return tuple(item for items in rendered for item in items)


def size(item: Item) -> int:
    """UTF-8 bytes, with a little for the provider's wrapping."""
    match item:
        case Said():
            return len(item.text.encode()) + 16
        case Called():
            return len(item.arguments.encode()) + len(item.tool) + 32
        case Returned():
            return len(item.output.encode()) + 32


def _blocks(events: Iterable[Recorded], said: dict[int, Input]) -> list[_Block]:
    blocks: dict[str, _Block] = {}
    inherited: dict[int, list[Item]] = {}  # first input of a dead turn -> what it did
    for recorded in events:
        event = recorded.event
        if isinstance(event, Input):
            said[recorded.offset] = event
            continue
        if isinstance(event, TurnBegan | AsideBegan):
            did = [item for offset in event.inputs for item in inherited.pop(offset, [])]
            blocks[event.turn] = _Block(list(event.inputs), did)
            continue
        turn = getattr(event, "turn", "")
        if not (block := blocks.get(turn)):
            continue  # it began before the window, or it was closed
        match event:
            case InputsTaken():
                block.close(CUT_OFF)
                block.inputs += event.inputs
                block.did += [item for o in event.inputs for item in _messages(said.get(o))]
                for offset in event.inputs:
                    said.pop(offset, None)  # placed
            case ToolInput() if event.call not in block.open_calls:
                # Parallel calls stand together, before the first output.
                if block.did and isinstance(block.did[-1], Returned):
                    block.close(CUT_OFF)
                block.did.append(Called(event.call, event.tool, event.arguments))
                block.open_calls.append(event.call)
            case ToolOutput() if event.call in block.open_calls:
                block.open_calls.remove(event.call)
                block.did.append(Returned(event.call, event.output))
            case TurnFailed() if event.code in UNSAYABLE and not event.text:
                # Sent again, it would fail every later turn as well.
                del blocks[turn]
            case Answered() | TurnFailed() | TurnInterrupted():
                block.close(CUT_OFF)
                if event.text:
                    block.did.append(Said("assistant", event.text))
            case TurnSuspended():
                block.close(WAITING)
            case TurnAbandoned() | TurnHandedOver():
                del blocks[turn]
                if block.inputs:
                    block.close(CUT_OFF)
                    inherited[block.inputs[0]] = block.did
    return list(blocks.values())


def _render(block: _Block, said: dict[int, Input]) -> list[Item]:
    block.close(CUT_OFF)
    inputs = [item for offset in sorted(block.inputs) for item in _messages(said.get(offset))]
    return inputs + block.did


def _messages(event: Input | None) -> list[Item]:
    return [Said(event.source, text) for text in event.texts if text] if event else []


def _newest(rendered: Sequence[list[Item]], max_bytes: int) -> list[list[Item]]:
    kept: list[list[Item]] = []
    for items in reversed(rendered):
        max_bytes -= sum(size(item) for item in items)
        if kept and max_bytes < 0:
            break
        kept.append(items)
    return kept[::-1]
