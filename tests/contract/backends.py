"""The two backends that one suite runs on, and ways to lose their answers."""

import json
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.exceptions import ConnectionClosedError
from moto import mock_aws
from moto.dynamodb.responses import DynamoHandler

from cueline.adapters.aws import client_config
from cueline.adapters.bus import EventBridgeBus
from cueline.adapters.dynamodb import (
    DynamoAgents,
    DynamoBeats,
    DynamoCustomers,
    DynamoKeys,
    DynamoLog,
    DynamoSessions,
    DynamoSpending,
    DynamoSweeper,
)
from cueline.adapters.dynamodb.background import (
    DynamoDeliveries,
    DynamoKeptSessions,
    DynamoRuns,
    DynamoTriggers,
)
from cueline.adapters.dynamodb.connections import DynamoConnections
from cueline.adapters.dynamodb.items import Item, segment_to_item
from cueline.adapters.firings import EventBridgeFirings
from cueline.adapters.memory import (
    MemoryConnections,
    MemoryFirings,
    MemoryLog,
    MemorySchedules,
    MemoryWakeUps,
    memory_background,
    memory_ports,
)
from cueline.adapters.schedules import EventBridgeSchedules
from cueline.adapters.sqs import SqsWakeUps, wake_up_from_json
from cueline.engine.agent import Agent
from cueline.engine.background import Background
from cueline.engine.listeners import Connections
from cueline.engine.ports import Ports, WakeUp
from cueline.errors import Unavailable
from cueline.log.segment import Segment, Session
from tests.clock import FakeClock

if TYPE_CHECKING:
    from botocore.client import BaseClient
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_scheduler import EventBridgeSchedulerClient
    from mypy_boto3_sqs import SQSClient

Loss = Literal["none", "repeated", "cut"]
"""What happens to the answer of a write that was done.

none      it arrives
repeated  it is lost; the client library tries again by itself
cut       it is lost, and so is the connection: the caller gets Unavailable
"""

TABLE = "cueline"
BUS = "cueline-bus"
SCHEDULES = "cueline-schedules"
ROLE_ARN = "arn:aws:iam::123456789012:role/cueline-schedules"
QUEUE_ARN = "arn:aws:sqs:eu-central-1:123456789012:wake-ups"
INTAKE_ARN = "arn:aws:sqs:eu-central-1:123456789012:intake"
FAILED_ARN = "arn:aws:sqs:eu-central-1:123456789012:schedules-failed"
SESSION = "support.s1"


@dataclass
class Backend:
    ports: Ports
    connections: Connections
    background: Background
    clock: FakeClock
    client: "DynamoDBClient | None"
    received: Callable[[], list[WakeUp]]
    """The wake-ups that a worker would get now."""
    kept: Callable[[], list[tuple[int, int, str]]]
    """Incarnation, offset and events of SESSION's segments; its beats and keys, at offset -1."""
    waiting: Callable[[], dict[str, tuple[int, WakeUp]]]
    """The schedules whose time has not come: by name, when in ms, and what they send."""
    firings: Callable[[], dict[str, tuple[str, str, str]]]
    """Those that were made: by name, the expression, the timezone, and what they send."""
    calls: list[str] = field(default_factory=list)
    """Names of the DynamoDB calls so far, each attempt counted."""

    def losing(self, loss: Loss, write: Callable[[], Any]) -> Any:
        """Does the write and loses its answer."""
        if loss == "none":
            return write()
        if self.client:
            with _lost(self.client, loss):
                return write()
        answer = write()
        if loss == "cut":
            raise Unavailable("The answer is lost.")
        return write() if loss == "repeated" else answer


@contextmanager
def memory() -> Iterator[Backend]:
    clock = FakeClock()
    ports = memory_ports(clock)
    wake_ups = ports.wake_ups
    assert isinstance(wake_ups, MemoryWakeUps)
    log = ports.log
    assert isinstance(log, MemoryLog)
    store = log._store

    def kept() -> list[tuple[int, int, str]]:
        segments = [(*place, stored.events) for place, stored in store.log(SESSION).items()]
        cells = [*store.beats.get(SESSION, {}), *store.keyed.get(SESSION, {})]
        return [*segments, *((cell[0], -1, "") for cell in cells)]

    def waiting() -> dict[str, tuple[int, WakeUp]]:
        assert isinstance(ports.schedules, MemorySchedules)
        made = ports.schedules.waiting.items()
        return {name: (when, wake_up_from_json(body)) for name, (when, body) in made}

    background = memory_background(clock)

    def firings() -> dict[str, tuple[str, str, str]]:
        assert isinstance(background.firings, MemoryFirings)
        return background.firings.made

    connections = MemoryConnections(clock)
    yield Backend(
        *(ports, connections, background, clock, None),
        *(wake_ups.drain, kept, waiting, firings),
    )


@contextmanager
def dynamodb() -> Iterator[Backend]:
    clock = FakeClock()
    with mock_aws():
        client, sqs, scheduler = _clients()
        create_table(client)
        scheduler.create_schedule_group(Name=SCHEDULES)
        queue = sqs.create_queue(QueueName="wake-ups")["QueueUrl"]

        def received() -> list[WakeUp]:
            answer = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10)
            return [wake_up_from_json(message["Body"]) for message in answer.get("Messages", [])]

        ports = Ports(
            log=DynamoLog(client, TABLE, clock),
            agents=DynamoAgents(client, TABLE, clock),
            sessions=DynamoSessions(client, TABLE, clock),
            beats=DynamoBeats(client, TABLE, clock),
            sweeper=DynamoSweeper(client, TABLE),
            wake_ups=SqsWakeUps(sqs, queue),
            keys=DynamoKeys(client, TABLE, clock),
            spending=DynamoSpending(client, TABLE, clock),
            customers=DynamoCustomers(client, TABLE, clock),
            schedules=EventBridgeSchedules(
                lambda: scheduler, SCHEDULES, ROLE_ARN, QUEUE_ARN, FAILED_ARN
            ),
            clock=clock,
        )

        def kept() -> list[tuple[int, int, str]]:
            found = []
            for item in client.scan(TableName=TABLE)["Items"]:
                kind, *place = item["sk"]["S"].split("#")
                if kind == "E":
                    found.append((int(place[0]), int(place[1]), item["events"]["S"]))
                elif kind in "BR":
                    found.append((int(place[0]), -1, ""))
            return found

        def waiting() -> dict[str, tuple[int, WakeUp]]:
            made = scheduler.list_schedules(GroupName=SCHEDULES)["Schedules"]
            return {one["Name"]: _scheduled(scheduler, one["Name"]) for one in made}

        def firings() -> dict[str, tuple[str, str, str]]:
            made = scheduler.list_schedules(GroupName=SCHEDULES)["Schedules"]
            return {one["Name"]: _fired(scheduler, one["Name"]) for one in made}

        background = Background(
            triggers=DynamoTriggers(client, TABLE, clock),
            kept=DynamoKeptSessions(client, TABLE, clock),
            runs=DynamoRuns(client, TABLE, clock),
            deliveries=DynamoDeliveries(client, TABLE, clock),
            firings=EventBridgeFirings(
                lambda: scheduler, SCHEDULES, ROLE_ARN, INTAKE_ARN, FAILED_ARN
            ),
            bus=EventBridgeBus(lambda: None, ""),
        )
        connections = DynamoConnections(client, TABLE, clock)
        backend = Backend(
            *(ports, connections, background, clock, client),
            *(received, kept, waiting, firings),
        )

        def count(event_name: str, **_: object) -> None:
            backend.calls.append(event_name.rpartition(".")[2])

        with hooked(client, "before-send.dynamodb", count):
            yield backend


BACKENDS: dict[str, Callable[[], AbstractContextManager[Backend]]] = {
    "memory": memory,
    "dynamodb": dynamodb,
}


@cache
def _clients() -> "tuple[DynamoDBClient, SQSClient, EventBridgeSchedulerClient]":
    session = boto3.Session("testing", "testing", region_name="eu-central-1")
    config = client_config()
    return (
        session.client("dynamodb", config=config),
        session.client("sqs", config=config),
        session.client("scheduler", config=config),
    )


def scheduler_client() -> "EventBridgeSchedulerClient":
    return _clients()[2]


def _scheduled(client: "EventBridgeSchedulerClient", name: str) -> tuple[int, WakeUp]:
    made = client.get_schedule(GroupName=SCHEDULES, Name=name)
    return time_in(made["ScheduleExpression"]), wake_up_from_json(made["Target"]["Input"])


def _fired(client: "EventBridgeSchedulerClient", name: str) -> tuple[str, str, str]:
    made = client.get_schedule(GroupName=SCHEDULES, Name=name)
    when = made["ScheduleExpression"], made["ScheduleExpressionTimezone"]
    return (*when, made["Target"]["Input"])


def time_in(expression: str) -> int:
    """In ms since 1970."""
    time = datetime.strptime(f"{expression}+0000", "at(%Y-%m-%dT%H:%M:%S)%z")
    return round(time.timestamp() * 1000)


def create_table(client: "DynamoDBClient", name: str = TABLE) -> None:
    """As the template does."""
    client.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[
            {"AttributeName": name, "AttributeType": "S"}
            for name in ("pk", "sk", "list", "rank", "shard")
        ],
        KeySchema=[
            {"AttributeName": "pk", "KeyType": "HASH"},
            {"AttributeName": "sk", "KeyType": "RANGE"},
        ],
        GlobalSecondaryIndexes=[
            {
                "IndexName": index,
                "KeySchema": [
                    {"AttributeName": attribute, "KeyType": "HASH"},
                    {"AttributeName": "rank", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "ALL"},
            }
            for index, attribute in (("ListIndex", "list"), ("SessionsIndex", "shard"))
        ],
    )


@contextmanager
def hooked(client: "BaseClient", event: str, handler: Callable[..., Any]) -> Iterator[None]:
    """Calls the handler before all others, among them moto's, which would answer and end it."""
    client.meta.events.register_first(event, handler)
    try:
        yield
    finally:
        client.meta.events.unregister(event, handler)


def answer(status: int, **body: Any) -> AWSResponse:
    """What a handler of `before-send` gives instead of sending."""

    class Raw:
        def stream(self, *_: object, **__: object) -> list[bytes]:
            return [json.dumps(body).encode()]

    return AWSResponse("http://dynamodb", status, HTTPHeaders(), Raw())


@contextmanager
def cancelled(backend: Backend, *answers: list[str]) -> Iterator[list[int]]:
    """Transactions are answered with these reasons, one after the other, then done."""
    left, seen = list(answers), [0]

    def refuse(**_: object) -> object:
        seen[0] += 1
        if not left:
            return None
        reasons = [{"Code": code} for code in left.pop(0)]
        return answer(400, __type="TransactionCanceledException", CancellationReasons=reasons)

    assert backend.client
    with hooked(backend.client, "before-send.dynamodb.TransactWriteItems", refuse):
        yield seen


def atomic_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """As they are in DynamoDB: moto checks a condition and writes in two steps, and puts its
    answers together from items that others are changing."""
    lock, call = threading.RLock(), DynamoHandler.call_action

    def atomic(self: DynamoHandler) -> Any:
        with lock:
            return call(self)

    monkeypatch.setattr(DynamoHandler, "call_action", atomic)


def in_threads(work: Callable[[int], None], count: int = 20) -> None:
    """So many of them, switched as often as can be."""
    failures: list[Exception] = []

    def guarded(n: int) -> None:
        try:
            work(n)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(n,)) for n in range(count)]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    if failures:
        raise failures[0]


@contextmanager
def _lost(client: "DynamoDBClient", loss: Loss) -> Iterator[None]:
    """Loses the answer of the first call inside. `needs-retry` comes after the write was done."""
    left = [loss]

    def lose(event_name: str, **_: object) -> float | None:
        if not left:
            return None
        if left.pop() == "cut":
            raise ConnectionClosedError(endpoint_url="http://dynamodb")
        return 0.0  # seconds until the client tries again

    with hooked(client, "needs-retry.dynamodb", lose):
        yield


def size_of(item: Item) -> int:
    """In bytes as DynamoDB counts them: names and values, two digits of a number in one byte."""
    size = 0
    for name, value in item.items():
        ((kind, content),) = value.items()
        size += len(name)
        size += (len(content) + 1) // 2 + 1 if kind == "N" else len(str(content).encode())
    return size


def stored_size(segment: Segment) -> int:
    return size_of(segment_to_item(SESSION, 5, segment))


def agent(key: str = "support", **fields: Any) -> Agent:
    given: dict[str, Any] = {"name": "Support", "model": "m", "created_at": 1, "updated_at": 1}
    return Agent(key=key, **{**given, **fields})


def session(key: str = "s1", incarnation: int = 5, **fields: Any) -> Session:
    given: dict[str, Any] = {"name": "A talk", "created_at": 1_750_000_000_000}
    return Session("support", key, incarnation, **{**given, **fields})
