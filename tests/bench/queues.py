"""A busy session: inputs that queue behind a turn, and an interrupt."""

import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from tests.bench.calls import count
from tests.bench.model import QUESTION
from tests.bench.report import Row
from tests.bench.servers import Server, Servers
from tests.bench.talks import Ours

QUEUED = 10
TOPIC = "A busy session"
WATCHING = 2.0
"""Budget: read units a second of watching for an interrupt."""
EFFECT_MS = 1000.0
"""Promise P4: an interrupt takes effect within a second."""
LOOK_AGAIN = 0.02
"""Seconds between two looks at an empty queue."""


@contextmanager
def working(servers: Servers, worker: Server) -> Iterator[list[float]]:
    """Hands wake-ups to the worker as SQS and Lambda would; CPU seconds of each."""
    used: list[float] = []
    ended = threading.Event()

    def handle(message: dict[str, Any]) -> None:
        response = worker.http.post("/work", content=message["Body"])
        response.raise_for_status()
        used.append(response.json()["cpu"])
        if not response.json()["failed"]:
            servers.sqs.delete_message(
                QueueUrl=servers.queue, ReceiptHandle=message["ReceiptHandle"]
            )

    def poll() -> None:
        with ThreadPoolExecutor(QUEUED) as pool:
            while not ended.is_set():
                found = servers.sqs.receive_message(QueueUrl=servers.queue, MaxNumberOfMessages=10)
                for message in found.get("Messages", []):
                    pool.submit(handle, message)
                ended.wait(LOOK_AGAIN)

    poller = threading.Thread(target=poll)
    poller.start()
    try:
        yield used
    finally:
        ended.set()
        poller.join()


def queued(servers: Servers, ours: Server, worker: Server, model: str) -> Iterator[Row]:
    """Ten inputs at once behind a turn that has begun, until all are answered."""
    servers.sqs.purge_queue(QueueUrl=servers.queue)
    talk = Ours(servers, ours, model, 30, stream=True)
    path = talk.path(talk.settled())
    before, began = ours.cpu(), time.perf_counter()
    with (
        working(servers, worker) as used,
        ours.noting() as inline,
        worker.noting() as behind,
        ThreadPoolExecutor(QUEUED + 1) as pool,
    ):
        running = _Stream(ours, path, {**_said(QUESTION), "stream_response": True})
        first = pool.submit(running.read)
        running.spoke.wait(30)
        asked = [
            _said(f"{QUESTION} {n}", since="start", behavior="follow_up") for n in range(QUEUED)
        ]
        answers = list(pool.map(lambda body: ours.http.post(path, json=body), asked))
        first.result()
    wall = time.perf_counter() - began
    refused = [answer.status_code for answer in answers if answer.status_code != 201]
    what = f"{QUEUED} inputs queued, all calls until all are answered"
    if refused:
        yield Row(TOPIC, what, None, note=f"NOT BUILT: answered with {refused[0]}")
        return
    found = count([*inline, *behind])
    names = ", ".join(f"{n} {name}" for name, n in Counter(found.dynamodb).items())
    figures = {
        "WRU": found.written,
        "RRU": found.read,
        "sends": found.sqs,
        "ms of CPU": 1000 * (ours.cpu() - before + sum(used)),
        "of it in the worker": 1000 * sum(used),
        "wall ms": 1000 * wall,
        "model calls": sum(call["service"] == "model" for call in [*inline, *behind]),
    }
    yield Row(TOPIC, what, len(found.dynamodb), note=names, also=figures)


def interrupted(servers: Servers, ours: Server, model: str, times: int) -> Iterator[Row]:
    """From the answer to an interrupt to the last piece of the turn that its caller gets."""
    talk = Ours(servers, ours, model, 30, stream=True)
    late: list[float] = []
    for _ in range(times):
        path = talk.path(talk.fresh())
        running = _Stream(ours, path, {**_said(QUESTION), "stream_response": True})
        with ThreadPoolExecutor(1) as pool:
            done = pool.submit(running.read)
            running.spoke.wait(30)
            time.sleep(1.3)  # the middle of a turn, and between two looks
            response = ours.http.post(path, json={"type": "interrupt"})
            told = time.perf_counter()
            done.result()
        if response.status_code not in {200, 201}:
            note = f"NOT BUILT: answered with {response.status_code}"
            yield Row(TOPIC, "interrupt: to the last delta", None, "ms", EFFECT_MS, note)
            return
        late.append(1000 * max(0.0, running.last - told))
    figures = {"median ms": statistics.median(late), "turns": times}
    yield Row(
        TOPIC, "interrupt: to the last delta, at most", max(late), "ms", EFFECT_MS, also=figures
    )


def watching(ours: Server, talk: Ours) -> Iterator[Row]:
    """What the host of a turn reads while the model speaks, to see an interrupt."""
    talk.prepare(1)
    with ours.noting() as calls:
        talk.take(1)
    asked = next(n for n, call in enumerate(calls) if call["service"] == "model")
    *looks, commit = [call for call in calls[asked + 1 :] if call["service"] == "dynamodb"]
    seconds = commit["began"] - calls[asked]["began"]
    read = count(looks).read
    figures = {"looks": len(looks), "seconds": seconds}
    yield Row(TOPIC, "watching for it", read / seconds, "RRU/s", WATCHING, also=figures)


class _Stream:
    """A streamed turn, and when its pieces came."""

    def __init__(self, server: Server, path: str, body: dict[str, Any]) -> None:
        self._server, self._path, self._body = server, path, body
        self.spoke = threading.Event()
        self.first = self.last = 0.0

    def read(self) -> None:
        with self._server.http.stream("POST", self._path, json=self._body) as response:
            for line in response.iter_lines():
                if line == "event:streaming_agent_output":
                    self.last = time.perf_counter()
                    self.first = self.first or self.last
                    self.spoke.set()


def _said(text: str, **more: Any) -> dict[str, Any]:
    return {"messages": [{"type": "text", "content": text}], **more}
