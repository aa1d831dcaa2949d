"""From the thread in which a turn runs to the event loop that holds its caller's connection."""

import asyncio
import logging
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from cueline.engine.call import Delta
from cueline.engine.inline import Caller
from cueline.engine.model import TextDelta, ThinkingDelta
from cueline.errors import CuelineError, unexpected
from cueline.log.events import Recorded

logger = logging.getLogger(__name__)

COALESCE = 0.05
"""Seconds between two frames of deltas; the first goes at once."""
HEARTBEAT = 15.0
"""Seconds of silence after which a stream shows that it is alive."""

Said = Delta | Recorded


class OutOfTimeError(Exception):
    """The caller waits no longer."""


@dataclass(slots=True)
class Relay:
    """Runs a waiting input in a thread of its own, which goes on when the caller has gone.

    Must be made in the event loop.
    """

    caller: Caller
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)
    _said: deque[Said] = field(default_factory=deque)
    _ready: asyncio.Event = field(default_factory=asyncio.Event)
    _signalled: bool = False
    answer: asyncio.Future[list[Recorded]] = field(init=False)
    """Set when the turn has ended; Cueline's errors and bugs alike are set as its exception."""

    def __post_init__(self) -> None:
        self.answer = self._loop.create_future()

    @property
    def unheard(self) -> bool:
        return bool(self._said)

    def start(self, *, listen: bool) -> None:
        """With `listen`, `batches` tells what is said; else only `answer` counts."""

        def work() -> None:
            try:
                result = self.caller.run(self._emit if listen else lambda _: None, heard=listen)
            except Exception as error:
                if not isinstance(error, CuelineError):
                    logger.error("A turn failed inside Cueline", extra=unexpected(error))  # noqa: TRY400
                self._call(self._end, error)
            else:
                self._call(self._end, result)

        threading.Thread(target=work, name="turn", daemon=True).start()

    async def batches(self, seconds: float) -> AsyncIterator[Sequence[Said]]:
        """What was said since the last batch, deltas merged; an empty one is a heartbeat.

        Raises OutOfTimeError after `seconds`; then it may be called again.
        """
        until = self._loop.time() + seconds
        while not self.answer.done() or self.unheard:
            left = until - self._loop.time()
            if left <= 0:
                raise OutOfTimeError
            try:
                await asyncio.wait_for(self._ready.wait(), min(left, HEARTBEAT))
            except TimeoutError:
                yield ()
                continue
            self._ready.clear()
            # Before the queue is emptied: what is said from now on signals again.
            self._signalled = False
            batch = tuple(merged(_drained(self._said)))
            if batch:
                yield batch
            if batch and not isinstance(batch[-1], Recorded):
                await asyncio.wait([self.answer], timeout=COALESCE)

    def _emit(self, what: Said) -> None:
        self._said.append(what)
        if not self._signalled:
            self._signalled = True
            self._call(self._ready.set)

    def _end(self, result: list[Recorded] | Exception) -> None:
        if not self.answer.cancelled():
            if isinstance(result, Exception):
                self.answer.set_exception(result)
                self.answer.exception()  # retrieved, also where nobody is left to ask
            else:
                self.answer.set_result(result)
        self._ready.set()

    def _call(self, do: Callable[..., object], *args: object) -> None:
        # Where the loop is closed, the process ends, and a wake-up takes the turn over.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(do, *args)


def _drained(queue: deque[Said]) -> Iterator[Said]:
    while queue:
        yield queue.popleft()


def merged(said: Iterable[Said]) -> Iterator[Said]:
    """Neighbouring deltas of one kind as one."""
    held: list[TextDelta | ThinkingDelta] = []

    def flush() -> Iterator[Said]:
        if held:
            text = "".join(delta.text for delta in held)
            yield TextDelta(text) if isinstance(held[0], TextDelta) else ThinkingDelta(text)
            held.clear()

    for what in said:
        if not isinstance(what, TextDelta | ThinkingDelta):
            yield from flush()
            yield what
            continue
        if held and type(held[0]) is not type(what):
            yield from flush()
        held.append(what)
    yield from flush()
