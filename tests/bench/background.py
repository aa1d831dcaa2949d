"""Door 4: how soon an event is taken in, and what that asks of DynamoDB.

AWS answers at once here, so what is measured is our own time. Nobody works meanwhile.
"""

import statistics
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cueline.adapters.dynamodb.background_items import kept_to_item, trigger_to_item
from cueline.doors.background_triggers.secrets import secret_of
from cueline.doors.idempotency import digest
from cueline.engine.background import BackgroundTrigger, Kept
from tests.bench.aws import SECRET
from tests.bench.calls import count, made
from tests.bench.model import QUESTION
from tests.bench.replies import percentile
from tests.bench.report import Row
from tests.bench.triggered import MESSAGE, Door
from tests.bench.turns import SHORT
from tests.contract.backends import TABLE

TOPIC = "Door 4: an event is taken in; AWS that answers at once"
DAY = 86_400_000
WARM_UP = 2


@dataclass(frozen=True)
class Sender:
    """Knows a trigger's secret, and has its events told to this session or that one."""

    door: Door
    trigger: BackgroundTrigger

    @classmethod
    def new(cls, door: Door) -> "Sender":
        now = int(time.time() * 1000)
        trigger = BackgroundTrigger(f"trigger_{uuid.uuid4().hex}", now, now, agent_key=SHORT)
        item = trigger_to_item(trigger, uuid.uuid4().hex)
        door.servers.dynamodb.put_item(TableName=TABLE, Item=item)
        return cls(door, trigger)

    def known(self) -> tuple[str, str]:
        """What a session of 20 messages is gone on with for, and its id."""
        seed, session = uuid.uuid4().hex, self.door.session(SHORT)
        key = session.partition(".")[2]
        until = int(time.time() * 1000) + DAY
        item = kept_to_item(Kept(self.trigger.id, digest("session", seed), key, until))
        self.door.servers.dynamodb.put_item(TableName=TABLE, Item=item)
        return seed, session

    def send(self, seed: str, **headers: str) -> dict[str, Any]:
        response = self.door.rest.http.post(
            f"/v1/integration/trigger/{self.trigger.id}/event",
            json={"text": QUESTION, "session": seed},
            headers={
                "authorization": f"Bearer {secret_of(self.trigger, SECRET.encode())}",
                **headers,
            },
        )
        told = dict(response.json()) if response.status_code == 200 else {}
        if told.get("status") != "queued":
            raise RuntimeError(f"an event was answered {response.status_code} {response.text}")
        return told

    def timed(self, seed: str, session: str = "") -> float:
        """Milliseconds; `session` is the one that is to be told, if that is known."""
        began = time.perf_counter()
        told = self.send(seed)
        took = 1000 * (time.perf_counter() - began)
        if session and told["conversationId"] != session:
            raise RuntimeError(f"{session} was not gone on with")
        return took


def timed(door: Door, times: int) -> Iterator[Row]:
    """Each in a session that is silent; beside posts of the same text to door 2."""
    sender = Sender.new(door)
    late, making, posts = [], [], []
    for _ in range(WARM_UP + times):
        (seed, session), other = sender.known(), door.session(SHORT)
        late.append(sender.timed(seed, session))
        began = time.perf_counter()
        door.post(other, MESSAGE)
        posts.append(1000 * (time.perf_counter() - began))
        making.append(sender.timed(uuid.uuid4().hex))
    late, making, posts = (sorted(each[WARM_UP:]) for each in (late, making, posts))
    figures = {
        "p95 ms": percentile(late, 95),
        "p99 ms": percentile(late, 99),
        "POST of door 2 ms": statistics.median(posts),
        "its p95 ms": percentile(posts, 95),
        "with a new session ms": statistics.median(making),
        "times": times,
    }
    what, note = "an event is taken in: our own time", "a session of 20 messages is gone on with"
    yield Row(TOPIC, what, statistics.median(late), "ms", note=note, also=figures)
    door.servers.sqs.purge_queue(QueueUrl=door.servers.queue)


def counted(door: Door) -> Iterator[Row]:
    """By a process that has read the deployment's secret."""
    sender = Sender.new(door)
    sender.send(uuid.uuid4().hex)
    for what, seed, headers in (
        ("an event, a new session", uuid.uuid4().hex, {}),
        ("an event, a session gone on with", sender.known()[0], {}),
        (
            "an event, gone on with, with an Idempotency-Key",
            sender.known()[0],
            {"idempotency-key": uuid.uuid4().hex},
        ),
    ):
        with door.rest.noting() as calls:
            sender.send(seed, **headers)
        found = count(calls)
        yield made(TOPIC, f"{what}: calls", found)
        note = "without what the indexes write" if "new" in what else ""
        figures = {"RRU": found.read}
        yield Row(TOPIC, f"{what}: units", found.written, "WRU", note=note, also=figures)
    door.servers.sqs.purge_queue(QueueUrl=door.servers.queue)
