"""The list of a session's events, for whoever can hold a connection open: at once, when something
has come, or as a stream."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

import anyio.to_thread

from cueline.doors.access import Access, caller_of
from cueline.doors.triggered_responses import keys
from cueline.doors.triggered_responses.event_wire import ListQuery
from cueline.doors.triggered_responses.listing import Follower
from cueline.doors.triggered_responses.sessions import find
from cueline.doors.triggered_responses.view import View
from cueline.doors.triggered_responses.wire import parse_query
from cueline.engine.ports import Ports
from cueline.errors import CuelineError, SessionNotFound, Unavailable, unexpected

logger = logging.getLogger(__name__)

LOOK_EVERY = 0.25
"""Seconds: 2 request units a second for who waits, and whoever speaks is heard within 0.3."""
HEARTBEAT = 15.0
"""Seconds of silence after which a stream shows that it is alive."""
KEEP_ALIVE = b": keep-alive\n\n"
TIMED_OUT = 504, '{"detail": "Request timed out"}'
"""Status and body of the answer where nothing has come in time."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A session that is there, and what of it is wanted; `events` is what there is already."""

    query: ListQuery
    follower: Follower
    events: list[str]


@dataclass(frozen=True, slots=True)
class Following:
    ports: Ports
    access: Access | None
    wait_seconds: float
    """How long a caller may wait for an answer in JSON, at most."""
    stream_seconds: float
    """And how long a stream may last."""

    def open(
        self, session_id: str, query: Mapping[str, Sequence[str]], headers: Mapping[str, str]
    ) -> Opened:
        """Checks the request; blocks. Raises whatever the caller may see.

        The id is as it stands in the path; header names are lower case.
        """
        caller_of(headers, self.access)
        asked = parse_query(ListQuery, query)
        session, tail = find(self.ports, *keys.session_id_in(session_id))
        follower = Follower(View(self.ports, session, tail.head.state), asked, tail)
        return Opened(asked, follower, [] if asked.sse else follower.listed())

    async def answer(self, opened: Opened, gone: Callable[[], Awaitable[None]]) -> tuple[int, str]:
        """Status and JSON: the events, once there are some, or that there are none in time.

        `gone` ends when the caller goes away.
        """
        events, loop = opened.events, asyncio.get_running_loop()
        until = loop.time() + min(opened.query.wait_for_data, self.wait_seconds)
        if not events and opened.query.wait_for_data > 0:
            left = asyncio.ensure_future(gone())
            try:
                while not events and (seconds := until - loop.time()) > 0:
                    await asyncio.wait([left], timeout=min(seconds, LOOK_EVERY))
                    if left.done():
                        break
                    events = await _looked(opened.follower)
            finally:
                left.cancel()
            if not events:
                return TIMED_OUT
        return 200, f"[{','.join(events)}]"

    async def stream(self, opened: Opened) -> AsyncIterator[bytes]:
        """A frame for each event, until none has come for as long as the caller waits."""
        loop, follower = asyncio.get_running_loop(), opened.follower
        ends_at = loop.time() + self.stream_seconds
        try:
            pages = follower.stored()
            while (page := await anyio.to_thread.run_sync(next, pages, None)) is not None:
                yield frames(page)
            said_at = beat_at = loop.time()
            while loop.time() < min(ends_at, said_at + opened.query.wait_for_data):
                await asyncio.sleep(LOOK_EVERY)
                if events := await _looked(follower):
                    yield frames(events)
                    said_at = beat_at = loop.time()
                elif loop.time() - beat_at >= HEARTBEAT:
                    yield KEEP_ALIVE
                    beat_at = loop.time()
        except SessionNotFound:
            return  # it has ended, and so does the stream
        except CuelineError as error:
            logger.warning("A stream of events was cut", extra=unexpected(error))


def frames(events: Sequence[str]) -> bytes:
    """Nothing but the data: this door's events have their kinds in themselves."""
    return b"".join(f"data: {event}\n\n".encode("ascii") for event in events)


async def _looked(follower: Follower) -> list[str]:
    """In a thread, for as long as the look takes and not for as long as the caller waits."""
    try:
        return await anyio.to_thread.run_sync(follower.look)
    except Unavailable as error:  # the next look may go through
        logger.warning("A look at the log was lost", extra=unexpected(error))
        return []
