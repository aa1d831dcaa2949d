"""Posting an event: the caller waits, in JSON or on a stream, while its turn runs in a thread."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from cueline.doors.access import caller_of
from cueline.doors.agent_events import sse
from cueline.doors.agent_events.events import to_wire
from cueline.doors.agent_events.keys import agent_key_in, session_key_in
from cueline.doors.agent_events.post import PostedInput, digest_of, parse_post
from cueline.doors.agent_events.stream import Frames, failure
from cueline.doors.relay import Relay
from cueline.engine.inline import Inline, Waiting
from cueline.engine.ports import Keys, Ports
from cueline.engine.sessions import missing
from cueline.errors import CuelineError, Forbidden, InvalidRequest, Unavailable
from cueline.log.events import Input, InputsFailed, Recorded, TurnFailed
from cueline.log.segment import Session


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
    """An accepted post."""

    posted: PostedInput
    session: Session
    waiting: Waiting
    seconds: float | None
    """How long the caller will wait, where it says so."""


@dataclass(frozen=True, slots=True)
class Hosting:
    ports: Ports
    keys: Keys | None
    inline: Inline
    wait_seconds: float

    def open(self, post: Post) -> Open:
        """Checks the request and takes its input in; blocks. Raises whatever the caller may see."""
        caller = caller_of(post.headers, self.keys)
        agent_key = agent_key_in(post.agent_key)
        session_key = session_key_in(post.session_key)
        posted = parse_post(post.body, post.headers.get("content-type", ""))
        seconds = requested_timeout(post.headers)
        tail = self.ports.log.tail(f"{agent_key}.{session_key}", self.inline.limits.window_bytes)
        session = tail.live(self.ports.clock.now())
        if not session:
            raise missing(self.ports, agent_key, session_key)
        agent = self.ports.agents.get(agent_key)
        if not agent.enabled:
            raise Forbidden(f"The agent {agent_key!r} is disabled; enable it to talk to it.")
        if not session.enabled:
            raise Forbidden(f"The session {session_key!r} is disabled; enable it to go on.")
        new = Input(texts=posted.texts, digest=digest_of(caller, posted.texts))
        waiting = self.inline.accept(session, agent, tail, new, post.request_id)
        return Open(posted, session, waiting, seconds)

    async def answer(self, opened: Open, gone: Callable[[], Awaitable[None]]) -> dict[str, Any]:
        """The JSON answer; raises TurnRunning where it takes too long. `gone` ends if the caller
        goes away."""
        relay = Relay(opened.waiting)
        relay.start(listen=False)
        seconds = min(opened.seconds or self.wait_seconds, self.wait_seconds)
        left = asyncio.ensure_future(gone())
        ends: list[asyncio.Future[Any]] = [relay.answer, left]
        await asyncio.wait(ends, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        left.cancel()
        if not relay.answer.done():
            raise await asyncio.to_thread(opened.waiting.give_up)
        return self._answer(opened.session, relay.answer.result())

    def _answer(self, session: Session, events: list[Recorded]) -> dict[str, Any]:
        if not events:
            raise Unavailable("The session ended before its answer.")
        last = events[-1].event
        if isinstance(last, TurnFailed | InputsFailed):
            raise failure(last)
        shown = [wired for recorded in events if (wired := to_wire(session, recorded))]
        return {"events": shown, "session_key": session.session_key}

    async def stream(self, opened: Open, request_id: str) -> AsyncIterator[bytes]:
        """The frames of the answer; `end` is always the last."""
        frames = Frames(opened.session, request_id)
        finished = False
        try:
            async for told in self._told(opened, frames):
                yield told
            finished = True
        except TimeoutError:
            error = await asyncio.to_thread(opened.waiting.give_up)
            finished = True
            yield b"".join(frames.failed(error, self.ports.clock.now()))
        except Exception as error:
            finished = True
            yield b"".join(frames.failed(error, self.ports.clock.now()))
        finally:
            if not finished:
                _leave(opened.waiting)
        yield sse.end()

    async def _told(self, opened: Open, frames: Frames) -> AsyncIterator[bytes]:
        relay = Relay(opened.waiting)
        relay.start(listen=True)
        async for batch in relay.batches(opened.seconds):
            at = self.ports.clock.now()
            told = b"".join(f for what in batch for f in frames.of(what, at))
            if told or not batch:
                yield told or sse.KEEP_ALIVE
        if not relay.answer.result():
            raise Unavailable("The session ended before its answer.")


def _leave(waiting: Waiting) -> None:
    """The caller went away; nobody waits for this, and the turn goes on."""

    def give_up() -> None:
        with suppress(CuelineError):
            waiting.give_up()

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
