"""Listeners who come to sessions all the while, and whose WebSockets take nothing."""

import itertools
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import httpx

from cueline.adapters.clock import SystemClock
from cueline.adapters.dynamodb.connections import DynamoConnections
from cueline.adapters.dynamodb.items import FIRST_CONNECTION, sk_of
from cueline.adapters.dynamodb.log import DynamoLog
from cueline.engine.append import Writer
from cueline.engine.listeners import GRANTS, LONGEST_CONNECTION, Connection
from cueline.errors import CuelineError
from cueline.log.events import Listening
from tests.reliability.gateway import Calls
from tests.reliability.stack import Stack

AGE = 60_000
"""Milliseconds since they were opened: the gateway knows for sure by now what it says of them."""


@dataclass
class Crowd:
    stack: Stack
    sessions: Sequence[str]
    every: float = 0.4
    """Seconds between two who come to a session."""
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        table, clock = self.stack.given.table, SystemClock()
        self.connections = DynamoConnections(self.stack.dynamodb, table, clock)
        self.log, self.clock = DynamoLog(self.stack.dynamodb, table, clock), clock

    @contextmanager
    def coming(self) -> Iterator[None]:
        over = threading.Event()

        def come() -> None:
            while not over.wait(self.every):
                for session in self.sessions:
                    with suppress(CuelineError):  # it is being deleted, or not made yet
                        self.come(session)

        thread = threading.Thread(target=come, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def come(self, session: str) -> None:
        """One more, who is told of what is stored from here on."""
        head = self.log.tail(session).head
        if not head.incarnation or head.state.deleted:
            return
        now, name = self.clock.now(), f"{next(self._numbers)}"
        until = now + 1000 * LONGEST_CONNECTION
        new = Connection(f"{session}.c{name}", session, head.incarnation, "", GRANTS, now, until)
        self.connections.offer(new, "ticket")
        opened = self.connections.open(new.id, "ticket", f"{session}-{name}", now - AGE, until)
        assert opened
        assert self.connections.tell(opened)
        listening = Listening(connection=new.id, until=until)
        Writer(self.log, self.clock, session, "").append(
            head, lambda state, _: () if state.deleted else (listening,)
        )

    def left(self) -> set[str]:
        """Gateway ids of connections that were tried and are not removed. Nobody asks any more for
        those of a session that was deleted."""
        rows = [i for i in self.stack.items() if sk_of(i).startswith(FIRST_CONNECTION)]
        live = {session: self.log.tail(session).head.incarnation for session in self.sessions}
        there = {
            str(row["gateway"]["S"])
            for row in rows
            if int(row["incarnation"]["N"]) == live[row["pk"]["S"]]
        }
        return there & self.calls().sent.keys()

    def calls(self) -> Calls:
        """What the gateway was asked."""
        given = self.stack.given
        return Calls.of(httpx.get(f"{given.gateway}/{given.table}", timeout=10).json())
