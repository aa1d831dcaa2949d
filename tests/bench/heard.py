"""What it costs a turn that somebody listens to it: beside one to which nobody does."""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.bench import streams
from tests.bench.calls import count, made
from tests.bench.listening import Frame, Wire, is_message, is_talk, until
from tests.bench.queues import WATCHING
from tests.bench.report import Row
from tests.bench.triggered import MESSAGE, Door
from tests.bench.turns import SHORT

TOPIC = "Door 3: a turn that is heard, beside one that is not"
PACE = 30
FEW, MANY = 20, 120
"""Tokens of a turn."""
ONE, MOST = 1, 50
"""Listeners; no more of them hear deltas."""
LOOK = 1
"""Budget, in calls and in read units: a turn of less than a second looks once who listens."""
DELTAS = 10.0
"""Budget: a second, for one connection."""
CONNECTIONS, SEGMENTS = "C#", "E#"
"""How their sort keys begin."""


def spoken(tokens: int) -> str:
    return streams.model(tokens, PACE)


def counted(door: Door, wire: Wire) -> Iterator[Row]:
    unheard, heard = door.session(SHORT), door.session(SHORT)
    (gateway,) = wire.listeners(heard, ONE)
    plain = count(_noted(door, unheard))
    since = wire.here()
    with wire.broadcast.noting() as telling:
        listened = count(_noted(door, heard))
        wire.wait(since, is_talk("ended", gateway), "the end of the turn")
    what = "calls of the worker"
    yield made(TOPIC, f"not heard: {what}", plain)
    yield made(TOPIC, f"heard by one: {what}", listened, len(plain.dynamodb) + LOOK)
    what = "heard by one: write units of the worker"
    yield Row(TOPIC, what, listened.written, "WRU", plain.written)
    what = "heard by one: read units of the worker"
    yield Row(TOPIC, what, listened.read, "RRU", plain.read + LOOK)
    yield made(TOPIC, "heard by one: calls of the broadcast", count(telling))


def watching(door: Door, wire: Wire) -> Iterator[Row]:
    """What the turn reads while the model speaks: to see an interrupt, and to see who listens."""
    session = door.session(spoken(MANY))
    wire.listeners(session, ONE)
    calls = _noted(door, session)
    asked = next(n for n, call in enumerate(calls) if call["service"] == "model")
    commit = max(n for n, call in enumerate(calls) if call["operation"] == "PutItem")
    seconds = calls[commit]["began"] - calls[asked]["began"]
    reads = [c for c in calls[asked:commit] if c["operation"] in ("GetItem", "Query")]
    listeners = [call for call in reads if _place(call).startswith(CONNECTIONS)]
    looks = [call for call in reads if _place(call).startswith(SEGMENTS)]
    figures = {
        "looks": len(looks),
        "seconds": seconds,
        "to see who listens RRU/s": count(listeners).read / seconds,
    }
    rate = count(looks).read / seconds
    yield Row(TOPIC, "heard by one: watching for interrupts", rate, "RRU/s", WATCHING, also=figures)


@dataclass
class _Cell:
    """A session with its listeners, and what its turns have cost the worker."""

    session: str
    gateways: Sequence[str]
    cpu: list[float] = field(default_factory=list)
    """Milliseconds."""
    frames: int = 0
    """Of the newest turn."""
    rate: float = 0.0
    """Deltas a second of whoever has got the most, in any turn."""

    def take(self, door: Door, wire: Wire) -> None:
        since = wire.here()
        self.cpu.append(1000 * _turn(door, self.session))
        for gateway in self.gateways:
            wire.wait(since, is_talk("ended", gateway), "the end of the turn")
        frames = wire.frames[since:]
        self.frames = sum(len(_deltas(frames, gateway)) for gateway in self.gateways)
        self.rate = max([self.rate, *(_rate(frames, gateway) for gateway in self.gateways)])


def tokens(door: Door, wire: Wire, rounds: int) -> Iterator[Row]:
    """Its CPU, as the slope between a short answer and a long one; and how often it is told."""
    cells: dict[tuple[int, int], _Cell] = {}
    for listeners in (0, ONE, MOST):
        for number in (FEW, MANY):
            session = door.session(spoken(number))
            cells[listeners, number] = _Cell(session, wire.listeners(session, listeners))
    for cell in cells.values():
        if len(cell.gateways) < MOST:
            cell.take(door, wire)  # what a process does once is not what a turn costs
            cell.cpu.clear()
    for _ in range(rounds):
        for cell in cells.values():
            cell.take(door, wire)
    plain = _slope(cells[0, FEW], cells[0, MANY])
    topic = f"{TOPIC}: the worker's CPU a token, {PACE} ms apart"
    yield Row(topic, "not heard: CPU a token", plain, "ms")
    for listeners, what in ((ONE, "heard by one"), (MOST, f"heard by {MOST}")):
        few, many = cells[listeners, FEW], cells[listeners, MANY]
        heard = _slope(few, many)
        frame = (heard - plain) * (MANY - FEW) / (many.frames - few.frames)
        figures = {"ms": heard, "ms a delta sent": frame, "of one core": heard / PACE}
        yield Row(topic, f"{what}: CPU a token", heard / plain, "x unheard", also=figures)
    for listeners, what in ((ONE, "heard by one"), (MOST, f"heard by {MOST}, the most of any")):
        rate = cells[listeners, MANY].rate
        yield Row(topic, f"{what}: deltas for a connection", rate, "a second", DELTAS)


def _slope(few: _Cell, many: _Cell) -> float:
    return (statistics.median(many.cpu) - statistics.median(few.cpu)) / (MANY - FEW)


def _deltas(frames: Sequence[Frame], gateway: str) -> list[Frame]:
    return [*filter(is_message("delta", gateway), frames)]


def _rate(frames: Sequence[Frame], gateway: str) -> float:
    """A second, while the turn speaks. When it ends, the last is sent at once; and a pause counts
    from the first frame that is sent, which before the first delta is that the agent talks."""
    *paced, _last = _deltas(frames, gateway)
    begun = next(filter(is_talk("started", gateway), frames))
    return (len(paced) - 1) / (paced[-1].at - begun.at)


def _turn(door: Door, session: str) -> float:
    """Asked for at door 2, which nobody must hear. Seconds of the worker's CPU."""
    with door.working() as used:
        door.post(session, MESSAGE)
        until(lambda: used, "the turn has ended")
        return used[0]


def _noted(door: Door, session: str) -> list[dict[str, Any]]:
    with door.worker.noting() as calls:
        _turn(door, session)
    return calls


def _place(read: dict[str, Any]) -> str:
    """The sort key, or the first of them."""
    params = read["params"]
    key = params["Key"]["sk"] if "Key" in params else params["ExpressionAttributeValues"][":first"]
    return str(key["S"])
