"""What tools may do, judged by the log and by the ledger, in which each run has left a line."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from cueline.log.events import Answered, Finished, Input, ToolInput, ToolOutput, TurnBegan
from tests.reliability.evidence import Log

REPEATABLE = {"note"}
"""Of `driver.TOOLS`: what may run twice for one call."""


@dataclass
class Call:
    tool: str
    approval: bool = False
    entry: str = ""
    """What it writes into the ledger, if it runs."""
    inputs: set[int] = field(default_factory=set)
    verdicts: list[str] = field(default_factory=list)
    outputs: list[ToolOutput] = field(default_factory=list)

    @property
    def line(self) -> str:
        return f"{self.tool} {self.entry}"

    @property
    def allowed(self) -> bool:
        refused = any(output.refused for output in self.outputs)
        asked = not self.approval or self.verdicts in (["approve"], ["edit"])
        return asked and not refused


def of_tools(logs: Sequence[Log], ledger: Sequence[str]) -> Iterator[str]:
    lines, allowed, done = Counter(ledger), Counter[str](), Counter[str]()
    for log in logs:
        calls, answered = read(log)
        for name, call in calls.items():
            allowed[call.line] += call.allowed
            done[call.line] += any(not output.error for output in call.outputs)
            where = f"{call.line!r} ({name}) [{log.session}/{log.incarnation}]"
            if len(call.outputs) > 1:
                yield f"P3 output: {where} has {len(call.outputs)} outputs"
            if call.inputs & answered and not call.outputs:
                yield f"P3 output: {where} has none, and its input was answered"
    for line, times in lines.items():
        if not allowed[line]:
            yield f"P3 allowed: {line!r} was run, and no call in any log allows that"
        if times > allowed[line] and line.partition(" ")[0] not in REPEATABLE:
            yield f"P3 tool once: {line!r} was run {times} times for {allowed[line]} calls"
    for line, times in done.items():
        if lines[line] < times:
            yield f"P3 output: {line!r} was done {times} times, and {lines[line]} are written down"


def read(log: Log) -> tuple[dict[str, Call], set[int]]:
    """The calls of tools that there are, and the inputs that were answered."""
    calls: dict[str, Call] = {}
    begun: dict[str, tuple[int, ...]] = defaultdict(tuple)
    answered: set[int] = set()
    for recorded in log.recorded:
        match recorded.event:
            case TurnBegan(turn=turn, inputs=inputs):
                begun[turn] = inputs
            case Input(call=name, decision=decision) if decision and name in calls:
                calls[name].verdicts.append(decision.verdict)
            case ToolInput() as made if made.configuration:
                call = calls.setdefault(made.call, Call(made.tool, made.approval))
                call.entry = str(json.loads(made.arguments).get("entry", ""))
                call.inputs.update(begun[made.turn])
            case ToolOutput() as output if output.call in calls:
                calls[output.call].outputs.append(output)
            case Answered(inputs=inputs) | Finished(inputs=inputs):
                answered.update(inputs)
    return calls, answered
