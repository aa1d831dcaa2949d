"""`conversation(events)`: the log as a model provider accepts it, at every possible cut point."""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from cueline.log.events import (
    Answered,
    AsideBegan,
    Compacted,
    Finished,
    Input,
    InputsFailed,
    InputsTaken,
    InputsWithdrawn,
    PartlyAnswered,
    Posted,
    Recorded,
    SkillLoaded,
    Spoke,
    StepChanged,
    ToolInput,
    ToolOutput,
    TurnAbandoned,
    TurnBegan,
    TurnFailed,
    TurnHandedOver,
    TurnInterrupted,
    TurnPostponed,
    TurnSuspended,
)
from cueline.log.remaining import remaining
from cueline.log.triggers import told

CUT_OFF = "This call was cut off; whether it had an effect is unknown."
BEFORE = "[This was said to the user in your name, before they said anything:]\n"
RUNNING = "This call is running; it has no output yet."
UNSAYABLE = ("context_limit_exceeded", "model_refused")
"""Codes of turns whose inputs the provider does not take, whatever comes after them."""
WAITING = "This call waits for approval; it has not run."
DECIDED = "This call waited for approval; what became of it stands further on."
UNDECIDED = "This call waited for approval, and ended without it; it has not run."
SUMMARY = "Summary of the conversation so far, of which the older messages are left out:\n\n"
LONGEST_CALL = 40
"""Characters of a call's id that every provider takes."""


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
_ENDS = (Answered, Finished, TurnFailed, TurnInterrupted, InputsFailed, InputsWithdrawn)
_ENDINGS = (Answered, Finished, TurnFailed, TurnInterrupted, TurnSuspended)


@dataclass(slots=True)
class _Block:
    """A turn: the inputs that it began with, and what it did; an offset is an input it took."""

    inputs: list[int]
    did: list[Item | int] = field(default_factory=list)
    open_calls: list[str] = field(default_factory=list)
    ended: bool = False
    hidden_calls: set[str] = field(default_factory=set)
    """A call and its output are shown together, or not at all."""
    waiting: list[str] = field(default_factory=list)
    """Calls that it was suspended with."""
    inherited: set[str] = field(default_factory=set)
    """Calls that a dead turn was making."""
    aside: bool = False
    """It is beside another."""
    posted: bool = False
    """It is what somebody said whom the agent does not answer."""

    def said(self, recorded: Recorded, text: str, role: Literal["assistant", "user"]) -> None:
        if text and not recorded.mark:
            self.did.append(Said(role, text))

    def called(self, event: ToolInput) -> None:
        # Parallel calls stand together, before the first output: also with one that was decided on.
        place = len(self.did)
        while self.open_calls and not isinstance(self.did[place - 1], Called):
            place -= 1
        self.did.insert(place, Called(event.call, event.tool, event.arguments))
        self.open_calls.append(event.call)

    def returned(self, call: str, output: str) -> None:
        self.open_calls.remove(call)
        self.did.append(Returned(call, output))

    @property
    def called_any(self) -> bool:
        """What a tool has done must not be forgotten."""
        return any(isinstance(item, Called) for item in self.did)

    def no_longer_waits(self, later: set[str]) -> None:
        """What it was suspended for has ended; `later` are calls that were taken up again."""
        for n, item in enumerate(self.did):
            if isinstance(item, Returned) and item.output == WAITING and item.call in self.waiting:
                self.did[n] = Returned(item.call, DECIDED if item.call in later else UNDECIDED)

    def shown(self) -> list[Item | int]:
        return [
            item
            for item in self.did
            if not (isinstance(item, Called | Returned) and item.call in self.hidden_calls)
        ]

    def close(self, output: str) -> None:
        """A provider refuses a call without an output, and anything between the two."""
        self.did += [Returned(call, output) for call in self.open_calls]
        self.open_calls.clear()


def conversation(
    events: Iterable[Recorded], max_bytes: int | None = None, asked: str = ""
) -> tuple[Item, ...]:
    """What was said, in the order of the turns, each input under the turn that took it.

    That is the order of their ends, and those that run come last: they go on. It begins with the
    newest compaction's summary. Inputs that no turn has taken are left out, what somebody has
    hidden, and an answer in front whose inputs are not among the events. With `max_bytes`, whole
    turns are dropped from the oldest on until the rest fits; the summary and the newest input
    always stay. Where the turn `asked` is to go on, an aside that runs beside it is left out: the
    last word is what it answers.
    """
    summary, events = since_compaction(events)
    said: dict[int, Input] = {}
    blocks = [
        b for turn, b in _blocks(events, said) if b.ended or not b.aside or asked in ("", turn)
    ]
    calls = _Calls()
    rendered = [calls.named(_render(block, said)) for block in blocks]
    if max_bytes is not None:
        rendered = _newest(rendered, max_bytes - sum(map(size, summary)))
    items = [item for items in rendered for item in items]
    start = next((n for n, item in enumerate(items) if _is_input(item)), 0)
    before = [item.text for item in _spoken_before(blocks, items[:start])]
    noted = (Said("user", BEFORE + "\n\n".join(before)),) if before else ()
    return (*summary, *noted, *items[start:])


def _spoken_before(blocks: Sequence[_Block], first: Sequence[Item]) -> Iterator[Said]:
    """What was said in the agent's name before anybody said anything to it."""
    posted = {id(item) for block in blocks if block.posted for item in block.did}
    for item in first:
        if isinstance(item, Said) and id(item) in posted:
            yield item


def since_compaction(events: Iterable[Recorded]) -> tuple[tuple[Said, ...], Sequence[Recorded]]:
    """The newest summary as a message, if there is one; and all that it does not stand for."""
    events = remaining(events)
    for recorded in reversed(events):
        if isinstance(compacted := recorded.event, Compacted) and not recorded.mark:
            summary = Said("user", SUMMARY + compacted.summary)
            return (summary,), [r for r in events if not compacted.covers(r.offset)]
    return (), events


def size(item: Item) -> int:
    """UTF-8 bytes, with a little for the provider's wrapping."""
    match item:
        case Said():
            return len(item.text.encode()) + 16
        case Called():
            return len(item.arguments.encode()) + len(item.tool) + 32
        case Returned():
            return len(item.output.encode()) + 32


def _blocks(events: Iterable[Recorded], said: dict[int, Input]) -> list[tuple[str, _Block]]:
    blocks: dict[str, _Block] = {}
    inherited: dict[int, _Block] = {}  # each input of a dead turn that asks -> what that did
    suspended: list[_Block] = []
    again: set[str] = set()  # calls that were taken up
    for recorded in events:
        event = recorded.event
        if isinstance(event, Posted):
            blocks[f"posted at {recorded.offset}"] = _posted(recorded, event)
            continue
        if suspended and isinstance(event, _ENDS):
            for over in [b for b in suspended if set(b.inputs) & set(event.inputs)]:
                over.no_longer_waits(again)
                suspended.remove(over)
        if isinstance(event, ToolInput) and any(event.call in b.waiting for b in suspended):
            again.add(event.call)
        if isinstance(event, Input):
            said[recorded.offset] = event if not recorded.mark else Input()
            continue
        if isinstance(event, InputsFailed) and event.retryable:
            # A turn had heard them.
            blocks[f"failed at {recorded.offset}"] = _Block([*event.inputs], ended=True)
            continue
        if isinstance(event, TurnBegan | AsideBegan):
            blocks[event.turn] = _begun(event.inputs, inherited)
            blocks[event.turn].aside = isinstance(event, AsideBegan)
            continue
        turn = getattr(event, "turn", "")
        if not (block := blocks.get(turn)):
            continue  # it began before the window, or it was closed
        if recorded.mark and isinstance(event, ToolInput | ToolOutput | SkillLoaded):
            block.hidden_calls.add(event.call)
        match event:
            case InputsTaken():
                block.close(CUT_OFF)
                block.did += event.inputs
            case ToolInput() if event.call not in block.open_calls:
                block.called(event)
            case ToolOutput() if event.call in block.open_calls:
                block.returned(event.call, event.output)
            case SkillLoaded() if event.call in block.open_calls:
                block.returned(event.call, event.content)
            case SkillLoaded():
                block.close(CUT_OFF)
                block.said(recorded, f"Skill {event.skill}:\n\n{event.content}", "user")
            case StepChanged():
                block.close(CUT_OFF)
                block.said(recorded, handoff(event), "user")
            case Finished():
                # What nobody has followed is nothing that the model should read again.
                block.inputs = [o for o in block.inputs if o in said and not said[o].trigger]
            case TurnFailed() if event.code in UNSAYABLE and not (event.text or block.called_any):
                # Sent again, it would fail every later turn as well.
                del blocks[turn]
            case TurnInterrupted():
                block.close(CUT_OFF)
            case Answered() | Spoke() | TurnFailed() | PartlyAnswered():
                block.close(CUT_OFF)
                block.said(recorded, event.text, "assistant")
            case TurnSuspended():
                block.waiting = block.open_calls[:]
                block.close(WAITING)
                suspended.append(block)
            case TurnAbandoned() | TurnHandedOver() | TurnPostponed():
                del blocks[turn]
                # What it took on its way waits again, and is taken again.
                taken = [*block.inputs, *(item for item in block.did if isinstance(item, int))]
                asked = [o for o in taken if o not in said or said[o].policy != "silent"]
                block.did = [item for item in block.did if not isinstance(item, int)]
                inherited.update(dict.fromkeys(asked or taken, block))
        if isinstance(event, _ENDINGS) and turn in blocks:
            block.ended = True
            blocks[turn] = blocks.pop(turn)
    return sorted(blocks.items(), key=lambda block: not block[1].ended)


def _posted(recorded: Recorded, event: Posted) -> _Block:
    """What somebody said whom the agent does not answer."""
    block = _Block([], ended=True, posted=True)
    if event.kind == "message":
        text = event.text
        if event.source == "person" and text:
            name = event.participant.display_name if event.participant else "A person"
            text = f"[{name}, who works beside you, says to the user:]\n{text}"
        block.said(recorded, text, "assistant" if event.source == "on_behalf" else "user")
    return block


def _begun(inputs: Sequence[int], inherited: dict[int, _Block]) -> _Block:
    """Of what was taken together, and is taken apart, the first goes on with what was done."""
    block = _Block(list(inputs))
    found = [inherited[offset] for offset in inputs if offset in inherited]
    for dead in {id(one): one for one in found}.values():
        for offset in [o for o, one in inherited.items() if one is dead]:
            del inherited[offset]
        block.did += dead.did
        block.open_calls += dead.open_calls
        block.inherited |= {*dead.open_calls, *dead.inherited}
        block.hidden_calls |= dead.hidden_calls
    return block


def handoff(event: StepChanged) -> str:
    """What the model is told when it goes on in another step."""
    return f"[Step `{event.from_step}` is done. Go on with step `{event.to_step}`.]"


def _render(block: _Block, said: dict[int, Input]) -> list[Item]:
    if not block.ended:
        # Only an aside sees calls that run.
        runs = [call for call in block.open_calls if call not in block.inherited]
        for call in runs:
            block.returned(call, RUNNING)
    block.close(CUT_OFF)
    items: list[Item] = []
    for step in (*sorted(block.inputs), *block.shown()):
        items += _messages(said.get(step)) if isinstance(step, int) else [step]
    return items


def _is_input(item: Item) -> bool:
    return isinstance(item, Said) and item.role != "assistant"


class _Calls:
    """Tool calls as every provider takes them back, whatever a model once wrote.

    Ids are unique in a request; names and arguments have a form. A provider that refuses one call
    in the log would refuse every later turn.
    """

    def __init__(self) -> None:
        self._used: set[str] = set()

    def named(self, items: list[Item]) -> list[Item]:
        names: dict[str, str] = {}
        for n, item in enumerate(items):
            if isinstance(item, Called):
                names[item.call] = self._unique(item.call)
                tool = re.sub(r"[^a-zA-Z0-9_-]", "_", item.tool)[:64] or "unknown"
                items[n] = Called(names[item.call], tool, _object(item.arguments))
            elif isinstance(item, Returned):
                items[n] = Returned(names[item.call], item.output)
        return items

    def _unique(self, call: str) -> str:
        n = len(self._used)
        while not call or call in self._used or len(call) > LONGEST_CALL:
            call, n = f"call_{n}", n + 1
        self._used.add(call)
        return call


def _object(arguments: str) -> str:
    """The JSON object that `arguments` is, or one that shows what it is instead."""
    try:
        value = json.loads(arguments, parse_constant=_no_json)
    except (ValueError, RecursionError):
        value = None
    return arguments if isinstance(value, dict) else json.dumps({"invalid": arguments})


def _no_json(constant: str) -> None:
    raise ValueError(constant)


def _messages(event: Input | None) -> list[Item]:
    if not event:
        return []
    if event.trigger:
        return [Said("user", told(event.trigger, beside=event.policy == "aside"))]
    note = event.decision.note if event.decision and event.decision.verdict != "reject" else ""
    said: list[Item] = [Said(event.source, text) for text in event.texts if text]
    return [*said, Said("system", note)] if note else said


def _newest(rendered: Sequence[list[Item]], max_bytes: int) -> list[list[Item]]:
    kept: list[list[Item]] = []
    asked = False
    for items in reversed(rendered):
        max_bytes -= sum(size(item) for item in items)
        if asked and max_bytes < 0:
            break
        kept.append(items)
        asked = asked or any(map(_is_input, items))
    return kept[::-1]
