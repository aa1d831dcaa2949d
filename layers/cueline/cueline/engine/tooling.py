"""Running tool calls beside each other, each for as long as it may take and no longer."""

import logging
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from cueline.engine.ports import Clock
from cueline.engine.tools import ToolResult, ToolSpec
from cueline.errors import unexpected
from cueline.log.events import ToolInput
from cueline.log.strict_json import loads

logger = logging.getLogger(__name__)

TOGETHER = 0.05
"""Seconds for which an output waits for others: they are stored with one write."""
LOOK_EVERY = 0.25
LAST_WORDS = 1.0
"""Seconds before the deadline by which each call has an output, so that it is stored in time."""
UNKNOWN_OUTCOME = (
    "unknown outcome: this call was cut off, and may or may not have had its effect. It is not "
    "run again by itself."
)


@dataclass(frozen=True, slots=True)
class ToRun:
    input: ToolInput
    spec: ToolSpec


def run_beside(
    calls: Sequence[ToRun], clock: Clock, deadline: float, wanted: Callable[[], bool]
) -> Iterator[list[tuple[ToolInput, ToolResult]]]:
    """The results as they come, some at a time; ends early once they are not `wanted` any more.

    `deadline` is in seconds on the monotonic clock: before it each call has a result. A tool that
    does not return in time is left behind in its thread.
    """
    done: queue.SimpleQueue[tuple[ToolInput, ToolResult]] = queue.SimpleQueue()
    waiting: dict[str, _Waiting] = {}
    for call in calls:
        now = clock.monotonic()
        seconds = max(0.1, min(call.spec.timeout, deadline - LAST_WORDS - now))
        waiting[call.input.call] = _Waiting(call.input, seconds, now + seconds)
        work = partial(_work, call, seconds, done)
        threading.Thread(target=work, name="tool", daemon=True).start()
    while waiting and wanted():
        soonest = min(one.until for one in waiting.values())
        found = _some(done, min(LOOK_EVERY, soonest - clock.monotonic()))
        over = clock.monotonic() - LOOK_EVERY
        found += [(w.input, _too_late(w.seconds)) for w in waiting.values() if w.until <= over]
        results = [(given, result) for given, result in found if waiting.pop(given.call, None)]
        if results:
            yield results


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A call that runs: for so many seconds, until then on the monotonic clock."""

    input: ToolInput
    seconds: float
    until: float


def _some(
    done: "queue.SimpleQueue[tuple[ToolInput, ToolResult]]", seconds: float
) -> list[tuple[ToolInput, ToolResult]]:
    found: list[tuple[ToolInput, ToolResult]] = []
    try:
        found.append(done.get(timeout=max(0.01, seconds)))
        while True:
            found.append(done.get(timeout=TOGETHER))
    except queue.Empty:
        return found


def _work(
    call: ToRun, seconds: float, done: "queue.SimpleQueue[tuple[ToolInput, ToolResult]]"
) -> None:
    done.put((call.input, _run(call, seconds)))


def _run(call: ToRun, seconds: float) -> ToolResult:
    try:
        return call.spec.run(loads(call.input.arguments), seconds)
    except Exception as error:
        logger.error("A tool failed inside Cueline", extra=unexpected(error))  # noqa: TRY400
        return ToolResult("The tool failed.", error=True)


def _too_late(seconds: float) -> ToolResult:
    return ToolResult(
        f"The tool did not answer within {seconds:.3g} seconds; it may still have its effect.",
        error=True,
    )
