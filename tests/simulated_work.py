"""What the turns of a simulated world work with: a model, and tools that remember what they did.

Each call has a number that no other call has; it stands in the call's arguments, edited or not.
"""

import json
import re
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from random import Random
from typing import Any

from cueline.adapters.openai import chat, responses
from cueline.engine.agent import Agent
from cueline.engine.compaction import INSTRUCTIONS
from cueline.engine.model import CallMade, Chunk, End, ModelRequest, Said, TextDelta
from cueline.engine.ports import Clock
from cueline.engine.prompt import INVOKE_SKILL
from cueline.engine.tooling import ToRun
from cueline.engine.tools import ToolResult, ToolSpec
from cueline.errors import ModelError
from cueline.log.events import ToolInput
from cueline.log.segment import Session
from cueline.log.triggers import SILENCE
from tests.fourth_door import EVENT
from tests.history import problems_of_chat, problems_of_responses
from tests.simulation import Killed, Process, World

TOOLS = {
    "look": (False, True),
    "pay": (False, False),
    "refund": (True, False),
    "book": (True, True),
}
"""Name -> whether somebody must approve each call, and whether a call may be repeated."""
SKILL = "manners"
SUMMARY_WORD = "summary "
"""Of which all summaries consist, and no answer."""
STILL_AT_WORK = "Say that you are still at work."
"""What hosts ask for by themselves while tools run."""


def number_in(arguments: str) -> int:
    """The call's own, also where the arguments are no JSON."""
    found = re.search(r'"n": (\d+)', arguments)
    assert found, arguments
    return int(found[1])


@dataclass(frozen=True)
class Ran:
    """A tool has run, when its session's log had so many events."""

    number: int
    tool: str
    arguments: str
    incarnation: int
    head: int


@dataclass
class Workplace:
    """The same for all processes of a world."""

    world: World
    head: Callable[[int], int]
    """Incarnation -> how many events its log has."""
    poison: set[str] = field(default_factory=set)
    """What kills every process that asks a model about it."""
    ran: list[Ran] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    """Why a provider would have refused what it was asked."""
    numbers: Iterator[int] = field(default_factory=count)

    def __post_init__(self) -> None:
        r = self.world.random
        self.dice = Random(f"{self.world.seed} work")
        """For what only events of the fourth door have to do with."""
        self.busy = r.choice([0.0, 0.2, 0.5, 0.7])
        """How often the model calls tools."""
        self.anew = r.random() < 0.5
        """It numbers its calls anew in each answer, as small servers do."""


@dataclass
class Model:
    """Slow, sometimes failing; what is poisonous kills whoever asks about it."""

    work: Workplace
    me: Process

    def stream(self, request: ModelRequest, deadline: float) -> Generator[Chunk, None, None]:
        world, r = self.work.world, self.work.world.random
        self.work.refused += problems_of_chat(chat._body(request))
        self.work.refused += problems_of_responses(responses._body(request))
        last = {item.text for item in request.items[-1:] if isinstance(item, Said)}
        asked = next((text for text in last if SILENCE in text), "")
        if STILL_AT_WORK in asked and request.tools:
            self.work.refused.append("a turn is asked to buy time for itself")
        silent = asked and r.random() < 0.2
        for chunk in [TextDelta(SILENCE)] if silent else self._answer(request):
            self.me.pause()
            if r.random() < 0.3:
                self.me.sleep(r.uniform(0, 70))
            if last & self.work.poison or any(f"- {p}" in asked for p in self.work.poison):
                raise Killed
            if world.storm and (r.random() < 0.05 or self._fails(last)):
                raise ModelError("model_unavailable", "Down.", retryable=True)
            yield chunk
        yield End("stop")

    def _fails(self, asked: Iterable[str]) -> bool:
        events = any(text.startswith(EVENT) for text in asked)
        return events and self.work.dice.random() < 0.6

    def _answer(self, request: ModelRequest) -> list[Chunk]:
        r, tools = self.work.world.random, [tool.name for tool in request.tools]
        sums_up = request.instructions.startswith(INSTRUCTIONS)
        word = SUMMARY_WORD if sums_up else "word "
        said: list[Chunk] = [TextDelta(word) for _ in range(r.randint(1, 4))]
        if sums_up or not tools or r.random() > self.work.busy:
            return said
        many = 20 if r.random() < 0.02 else r.choice([1, 1, 2, 3])
        calls = [self._call(n, r.choice([*tools, *tools, "no_such"])) for n in range(many)]
        return [*said[: r.choice([0, 1])], *calls]

    def _call(self, place: int, tool: str) -> CallMade:
        r, number = self.work.world.random, next(self.work.numbers)
        call = f"call_{place * (r.random() < 0.9)}" if self.work.anew else f"c{number}"
        more = {"skill_name": SKILL} if tool == INVOKE_SKILL else {}
        if r.random() < 0.05:
            more["bad"] = "yes"
        arguments = json.dumps({"n": number, **more})
        return CallMade(call, tool, arguments[: -1 if r.random() < 0.03 else None])


@dataclass
class Toolbox:
    """The tools as one process has them."""

    work: Workplace
    me: Process

    def specs(self, agent: Agent, session: Session) -> Sequence[ToolSpec]:
        return [
            ToolSpec(
                name=name,
                configuration=name,
                tool=name,
                description="",
                parameters={},
                timeout=60.0,
                approval=approval,
                repeatable=repeatable,
                run=self._tool(name, session.incarnation),
            )
            for name, (approval, repeatable) in TOOLS.items()
        ]

    def problem(self, schema: Mapping[str, Any], value: Any) -> str | None:
        return "bad." if "bad" in value else None

    def _tool(
        self, name: str, incarnation: int
    ) -> Callable[[Mapping[str, Any], float], ToolResult]:
        def run(arguments: Mapping[str, Any], seconds: float) -> ToolResult:
            r, given = self.work.world.random, json.dumps(dict(arguments))
            head = self.work.head(incarnation)
            self.work.ran.append(Ran(arguments["n"], name, given, incarnation, head))
            if self.work.world.storm and r.random() < 0.03:
                raise Killed  # it takes its process with it
            return ToolResult(f"{name} {arguments['n']}", error=r.random() < 0.1)

        return run


def beside(
    calls: Sequence[ToRun], clock: Clock, deadline: float, wanted: Callable[[], bool]
) -> Iterator[list[tuple[ToolInput, ToolResult]]]:
    """Stands for `run_beside`, with its tools in the process's own steps, in any order.

    All are run, as they would have been started; one that takes too long is told to have.
    """
    me: Process = clock.process  # type: ignore[attr-defined]
    r, found = me.world.random, list[tuple[ToolInput, ToolResult]]()
    for call in r.sample(calls, len(calls)):
        me.pause()
        until = min(clock.monotonic() + call.spec.timeout, deadline)
        result = call.spec.run(json.loads(call.input.arguments), until - clock.monotonic())
        me.pause()
        if r.random() < 0.3:
            me.sleep(r.uniform(0, 80))
        if clock.monotonic() > until:
            result = ToolResult("too late", error=True)
        found.append((call.input, result))
        if r.random() < 0.5 and wanted():
            yield found
            found = []
    if found and wanted():
        yield found
