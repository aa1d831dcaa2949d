"""Hostile conditions, and the processes of Cueline that live under them."""

import os
import random
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from botocore.exceptions import ConnectionClosedError
from botocore.retries import standard

from cueline import bootstrap
from cueline.adapters import aws
from cueline.adapters.clock import SystemClock
from cueline.engine import worker
from cueline.engine.model import Chunk, Chunks, Model, ModelRequest
from cueline.engine.ports import Ports, WakeUp, WakeUps
from tests.contract.backends import answer
from tests.reliability.aws import REGION

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_sqs import SQSClient

LIFETIME = 5
"""Seconds that a process may live, instead of a quarter of an hour; it dates the second sweep."""
IDLE = 1.5
"""Seconds without a byte from the model, instead of most of a minute."""


@dataclass(frozen=True)
class Conditions:
    """What a process has to live with. Chances are from 0 to 1, times in seconds."""

    name: str = "normal"
    lease: int = 1
    doubled: bool = False
    """Every wake-up is delivered twice, perhaps to two workers at once."""
    beats: bool = True
    throttled: float = 0.0
    """Calls of DynamoDB that are refused for now."""
    lost: float = 0.0
    """Calls whose answer is lost after they were done; of some the connection is lost too."""
    skew: float = 0.0
    """How far the clocks of two processes may be apart."""
    failing: float = 0.0
    """Model calls that fail, in every way that the practice model knows."""
    patience: int = 20
    """How long a door lets a caller wait."""


@dataclass(frozen=True)
class Stop:
    """A process that handles `session` stops itself, once, before its step number `step`."""

    session: str
    step: int
    by: str
    """SIGKILL; or SIGSTOP, after which it goes on later."""


@dataclass(frozen=True)
class Given:
    """What a process is started with."""

    name: str
    aws: str
    model: str
    """Base URLs."""
    table: str
    queue: str
    folder: str
    """For what outlives the process."""
    conditions: Conditions = field(default_factory=Conditions)
    stops: tuple[Stop, ...] = ()
    steps_of: str = ""
    """The steps that are made for this session are written down."""
    seed: int = 0

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> "Given":
        conditions = Conditions(**told["conditions"])
        stops = tuple(Stop(**stop) for stop in told["stops"])
        return cls(**{**told, "conditions": conditions, "stops": stops})


def environment(given: Given) -> dict[str, str]:
    return {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ENDPOINT_URL": given.aws,
        "AWS_EC2_METADATA_DISABLED": "true",
        "TABLE_NAME": given.table,
        "WAKE_UPS_URL": given.queue,
        "AUTH": "off",
        "WAIT_SECONDS": str(given.conditions.patience),
        "STREAM_SECONDS": str(given.conditions.patience),
        "TURN_SECONDS": "8",
        "LEASE_SECONDS": "2",
        "OPENAI_BASE_URL": f"{given.model}/v1",
        "POWERTOOLS_LOG_LEVEL": "WARNING",
    }


def live(given: Given) -> "Steps":
    """Makes this process one of Cueline, under these conditions. Nothing undoes it."""
    os.environ.update(environment(given))
    conditions, dice = given.conditions, random.Random(f"{given.name}{given.seed}")
    skew = dice.choice([-0.5, 0.5]) * conditions.skew
    settings = bootstrap.settings().model_copy(update={"lease_seconds": conditions.lease})
    steps = Steps(given)
    clients = aws.dynamodb_client, aws.sqs_client
    for target, name, value in (
        (aws, "dynamodb_client", lambda: _hostile(clients[0](), conditions, dice)),
        (aws, "sqs_client", lambda: _lossy(clients[1](), conditions, dice)),
        (bootstrap, "SystemClock", lambda: Clock(skew)),
        (bootstrap, "settings", lambda: settings),
        (bootstrap, "IDLE_SECONDS", IDLE),
        (worker, "LIFETIME", LIFETIME),
    ):
        patch.object(target, name, value).start()
    ports = steps.counted(_ports(bootstrap.ports(), conditions))
    model = bootstrap.model
    patch.object(bootstrap, "ports", lambda: ports).start()

    def count(n: int) -> None:
        steps.reach("model.stream" if n < 0 else "model.chunk")

    patch.object(bootstrap, "model", lambda: WatchedModel(model(), count)).start()
    return steps


# --- time ----------------------------------------------------------------------------------------


class Clock(SystemClock):
    """A clock that is wrong by some seconds; a timer of no time at all still takes some."""

    def __init__(self, skew: float) -> None:
        self._skew = round(skew * 1000)

    def now(self) -> int:
        return super().now() + self._skew

    @contextmanager
    def every(self, seconds: float, do: Callable[[], None]) -> Iterator[None]:
        with super().every(max(seconds, 0.05), do):
            yield


# --- steps ---------------------------------------------------------------------------------------


class Steps:
    """Counts what this process does to the outside, and stops it where that was asked for."""

    def __init__(self, given: Given) -> None:
        self._given = given
        self._stops = {stop.session: stop for stop in given.stops}
        self._session = ""
        self.made: list[str] = []

    def begin(self, session: str) -> None:
        self._session, self.made = session, []

    def reach(self, name: str) -> None:
        if not self._session:
            return
        stop = self._stops.get(self._session)
        if stop and stop.step == len(self.made) and self._first(stop):
            os.kill(os.getpid(), getattr(signal, stop.by))
        self.made.append(name)

    def _first(self, stop: Stop) -> bool:
        """Whether no process of this role has stopped for this session before."""
        with suppress(FileExistsError):
            role = self._given.name.rstrip("0123456789")
            (Path(self._given.folder) / f"{role}-{stop.session}").touch(exist_ok=False)
            return True
        return False

    def end(self) -> None:
        """Everything has been done for this session."""
        if self._given.steps_of and self._given.steps_of == self._session:
            (Path(self._given.folder) / f"steps-{self._session}").write_text("\n".join(self.made))
        self._session = ""

    @contextmanager
    def unseen(self) -> Iterator[None]:
        """What is done in here, somebody else does."""
        session, self._session = self._session, ""
        yield
        self._session = session

    def counted(self, ports: Ports) -> Ports:
        names = ("log", "agents", "sessions", "beats", "sweeper", "wake_ups")
        return replace(ports, **{n: _Counted(getattr(ports, n), n, self) for n in names})


class _Counted:
    """A port, each call of which is a step."""

    def __init__(self, port: object, name: str, steps: Steps) -> None:
        self._port, self._name, self._steps = port, name, steps

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._port, name)

        def counted(*args: Any, **more: Any) -> Any:
            self._steps.reach(f"{self._name}.{name}")
            return call(*args, **more)

        return counted


@dataclass(frozen=True)
class WatchedChunks:
    chunks: Chunks
    before: Callable[[int], None]

    def __iter__(self) -> Iterator[Chunk]:
        for n, chunk in enumerate(self.chunks):
            self.before(n)
            yield chunk

    def close(self) -> None:
        self.chunks.close()


@dataclass(frozen=True)
class WatchedModel:
    """Does something before it is asked (-1), and when a chunk has come (0 and so on)."""

    model: Model
    before: Callable[[int], None]

    def stream(self, request: ModelRequest, deadline: float) -> Chunks:
        self.before(-1)
        return WatchedChunks(self.model.stream(request, deadline), self.before)


# --- what is done to the ports -------------------------------------------------------------------


def _ports(ports: Ports, conditions: Conditions) -> Ports:
    if not conditions.beats:
        ports = replace(ports, beats=_Unheard(ports.beats))
    if conditions.doubled:
        ports = replace(ports, wake_ups=Doubled(ports.wake_ups))
    return ports


class _Unheard:
    """Beats that reach nobody."""

    def __init__(self, beats: Any) -> None:
        self.look = beats.look

    def beat(self, session: str, incarnation: int, turn: str) -> None: ...


@dataclass(frozen=True)
class Doubled:
    wake_ups: WakeUps

    def send(self, wake_up: WakeUp, delay: int = 0) -> None:
        self.wake_ups.send(wake_up, delay)
        self.wake_ups.send(wake_up, delay)


def _hostile(client: "DynamoDBClient", how: Conditions, dice: random.Random) -> "DynamoDBClient":
    def throttle(**_: object) -> Any:
        if dice.random() >= how.throttled:
            return None
        kind = dice.choice(["ProvisionedThroughputExceededException", "ThrottlingException"])
        return answer(400, __type=kind, message="Rate exceeded.")

    if how.throttled:
        # The client's own pauses between attempts, or the test would be waiting for them only.
        patch.object(standard.ExponentialBackoff, "delay_amount", lambda *_: 0.05).start()
        client.meta.events.register_first("before-send.dynamodb", throttle)
    _lose(client, "dynamodb", how, dice)
    return client


def _lossy(client: "SQSClient", how: Conditions, dice: random.Random) -> "SQSClient":
    _lose(client, "sqs", how, dice)
    return client


def _lose(client: Any, service: str, how: Conditions, dice: random.Random) -> None:
    def lose(**_: object) -> float | None:
        """After the call was done; 0.0 are the seconds until the client's own next attempt."""
        chance = dice.random()
        if chance < how.lost / 4:
            raise ConnectionClosedError(endpoint_url=f"http://{service}")
        return 0.0 if chance < how.lost else None

    if how.lost:
        client.meta.events.register_first(f"needs-retry.{service}", lose)
