"""Makes a process one of Cueline that lives under hostile conditions."""

import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from unittest.mock import patch

from botocore.exceptions import ConnectionClosedError
from botocore.retries import standard

import agent_tools
from cueline import bootstrap
from cueline.adapters import aws
from cueline.adapters.clock import SystemClock
from cueline.engine import host, toolcalls, turn, worker
from cueline.engine.ports import Ports, WakeUp, WakeUps
from cueline.log.events import TurnAbandoned
from cueline.log.segment import Log, Segment
from tests.contract.backends import answer
from tests.reliability.conditions import LEDGER, Conditions, Given, environment
from tests.reliability.steps import Steps, WatchedModel, WatchedToolbox

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_sqs import SQSClient

LIFETIME = 5
"""Seconds that a process may live, instead of a quarter of an hour; it dates the second sweep."""
IDLE = 1.5
"""Seconds without a byte from the model, instead of most of a minute."""
SHORTEST = 2.0
"""Seconds that a further model call should have, instead of half a minute."""
SHORTEST_RUN = 0.5
"""And a tool, instead of five."""


def live(given: Given) -> "Steps":
    """Makes this process one of Cueline, under these conditions. Nothing undoes it."""
    os.environ.update(environment(given))
    os.environ["LEDGER"] = str(Path(given.folder) / LEDGER)
    agent_tools.__path__.append(str(Path(__file__).parent / "tools"))
    conditions, dice = given.conditions, random.Random(f"{given.name}{given.seed}")
    skew = dice.choice([-0.5, 0.5]) * conditions.skew
    settings = bootstrap.settings().model_copy(update={"lease_seconds": conditions.lease})
    steps = Steps(given)
    clients = aws.dynamodb_client, aws.sqs_client
    for target, name, value in (
        (aws, "dynamodb_client", lambda: _hostile(clients[0](), given, dice)),
        (aws, "sqs_client", lambda: _lossy(clients[1](), conditions, dice)),
        (bootstrap, "SystemClock", lambda: Clock(skew)),
        (bootstrap, "settings", lambda: settings),
        (bootstrap, "IDLE_SECONDS", IDLE),
        (worker, "LIFETIME", LIFETIME),
        (turn, "SHORTEST_CALL", SHORTEST),
        (host, "SHORTEST_CALL", SHORTEST),
        (host, "SHORTEST_RUN", SHORTEST_RUN),
        (toolcalls, "SHORTEST_RUN", SHORTEST_RUN),
    ):
        patch.object(target, name, value).start()
    ports = steps.counted(_ports(bootstrap.ports(), given))
    model, toolbox = bootstrap.model, bootstrap._toolbox
    patch.object(bootstrap, "ports", lambda: ports).start()
    patch.object(bootstrap, "_toolbox", lambda: WatchedToolbox(toolbox(), steps)).start()

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


# --- what is done to the ports -------------------------------------------------------------------


def _ports(ports: Ports, given: Given) -> Ports:
    conditions = given.conditions
    ports = replace(ports, log=cast("Log", Tallied(ports.log, given)))
    if not conditions.beats:
        ports = replace(ports, beats=_Unheard(ports.beats))
    if conditions.doubled:
        ports = replace(ports, wake_ups=Doubled(ports.wake_ups))
    return ports


def tally(given: Given, what: str) -> None:
    """Counts what happens in all processes of a stack: one byte each, at the end of one file."""
    with (Path(given.folder) / what).open("ab") as file:
        file.write(b".")


@dataclass(frozen=True)
class Tallied:
    """A log that counts takeovers."""

    log: Log
    given: Given

    def __getattr__(self, name: str) -> Any:
        return getattr(self.log, name)

    def append(self, session: str, incarnation: int, segment: Segment, *more: Any) -> Any:
        found = self.log.append(session, incarnation, segment, *more)
        if not found and any(isinstance(event, TurnAbandoned) for event in segment.events):
            tally(self.given, "takeovers")
        return found


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


def _hostile(client: "DynamoDBClient", given: Given, dice: random.Random) -> "DynamoDBClient":
    how = given.conditions

    def throttle(**_: object) -> Any:
        if dice.random() >= how.throttled:
            return None
        tally(given, "throttles")
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
