"""Door 3 as the bench talks with it: who connects, what they send, which frames come to them."""

import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import httpx

from cueline.adapters.clock import SystemClock
from cueline.adapters.dynamodb.connections import DynamoConnections
from cueline.doors.access import OPEN, hashed
from cueline.engine.listeners import GRANTS, Connection
from tests.bench.aws import HEARD
from tests.bench.histories import INCARNATION
from tests.bench.model import QUESTION
from tests.bench.queues import LOOK_AGAIN
from tests.bench.servers import Server, Servers
from tests.contract.backends import TABLE

T = TypeVar("T")

TICKET_MS = 60_000
PATIENCE = 20.0
"""Seconds in which a frame comes, if it comes."""


@dataclass(frozen=True)
class Frame:
    at: float
    """Seconds, on the monotonic clock."""
    gateway: str
    """The gateway's id of the WebSocket that it came to."""
    event: str
    data: dict[str, Any]

    @property
    def action(self) -> str:
        """What a message's frame tells of it."""
        return str(self.data.get("message", {}).get("action", ""))

    @property
    def response(self) -> str:
        return str(self.data.get("message", {}).get("response_id", ""))


@dataclass
class Wire:
    """The frames of all WebSockets, as they come."""

    servers: Servers
    commands: Server
    broadcast: Server
    frames: list[Frame] = field(default_factory=list)
    _heard: int = 0

    @contextmanager
    def telling(self) -> Iterator[None]:
        """Hands to `broadcast` what is written for those who listen, as Lambda would."""
        ended = threading.Event()
        teller = threading.Thread(target=self._tell, args=[ended])
        teller.start()
        try:
            yield
        finally:
            ended.set()
            teller.join()

    def _tell(self, ended: threading.Event) -> None:
        with httpx.Client(base_url=self.servers.aws, trust_env=False) as aws:
            while not ended.wait(LOOK_AGAIN):
                found = aws.post("/", headers={"x-amz-target": HEARD}, json={"since": self._heard})
                if images := found.raise_for_status().json():
                    self._heard += len(images)
                    told = self.broadcast.http.post("/heard", json=images).raise_for_status()
                    if told.json()["batchItemFailures"]:
                        raise RuntimeError(f"not told: {told.text}")

    def listeners(self, session: str, number: int) -> list[str]:
        """The gateway's ids of so many who have come, and are told of what is stored."""
        names = [f"{session}.{uuid.uuid4().hex}" for _ in range(number)]
        gateways = [self._come(session, name) for name in names]

        def told() -> bool:
            now = self._clock.now()
            return len(self._connections.of(session, INCARNATION, now)) == number

        until(told, f"{number} connections of {session} are told")
        return gateways

    def _come(self, session: str, name: str) -> str:
        secret, gateway, now = uuid.uuid4().hex, uuid.uuid4().hex, self._clock.now()
        offered = Connection(
            id=name,
            session=session,
            incarnation=INCARNATION,
            caller=OPEN,
            grants=GRANTS,
            created_at=now,
            expires_at=now + TICKET_MS,
        )
        self._connections.offer(offered, hashed(secret))
        token = {"gateway": gateway, "token": f"{name}.{secret}"}
        answer = self.commands.http.post("/connect", json=token).raise_for_status().json()
        if answer["statusCode"] != 200:
            raise RuntimeError(f"{name} may not connect: {answer}")
        return gateway

    @cached_property
    def _connections(self) -> DynamoConnections:
        return DynamoConnections(self.servers.dynamodb, TABLE, self._clock)

    @cached_property
    def _clock(self) -> SystemClock:
        return SystemClock()

    def say(self, gateway: str, **more: Any) -> float:
        """Sends a user's message that is to be answered at once; when it was sent."""
        data = {"role": "user", "text": QUESTION, "trigger_response": True, "delay": False}
        command = {"type": "send_message", "data": data, **more}
        sent = time.monotonic()
        body = {"gateway": gateway, "body": json.dumps(command)}
        self.commands.http.post("/message", json=body).raise_for_status()
        return sent

    def look(self) -> None:
        """For frames that have come since."""
        since = {"since": len(self.frames)}
        for at, gateway, text in self._sockets.post("/frames", json=since).json():
            told = json.loads(text)
            self.frames.append(Frame(at, gateway, told["event"], told["data"]))

    def here(self) -> int:
        """How many frames have come so far: those of what happens next stand behind them."""
        self.look()
        return len(self.frames)

    def wait(self, since: int, wanted: Callable[[Frame], object], what: str) -> Frame:
        """The first that is wanted, of those from the `since`-th on."""

        def come() -> list[Frame]:
            self.look()
            return [frame for frame in self.frames[since:] if wanted(frame)][:1]

        return until(come, what)[0]

    @cached_property
    def _sockets(self) -> httpx.Client:
        client = httpx.Client(base_url=self.servers.sockets, trust_env=False)
        return self.servers.stack.enter_context(client)


def until(holds: Callable[[], T], what: str) -> T:
    end = time.monotonic() + PATIENCE
    while not (found := holds()):
        if time.monotonic() > end:
            raise RuntimeError(f"for {PATIENCE} s not: {what}")
        time.sleep(0.005)
    return found


def is_event(event: str, gateway: str) -> Callable[[Frame], bool]:
    return lambda frame: (frame.event, frame.gateway) == (event, gateway)


def is_message(action: str, gateway: str, response: str = "") -> Callable[[Frame], bool]:
    """Of the answer `response`, or of any."""
    return lambda frame: (
        (frame.action, frame.gateway) == (action, gateway) and response in ("", frame.response)
    )


def is_talk(state: str, gateway: str) -> Callable[[Frame], bool]:
    """That the agent prepares to speak, has started, or has ended."""
    talks = is_event("talk_state_changed", gateway)
    return lambda frame: talks(frame) and frame.data["state"] == state
