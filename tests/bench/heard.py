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
"""Milliseconds a token."""
ONE = 1
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
    yield made(TOPIC, f"heard by 1: {what}", listened, len(plain.dynamodb) + LOOK)
    what = "heard by 1: write units of the worker"
    yield Row(TOPIC, what, listened.written, "WRU", plain.written)
    what = "heard by 1: read units of the worker"
    yield Row(TOPIC, what, listened.read, "RRU", plain.read + LOOK)
    yield made(TOPIC, "heard by 1: calls of the broadcast, one for each batch", count(telling))


def watching(door: Door, wire: Wire, speaks: str) -> Iterator[Row]:
    """What the turn reads while the model speaks: to see an interrupt, and to see who listens."""
    session = door.session(speaks)
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
    yield Row(TOPIC, "heard by 1: watching for interrupts", rate, "RRU/s", WATCHING, also=figures)


@dataclass
class _Cell:
    """A session with its listeners, and what its turns have cost the worker."""

    session: str
    gateways: Sequence[str]
    cpu: list[float] = field(default_factory=list)
    """Milliseconds."""
    frames: int = 0
    """Of the newest turn."""
    rates: list[float] = field(default_factory=list)
    """Deltas a second, of each listener in each turn."""

    def take(self, door: Door, wire: Wire) -> None:
        since = wire.here()
        self.cpu.append(1000 * _turn(door, self.session))
        for gateway in self.gateways:
            wire.wait(since, is_talk("ended", gateway), "the end of the turn")
        frames = wire.frames[since:]
        self.frames = sum(len(_deltas(frames, gateway)) for gateway in self.gateways)
        self.rates += [_rate(frames, gateway) for gateway in self.gateways]


@dataclass(frozen=True)
class _Pair:
    """A short answer and a long one, both for so many listeners."""

    few: _Cell
    many: _Cell
    tokens: int
    """What the long one has more."""

    @property
    def cpu(self) -> float:
        """Of a token."""
        many, few = (statistics.median(cell.cpu) for cell in (self.many, self.few))
        return (many - few) / self.tokens

    @property
    def frames(self) -> float:
        """Of a token."""
        return (self.many.frames - self.few.frames) / self.tokens


def tokens(
    door: Door, wire: Wire, lengths: tuple[int, int], most: int, rounds: int
) -> Iterator[Row]:
    """CPU, as the slope between a short answer and a long one; and how often each is told."""
    few, many = lengths

    def cell(tokens: int, listeners: int) -> _Cell:
        session = door.session(spoken(tokens))
        return _Cell(session, wire.listeners(session, listeners))

    pairs = {n: _Pair(cell(few, n), cell(many, n), many - few) for n in (0, ONE, most)}
    cells = [cell for pair in pairs.values() for cell in (pair.few, pair.many)]
    for pair in pairs.values():
        pair.few.take(door, wire)  # what a process does once is not what a turn costs
        pair.few.cpu.clear()
    for _ in range(rounds):
        for each in cells:
            each.take(door, wire)
    plain = pairs.pop(0)
    topic = f"{TOPIC}: the worker's CPU a token, {PACE} ms apart"
    yield Row(topic, "not heard: CPU a token", plain.cpu, "ms")
    for listeners, pair in pairs.items():
        figures = {
            "ms": pair.cpu,
            "ms a delta sent": (pair.cpu - plain.cpu) / pair.frames,
            "of one core": pair.cpu / PACE,
        }
        what = f"heard by {listeners}: CPU a token"
        yield Row(topic, what, pair.cpu / plain.cpu, "x unheard", also=figures)
    for listeners, pair in pairs.items():
        rates = pair.many.rates
        what = f"heard by {listeners}: deltas for one connection"
        figures = {"the most of any": max(rates)}
        yield Row(TOPIC, what, statistics.mean(rates), "a second", DELTAS, also=figures)


def _deltas(frames: Sequence[Frame], gateway: str) -> list[Frame]:
    return [*filter(is_message("delta", gateway), frames)]


def _rate(frames: Sequence[Frame], gateway: str) -> float:
    """A second, while the turn speaks. When it ends, the last is sent at once; and a pause counts
    from the first frame that is sent, which before the first delta is that the agent talks."""
    paced = _deltas(frames, gateway)[:-1]
    if not paced:
        return 0.0
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
