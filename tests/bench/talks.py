"""Turns with the measured apps: what CPU they cost, and how long they take."""

import time
import uuid
from collections import deque
from dataclasses import dataclass
from typing import Any

import httpx

from tests.bench.histories import create_session, messages, turns_of
from tests.bench.model import QUESTION
from tests.bench.servers import Server, Servers

GROWTH = 0.1
"""A session takes turns until it has grown by so much; then it is another one's turn."""


@dataclass(frozen=True)
class Taken:
    """One turn, in seconds."""

    wall: float
    first: float
    """Until the first byte of the body."""


@dataclass(frozen=True)
class Cost:
    """Of one turn, in milliseconds: CPU of the measured process, and what its caller saw."""

    cpu: float
    wall: float
    first: float


class Talk:
    """Turns in sessions that have a past of so many events, one after the other."""

    def __init__(
        self,
        servers: Servers,
        server: Server,
        model: str,
        events: int,
        *,
        stream: bool = False,
        compacted: bool = False,
    ) -> None:
        self.compacted = compacted
        self.server, self.model, self.events, self.stream = server, model, events, stream
        self._servers = servers
        self._sessions = deque[str]()

    def prepare(self, turns: int) -> None:
        """Sessions for so many turns."""
        past = turns_of(self.events)
        while len(self._sessions) < turns:
            session = self._create(past)
            self._sessions += [session] * max(1, int(GROWTH * past))

    def take(self, turns: int) -> list[Taken]:
        self.prepare(turns)
        return [self._turn(self._sessions.popleft()) for _ in range(turns)]

    def settled(self) -> str:
        """The key of a session in which no turn runs."""
        self.prepare(1)
        return self._sessions[0]

    def fresh(self) -> str:
        """The key of a session that nothing else will use."""
        return self._create(turns_of(self.events))

    def cost(self, turns: int) -> Cost:
        """The mean of so many turns."""
        self.prepare(turns)
        before = self.server.cpu()
        taken = self.take(turns)
        cpu = self.server.cpu() - before
        first = sum(one.first for one in taken)
        sums = (cpu, sum(one.wall for one in taken), first)
        return Cost(*(1000 * each / turns for each in sums))

    def _turn(self, session: str) -> Taken:
        request = self._request(session)
        began = time.perf_counter()
        response = self.server.http.send(request, stream=True)
        pieces = response.iter_raw()
        whole = next(pieces, b"")
        first = time.perf_counter() - began
        whole += b"".join(pieces)
        response.close()
        wall = time.perf_counter() - began
        if response.status_code not in {200, 201} or self._end() not in whole:
            raise RuntimeError(f"{self.server.name}: {response.status_code} {whole[-500:]!r}")
        return Taken(wall, first)

    def _create(self, past: int) -> str:
        """The key of a session with so many turns behind it."""
        raise NotImplementedError

    def _request(self, session: str) -> httpx.Request:
        raise NotImplementedError

    def _end(self) -> bytes:
        """What a whole answer has."""
        raise NotImplementedError


class Ours(Talk):
    def _create(self, past: int) -> str:
        return create_session(self._servers.dynamodb, self.model, past, compacted=self.compacted)

    def _request(self, session: str) -> httpx.Request:
        body: dict[str, Any] = {"messages": [{"type": "text", "content": QUESTION}]}
        if self.stream:
            body["stream_response"] = True
        return self.server.http.build_request("POST", self.path(session), json=body)

    def path(self, session: str) -> str:
        return f"/v2/agents/{self.model}/sessions/{session}/events"

    def _end(self) -> bytes:
        return b"streaming_agent_output_end" if self.stream else b'"agent_output"'


class Bare(Talk):
    def _create(self, past: int) -> str:
        session = uuid.uuid4().hex[:12]
        self.server.http.put(f"/{session}", json=messages(self.model, past)).raise_for_status()
        return session

    def _request(self, session: str) -> httpx.Request:
        body = {"model": self.model, "content": QUESTION, "stream": self.stream}
        return self.server.http.build_request("POST", f"/{session}", json=body)

    def _end(self) -> bytes:
        return b'"type": "end"' if self.stream else b'"content"'
