"""Door 3's WebSocket on one of the backends: a session, who connects to it, what they send."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from cueline.doors.access import hashed
from cueline.doors.client_commands.realtime import Realtime, SocketEvent
from cueline.doors.client_commands.socket_events import command, connect, disconnect
from cueline.engine import sessions
from cueline.engine.append import Writer
from cueline.engine.listeners import GRANTS, Connection
from cueline.engine.ports import Ports
from cueline.log.events import Event, Input, Listening, Recorded, TurnBegan
from cueline.log.segment import Session
from cueline.log.state import State
from tests.contract.backends import BACKENDS, SESSION, Backend, agent, session
from tests.listening import Sockets

ID = f"{SESSION}.r4nd0m"
SECRET = "s-e_cret"
GATEWAY = "gw="
PAGE = "https://page.example"


def message(
    role: str = "user", *, trigger: Any = True, text: Any = "Hello", **more: Any
) -> dict[str, Any]:
    """A send_message; `more` is what its data has besides."""
    data = {"role": role, "text": text, "trigger_response": trigger, **more}
    return {"type": "send_message", "data": data}


@dataclass
class Commanded:
    backend: Backend
    realtime: Realtime
    session: Session
    sockets: Sockets = field(default_factory=Sockets)

    @property
    def ports(self) -> Ports:
        return self.backend.ports

    def offer(self, name: str = ID, secret: str = SECRET, **fields: Any) -> Connection:
        """A connection that can be opened for a minute."""
        now = self.ports.clock.now()
        given = {"caller": "key1", "grants": GRANTS, "expires_at": now + 60_000, **fields}
        made = Connection(name, SESSION, self.session.incarnation, created_at=now, **given)
        self.backend.connections.offer(made, hashed(secret))
        return made

    def connect(self, token: str = f"{ID}.{SECRET}", gateway: str = GATEWAY, **headers: str) -> int:
        query = {"token": token}
        return connect(self.realtime, SocketEvent(gateway, "req", query=query, headers=headers))

    def disconnect(self, gateway: str = GATEWAY) -> None:
        disconnect(self.realtime, SocketEvent(gateway, "req"))

    def send(self, body: Any, gateway: str = GATEWAY, **more: Any) -> list[dict[str, Any]]:
        """The frames that come back; `body` is text, or what is to be JSON."""
        before = len(self.sockets.told(gateway))
        text = body if isinstance(body, str) else json.dumps(body)
        command(self.realtime, SocketEvent(gateway, "req", body=text, **more))
        return self.sockets.told(gateway)[before:]

    def acked(self, body: Any, gateway: str = GATEWAY) -> dict[str, Any]:
        (frame,) = self.send(body, gateway)
        assert frame["event"] == "command_ack", frame
        return dict(frame["data"])

    def refused(self, body: Any, gateway: str = GATEWAY, **more: Any) -> dict[str, Any]:
        (frame,) = self.send(body, gateway, **more)
        assert frame["event"] == "command_error", frame
        return dict(frame["data"])

    def append(self, *events: Event) -> None:
        writer = Writer(self.ports.log, self.ports.clock, SESSION, "other")
        writer.append(self.ports.log.tail(SESSION).head, lambda *_: events)

    def run(self, turn: str = "t1") -> None:
        """Somebody has said something, and the agent is answering it."""
        at = self.ports.log.tail(SESSION).head.at
        asked = Input(texts=("First",), caller="key1")
        self.append(asked, TurnBegan(turn=turn, inputs=(at,)))

    def change(self, **fields: Any) -> None:
        """Of the session."""
        sessions.update(self.ports, "support", "s1", lambda one: replace(one, **fields))

    def log(self) -> list[Recorded]:
        """Without who listens."""
        found = self.ports.log.read(SESSION, self.session.incarnation, -1, 10_000)
        return [one for one in found if not isinstance(one.event, Listening)]

    def listening(self) -> list[Listening]:
        found = self.ports.log.read(SESSION, self.session.incarnation, -1, 10_000)
        return [one.event for one in found if isinstance(one.event, Listening)]

    def events(self) -> list[Event]:
        return [one.event for one in self.log()]

    @property
    def state(self) -> State:
        return self.ports.log.tail(SESSION).head.state

    def open(self, gateway: str = GATEWAY) -> Connection | None:
        return self.backend.connections.at(gateway, self.ports.clock.now())


@contextmanager
def commanded(backend: str, *, connects: bool = True) -> Iterator[Commanded]:
    with BACKENDS[backend]() as made:
        ports = made.ports
        ports.agents.create(agent())
        live = sessions.create(ports, session(), "trace")
        sockets = Sockets()
        realtime = Realtime(
            ports, made.connections, sockets, access=None, origins=frozenset({PAGE})
        )
        one = Commanded(made, realtime, live, sockets)
        if connects:
            one.offer()
            assert one.connect() == 200
            made.received()
        yield one
