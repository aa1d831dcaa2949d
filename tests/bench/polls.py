"""A list of events that waits: what it costs while nothing comes, how soon it sees what does."""

import statistics
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from cueline.adapters.dynamodb.items import segment_to_item
from cueline.log.events import Posted
from cueline.log.fold import reduce
from cueline.log.segment import Segment
from tests.bench.calls import count
from tests.bench.histories import INCARNATION, segments, turns_of
from tests.bench.replies import percentile
from tests.bench.report import Row
from tests.bench.triggered import FIRST_NEW, Door
from tests.bench.turns import EVENTS_OF_20_MESSAGES, SHORT
from tests.contract.backends import TABLE

TOPIC = "Door 2: a list that waits"
UNITS = 2.0
"""Budget: read units a second while nothing comes."""
LAG_MS = 300.0
"""Budget: from an event's append to the answer that has it."""


def idle(door: Door, polls: int, seconds: int) -> Iterator[Row]:
    """So many at once, for so many seconds twice: once for the CPU, once for the calls."""
    sessions = [door.session(SHORT) for _ in range(polls)]
    before = door.streaming.cpu()
    time.sleep(1)
    nobody = door.streaming.cpu() - before

    def wait(session: str) -> None:
        found = door.wait(session, FIRST_NEW, wait_for_data=2 * seconds + 3)
        if found.events:
            raise RuntimeError(f"something came to the idle session {session}")

    with ThreadPoolExecutor(polls) as pool:
        waiting = [pool.submit(wait, session) for session in sessions]
        time.sleep(1)
        began, before = time.perf_counter(), door.streaming.cpu()
        time.sleep(seconds)
        cpu = door.streaming.cpu() - before
        used = (cpu / (time.perf_counter() - began) - nobody) / polls
        began = time.perf_counter()
        with door.streaming.noting() as calls:
            time.sleep(seconds)
        noted = time.perf_counter() - began
        for each in waiting:
            each.result()
    found = count(calls)
    figures = {"calls a second": len(found.dynamodb) / noted / polls, "at once": polls}
    yield Row(
        TOPIC, "a list that waits: units", found.read / noted / polls, "RRU/s", UNITS, also=figures
    )
    note = "of a second of one list that waits"
    yield Row(TOPIC, "a list that waits: CPU", 1000 * used, "ms", note=note)


def lag(door: Door, times: int) -> Iterator[Row]:
    """An event is put into the table, by nobody whom the function knows, at any time."""
    session = door.session(SHORT)
    last = list(segments(SHORT, turns_of(EVENTS_OF_20_MESSAGES)))[-1]
    late: list[float] = []
    with ThreadPoolExecutor(1) as pool:
        for _ in range(times):
            waiting = pool.submit(door.wait, session, last.end)
            door.some_time()
            last = _next(last)
            item = segment_to_item(session, INCARNATION, last)
            door.servers.dynamodb.put_item(TableName=TABLE, Item=item)
            appended = time.perf_counter()
            heard = waiting.result()
            if [one["offset"] for one in heard.events] != [last.at]:
                raise RuntimeError(f"at {last.at} was heard: {heard.events}")
            late.append(1000 * (heard.at - appended))
    late.sort()
    figures = {"least ms": late[0], "most ms": late[-1], "times": times}
    yield Row(
        TOPIC,
        "a list that waits: from append to answer, median",
        statistics.median(late),
        "ms",
        LAG_MS,
        also=figures,
    )
    yield Row(
        TOPIC, "a list that waits: from append to answer, p95", percentile(late, 95), "ms", LAG_MS
    )


def _next(last: Segment) -> Segment:
    events = (Posted(kind="custom", source="system", data={"seen": True}),)
    state = reduce(last.state, last.end, events)
    now = int(time.time() * 1000)
    return Segment(last.end, events, state, uuid.uuid4().hex, now, uuid.uuid4().hex)
