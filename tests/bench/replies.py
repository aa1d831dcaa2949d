"""How soon the agent's message is there at door 2, and what it takes to make it."""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import ceil
from typing import Any

from cueline.adapters.dynamodb.items import segment_to_item
from tests.bench.calls import READ_UNIT, WRITE_UNIT, Counted, count, made
from tests.bench.histories import segments, turns_of
from tests.bench.model import QUESTION, deltas
from tests.bench.queues import WATCHING
from tests.bench.report import Row
from tests.bench.talks import Bare
from tests.bench.triggered import GUIDED, TRIGGER, Door, exchange
from tests.bench.turns import EVENTS_OF_20_MESSAGES, SHORT
from tests.contract.backends import size_of

TOPIC = "Door 2: a customer's message, a worker's turn, a list that waits; 20 messages, 0 ms model"
TRIGGERED = "Door 2: a guided trigger, whose caller waits for the message"
TYPING, OWN_SEGMENT, LAST_LOOK = 1, 1, 1
"""What a plain turn has not: that the agent speaks, an input that stands in no segment with the
begin, and the worker's look, after the end, for what came meanwhile."""
MARGIN = 1.0
"""Seconds at both ends of a long turn in which more happens than waiting."""
ENDS_WITHIN = 10.0
"""Seconds in which a worker ends after its turn was seen to end."""


def timed(door: Door, bare: Bare, times: int) -> Iterator[Row]:
    """Beside a turn of the bare app, whose caller gets the answer to what it posts."""
    bare.take(1)
    sessions = [door.session(SHORT) for _ in range(times + 1)]
    other: list[float] = []
    with door.working() as used, ThreadPoolExecutor(1) as pool:
        exchange(door, sessions.pop(), pool)
        _until(lambda: used)
        used.clear()
        before = door.rest.cpu(), door.streaming.cpu()
        ours = []
        for session in sessions:
            ours.append(exchange(door, session, pool))
            other += [one.wall for one in bare.take(1)]
        rest, streaming = door.rest.cpu() - before[0], door.streaming.cpu() - before[1]
        _until(lambda: len(used) >= times)
    late = sorted(1000 * one.answering for one in ours)
    figures = {
        "p95 ms": percentile(late, 95),
        "POST ms": 1000 * statistics.median(one.posting for one in ours),
        "bare ms": 1000 * statistics.median(other),
        "CPU ms of POST": 1000 * rest / times,
        "of the worker": 1000 * sum(used) / times,
        "of the list": 1000 * streaming / times,
    }
    note = "of it up to 250 ms until the list looks, 20 ms until the bench's queue does"
    what = "from the POST's answer to the agent's message"
    yield Row(TOPIC, what, statistics.median(late), "ms", note=note, also=figures)


def counted(door: Door) -> Iterator[Row]:
    """One turn each, by processes that know the agent."""
    for agent, what in (("", "a turn"), (GUIDED, "a turn with stored guidelines")):
        parts = _turn(door, agent)
        yield Row(TOPIC, f"{what}: calls of the model", parts.model_calls, "", 1)
        if agent:
            continue
        yield from _rows(what, parts)


@dataclass(frozen=True)
class Parts:
    """What each function asked for a turn."""

    post: Counted
    worker: Counted
    """Up to its commit: nobody waits for what comes then."""
    afterwards: Counted
    """By the worker."""
    waiting: Counted
    model_calls: int


def _turn(door: Door, agent: str) -> Parts:
    with door.working() as used, ThreadPoolExecutor(1) as pool:
        exchange(door, door.session(SHORT, agent), pool)
        _until(lambda: used)
        session = door.session(SHORT, agent)
        with (
            door.rest.noting() as post,
            door.worker.noting() as work,
            door.streaming.noting() as waiting,
        ):
            used.clear()
            exchange(door, session, pool)
            _until(lambda: used)
    end = 1 + _last_put(work)
    before, after = count(work[:end]), count(work[end:])
    asked = asked_of_model([*post, *work, *waiting])
    return Parts(count(post), before, after, count(waiting), asked)


def _rows(what: str, parts: Parts) -> Iterator[Row]:
    answer = "".join(deltas(SHORT))
    plain = ceil(len(QUESTION) / WRITE_UNIT) + ceil(len(answer) / WRITE_UNIT) + 2
    past = [
        segment_to_item(f"{SHORT}.{'0' * 12}", 0, one)
        for one in segments(SHORT, turns_of(EVENTS_OF_20_MESSAGES))
    ]
    window = 1 + ceil(sum(map(size_of, past)) / READ_UNIT)
    yield _calls(f"{what}: calls of the POST", parts.post)
    yield _calls(f"{what}: calls of the worker up to the commit", parts.worker, 3 + TYPING)
    yield _calls(f"{what}: calls of the worker after it", parts.afterwards, LAST_LOOK)
    yield _calls(f"{what}: calls of the list", parts.waiting)
    every = (parts.post, parts.worker, parts.afterwards, parts.waiting)
    written = sum(one.written for one in every)
    note = "a plain turn's, typing, and the input, which is not in one segment with the begin"
    most = plain + TYPING + OWN_SEGMENT
    yield Row(TOPIC, f"{what}: write units of all", written, "WRU", most, note)
    read = parts.worker.read + parts.afterwards.read
    note = "a plain turn's, and the look after it"
    most = window + LAST_LOOK
    yield Row(TOPIC, f"{what}: read units of the worker", read, "RRU", most, note)


def _calls(what: str, found: Counted, most: int | None = None) -> Row:
    return made(TOPIC, what, found, most)


def triggers(door: Door, slow: str | None, times: int) -> Iterator[Row]:
    """`slow` is a model that lets its caller wait for some seconds, if that is to be measured."""
    sessions = [door.session(SHORT) for _ in range(times + 1)]
    trips = []
    with door.working() as used:
        door.post(sessions.pop(), TRIGGER)
        for session in sessions:
            began = time.perf_counter()
            told = door.post(session, TRIGGER)
            trips.append(1000 * (time.perf_counter() - began))
            if told["kind"] != "message":
                raise RuntimeError(f"a trigger was answered with {told}")
        _until(lambda: len(used) > times)
        trips.sort()
        figures = {"p95 ms": percentile(trips, 95)}
        yield Row(
            TRIGGERED, "a trigger, there and back", statistics.median(trips), "ms", also=figures
        )
        yield from _waited(door, SHORT, "a trigger, 0 ms model", used)
        if slow:
            yield from _waited(door, slow, f"a trigger, model {slow}", used)


def _waited(door: Door, model: str, what: str, used: list[float]) -> Iterator[Row]:
    session = door.session(model)
    used.clear()
    with door.rest.noting() as calls, door.worker.noting() as work:
        began = time.monotonic()
        door.post(session, TRIGGER)
        ended = time.monotonic()
        _until(lambda: used)
    waiting = calls[_last_put(calls) + 1 :]
    looks = count(waiting)
    figures = {"of all": len(count(calls).dynamodb), "RRU": looks.read, "seconds": ended - began}
    yield Row(TRIGGERED, f"{what}: calls while it waits", len(looks.dynamodb), also=figures)
    if model == SHORT:
        asked = asked_of_model([*calls, *work])
        yield Row(TRIGGERED, f"{what}: calls of the model", asked, "", 1)
        return
    # While the model speaks: what tells of its begin and of its end is no waiting.
    first, last = began + MARGIN, ended - MARGIN
    between = count([call for call in waiting if first <= call["began"] < last])
    rate = between.read / (last - first)
    yield Row(TRIGGERED, f"{what}: units while nothing comes", rate, "RRU/s", WATCHING)


def _last_put(calls: Sequence[dict[str, Any]]) -> int:
    return max(n for n, call in enumerate(calls) if call["operation"] == "PutItem")


def asked_of_model(calls: Sequence[dict[str, Any]]) -> int:
    return sum(call["service"] == "model" for call in calls)


def percentile(ordered: Sequence[float], percent: int) -> float:
    """The least that so many percent do not exceed."""
    return ordered[max(0, ceil(len(ordered) * percent / 100) - 1)]


def _until(holds: Callable[[], object]) -> None:
    end = time.monotonic() + ENDS_WITHIN
    while not holds():
        if time.monotonic() > end:
            raise RuntimeError("the worker did not end")
        time.sleep(0.005)
