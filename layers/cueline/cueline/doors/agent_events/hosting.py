"""Posting an event: the caller waits, in JSON or on a stream, while its turn runs in a thread."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from cueline.doors.access import Access, caller_of
from cueline.doors.agent_events import sse
from cueline.doors.agent_events.arrivals import arrival, check_skills
from cueline.doors.agent_events.events import TRANSIENT, told
from cueline.doors.agent_events.keys import agent_key_in, session_key_in
from cueline.doors.agent_events.post import PostedInterrupt, parse_post
from cueline.doors.agent_events.stream import Frames, failure
from cueline.doors.idempotency import digest, idempotency_key
from cueline.doors.relay import OutOfTimeError, Relay
from cueline.engine.append import IdempotencyKey, Writer
from cueline.engine.inline import Caller, Inline
from cueline.engine.interrupt import interrupt
from cueline.engine.ports import Ports
from cueline.engine.sessions import missing
from cueline.engine.window import ends
from cueline.errors import (
    CuelineError,
    Forbidden,
    InvalidRequest,
    Unavailable,
    unexpected,
)
from cueline.log.events import InputsFailed, Recorded, TurnFailed
from cueline.log.segment import Session

logger = logging.getLogger(__name__)

LAST_SECONDS = 10.0
"""For what is still to be said of an input that ended just when its caller's time did."""


@dataclass(frozen=True, slots=True)
class Post:
    """One request. Header names are lower case; the keys are as they stand in the path."""

    agent_key: str
    session_key: str
    headers: Mapping[str, str]
    body: bytes
    request_id: str


@dataclass(frozen=True, slots=True)
class Open:
    """An accepted message, whose caller waits."""

    stream: bool
    session: Session
    caller: Caller
    until: float
    """Seconds on the monotonic clock: how long the answer may take."""


@dataclass(frozen=True, slots=True)
class Told:
    """What has its answer already."""

    stream: bool
    session: Session
    events: Sequence[Recorded]


@dataclass(frozen=True, slots=True)
class Hosting:
    ports: Ports
    access: Access | None
    inline: Inline
    wait_seconds: float
    """How long an answer in JSON may take."""
    stream_seconds: float
    """And one on a stream: what the platform leaves it, less what its end takes."""

    def open(self, post: Post) -> Open | Told:
        """Checks the request and takes it in; blocks. Raises whatever the caller may see."""
        started = self.ports.clock.monotonic()
        caller = caller_of(post.headers, self.access)
        agent_key = agent_key_in(post.agent_key)
        session_key = session_key_in(post.session_key)
        key = idempotency_key(post.headers)
        posted = parse_post(post.body, post.headers.get("content-type", ""))
        limit = self.stream_seconds if posted.stream else self.wait_seconds
        seconds = min(requested_timeout(post.headers) or limit, limit)
        says = not isinstance(posted, PostedInterrupt)
        window = self.inline.limits.window_bytes if says else 0
        tail = self.ports.log.tail(f"{agent_key}.{session_key}", window)
        session = tail.live(self.ports.clock.now())
        if not session:
            raise missing(self.ports, agent_key, session_key)
        if isinstance(posted, PostedInterrupt):
            keyed = key and IdempotencyKey(digest(caller, key), digest("interrupt"))
            writer = Writer(self.ports.log, self.ports.clock, session.id, post.request_id)
            events = interrupt(self.ports, writer, tail.head, keyed or None)
            return Told(posted.stream, session, events)
        agent = self.ports.agents.get(session.answering_agent)
        if not agent.enabled:
            raise Forbidden(f"The agent {agent.key!r} is disabled; enable it to talk to it.")
        if not session.enabled:
            raise Forbidden(f"The session {session_key!r} is disabled; enable it to go on.")
        check_skills(posted, agent)
        arrived = arrival(posted, session, tail, caller, key)
        waiting = self.inline.accept(session, agent, tail, arrived, post.request_id)
        return Open(posted.stream, session, waiting, started + seconds)

    async def answer(
        self, opened: Open | Told, gone: Callable[[], Awaitable[None]]
    ) -> dict[str, Any]:
        """The JSON answer; raises TurnRunning where it takes too long, or its caller went away.

        `gone` ends when it does.
        """
        if isinstance(opened, Told):
            return _shown(opened.session, opened.events)
        relay = Relay(opened.caller)
        relay.start(listen=False)
        left = asyncio.ensure_future(gone())
        either: list[asyncio.Future[Any]] = [relay.answer, left]
        await asyncio.wait(either, timeout=self._left(opened), return_when=asyncio.FIRST_COMPLETED)
        left.cancel()
        if not relay.answer.done() and (late := await asyncio.to_thread(opened.caller.give_up)):
            raise late
        try:
            events = await asyncio.wait_for(asyncio.shield(relay.answer), LAST_SECONDS)
        except TimeoutError:
            raise _ended() from None
        ending = next((e.event for e in events if ends(e, opened.caller.accepted.offset)), None)
        if not ending:
            raise _ended()
        if isinstance(ending, TurnFailed | InputsFailed) and ending.code not in TRANSIENT:
            raise failure(ending)
        return _shown(opened.session, events)

    async def stream(self, opened: Open | Told, request_id: str) -> AsyncIterator[bytes]:
        """The frames of the answer; `end` is always the last."""
        if isinstance(opened, Told):
            for one in _shown(opened.session, opened.events)["events"]:
                yield sse.frame(one)
            yield sse.end()
            return
        frames = Frames(opened.session, request_id, opened.caller.accepted.offset)
        finished = False
        try:
            async for said in self._told(opened, frames):
                yield said
            finished = True
        except Exception as error:
            finished = isinstance(error, CuelineError)
            if not finished:
                logger.error("A stream failed inside Cueline", extra=unexpected(error))  # noqa: TRY400
            yield b"".join(frames.failed(error, self.ports.clock.now()))
        finally:
            if not finished:
                _leave(opened.caller)
        yield b"".join(frames.close(self.ports.clock.now())) + sse.end()

    async def _told(self, opened: Open, frames: Frames) -> AsyncIterator[bytes]:
        relay = Relay(opened.caller)
        relay.start(listen=True)
        seconds = self._left(opened)
        while not relay.answer.done() or relay.unheard:
            try:
                async for batch in relay.batches(seconds):
                    at = self.ports.clock.now()
                    framed = b"".join(f for what in batch for f in frames.of(what, at))
                    if framed or not batch:
                        yield framed or sse.KEEP_ALIVE
            except OutOfTimeError:
                if late := await asyncio.to_thread(opened.caller.give_up):
                    raise late from None
                seconds = LAST_SECONDS
        if not relay.answer.result():
            raise _ended()

    def _left(self, opened: Open) -> float:
        return max(0.0, opened.until - self.ports.clock.monotonic())


def _shown(session: Session, events: Sequence[Recorded]) -> dict[str, Any]:
    shown = [wired for recorded in events if (wired := told(session, recorded))]
    return {"events": shown, "session_key": session.session_key}


def _ended() -> Unavailable:
    return Unavailable("The session ended before its answer.")


def _leave(caller: Caller) -> None:
    """The caller went away; nobody waits for this, and the turn goes on."""

    def give_up() -> None:
        with suppress(CuelineError):
            caller.give_up()

    threading.Thread(target=give_up, name="give-up", daemon=True).start()


def requested_timeout(headers: Mapping[str, str]) -> float | None:
    """Seconds, from `Request-Timeout` and `Request-Timeout-Millis`; the shorter where both."""
    asked: list[float] = []
    for name, unit in (("request-timeout", 1.0), ("request-timeout-millis", 0.001)):
        if (value := headers.get(name)) is None:
            continue
        if not (value.isascii() and value.isdigit() and len(value) < 10 and int(value)):
            raise InvalidRequest("A timeout must be a whole number from 1.", {name: value[:20]})
        asked.append(int(value) * unit)
    return min(asked, default=None)
