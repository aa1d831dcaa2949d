"""The parts of a run, one after the other, so that none disturbs another."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain

from tests.bench import (
    background,
    calls,
    cold,
    heard,
    histories,
    instructions,
    polls,
    prices,
    queues,
    realtime,
    replies,
    streams,
    turns,
    wakes,
)
from tests.bench.listening import Wire
from tests.bench.report import Row
from tests.bench.servers import Server, Servers
from tests.bench.talks import Bare, Ours, Talk
from tests.bench.triggered import GUIDED, GUIDELINES, Door
from tests.bench.turns import EVENTS_OF_20_MESSAGES, FLAT, SHORT, Cell, named

Say = Callable[[str], None]

PACED = "20-17-30"
"""340 characters at 30 ms a token: what a caller sees of a model that takes its time."""
WINDOW_BYTES = 400_000
LENGTHS = (10, EVENTS_OF_20_MESSAGES, 100, 1_000, 10_000)
WITH_WAKE_UP, WITHOUT = 6.0, 5.0
"""Budgets in ms of CPU."""
LONG = "200-6-30"
"""Speaks for six seconds, unless it is interrupted."""
SPOKEN = 120
"""Tokens of a turn that is heard: 3.6 seconds."""
LISTENERS = 50
"""No more of them hear deltas."""
MODEL_SECONDS = 1.5
"""50 tokens at 30 ms: what a turn of the price list waits for."""


@dataclass(frozen=True)
class Bench:
    servers: Servers
    quick: bool
    say: Say
    ours: Server
    """As it is deployed."""
    short: Server
    """With a window of 20 messages."""
    bare: Server
    worker: Server
    rest: Server
    """What door 2 has beside the streaming function, and door 4."""

    def our(
        self, events: int, model: str = SHORT, *, stream: bool = False, compacted: bool = False
    ) -> Ours:
        return Ours(self.servers, self.ours, model, events, stream=stream, compacted=compacted)

    def windowed(self, events: int) -> Ours:
        return Ours(self.servers, self.short, SHORT, events)

    def other(self, events: int, model: str = SHORT, *, stream: bool = False) -> Bare:
        return Bare(self.servers, self.bare, model, events, stream=stream)


def everything(servers: Servers, *, quick: bool, say: Say) -> Iterator[Row]:
    say("starting the apps")
    window = histories.window_of(SHORT, EVENTS_OF_20_MESSAGES // histories.EVENTS_A_TURN)
    slopes = [
        streams.model(tokens, pace) for pace in (0, 5) for tokens in (streams.FEW, streams.MANY)
    ]
    spoken = [heard.spoken(tokens) for tokens in {*heard_tokens(quick=quick), SPOKEN}]
    for model in (SHORT, PACED, LONG, *slopes, *spoken):
        histories.create_agent(servers.dynamodb, model)
    histories.create_agent(servers.dynamodb, SHORT, GUIDED, GUIDELINES)
    bench = Bench(
        servers,
        quick,
        say,
        ours=servers.cueline("ours"),
        short=servers.cueline("ours-20", WINDOW_BYTES=str(window)),
        bare=servers.bare(),
        worker=servers.cueline("worker", "tests.bench.served_worker:app"),
        rest=servers.cueline("rest", "tests.bench.served_rest:app", TOKEN_SECRET_ARN="bench"),
    )
    windows = {"ours": WINDOW_BYTES, "ours-20": window}
    yield from counted(bench, windows)
    yield from cpu(bench)
    yield from paced(bench)
    yield from tokens(bench)
    yield from busy(bench)
    yield from second_door(bench)
    yield from third_door(bench)
    yield from fourth_door(bench)
    if not quick:
        yield from instructions.rows(servers, window, say)
        say("cold starts")
        yield from cold.rows(say)


def counted(bench: Bench, windows: dict[str, int]) -> Iterator[Row]:
    bench.say("counting calls and request units")
    talks: dict[str, Talk] = {"20 messages": bench.our(EVENTS_OF_20_MESSAGES)}
    for events in (100, 1_000) if bench.quick else (100, 10_000):
        talks[f"window of 20 messages, {events:,} events"] = bench.windowed(events)
        talks[f"default window, {events:,} events"] = bench.our(events)
        talks[f"compacted, {events:,} events"] = bench.our(events, compacted=True)
    yield from calls.rows(talks, windows)


def cpu(bench: Bench) -> Iterator[Row]:
    bench.say("CPU of turns, a model that answers at once")
    lengths, some = (LENGTHS[:2], 5) if bench.quick else (LENGTHS, 20)
    pairs = {
        named(events, stream=stream): (
            Cell(bench.our(events, stream=stream), some if events < 1_000 else 5),
            # Much history takes it a second.
            Cell(bench.other(events, stream=stream), some if events < 1_000 else 1),
        )
        for stream in (False, True)
        for events in lengths
    }
    quiet = Cell(bench.our(EVENTS_OF_20_MESSAGES), some, quiet=True)
    near, far = (Cell(bench.windowed(events), some) for events in (100, lengths[-1]))
    cells = [*chain.from_iterable(pairs.values()), quiet, near, far]
    turns.run(cells, 1 if bench.quick else 5, bench.say)
    yield from turns.beside(pairs, "CPU of a turn beside the bare app's, 0 ms model", budgets=True)
    topic = "CPU of a JSON turn, 0 ms model"
    plain, _ = pairs[named(EVENTS_OF_20_MESSAGES, stream=False)]
    yield Row(topic, "20 messages, with the wake-up", plain.median.cpu, "ms", WITH_WAKE_UP)
    yield Row(topic, "20 messages, without it", quiet.median.cpu, "ms", WITHOUT)
    yield Row(
        topic,
        f"20-message window, {far.talk.events:,} events as many times {near.talk.events}",
        far.median.cpu / near.median.cpu,
        "x",
        FLAT,
        also={"far ms": far.median.cpu, "near ms": near.median.cpu},
    )
    yield from money(bench, plain.median.cpu / 1000)


def paced(bench: Bench) -> Iterator[Row]:
    bench.say("turns with a model that takes 30 ms a token")
    pairs = {
        named(events, stream=stream): (
            Cell(bench.our(events, PACED, stream=stream), 1),
            Cell(bench.other(events, PACED, stream=stream), 1),
        )
        for stream in (False, True)
        for events in (LENGTHS[1:2] if bench.quick else LENGTHS)
    }
    turns.run(list(chain.from_iterable(pairs.values())), 1 if bench.quick else 2, bench.say)
    topic = "CPU of a turn beside the bare app's, 20 tokens at 30 ms"
    yield from turns.beside(pairs, topic, budgets=False)


def tokens(bench: Bench) -> Iterator[Row]:
    bench.say("CPU of a token")
    for what, pace, each, rounds in (("all at once", 0, 5, 5), ("5 ms apart", 5, 1, 3)):
        if bench.quick and pace:
            continue
        models = [streams.model(many, pace) for many in (streams.FEW, streams.MANY)]
        ours = [Cell(bench.our(EVENTS_OF_20_MESSAGES, m, stream=True), each) for m in models]
        bare = [Cell(bench.other(EVENTS_OF_20_MESSAGES, m, stream=True), each) for m in models]
        turns.run([*ours, *bare], 1 if bench.quick else rounds, bench.say)
        yield from streams.rows(what, ours, bare)


def busy(bench: Bench) -> Iterator[Row]:
    bench.say("a busy session")
    yield from queues.queued(bench.servers, bench.ours, bench.worker, PACED)
    yield from queues.watching(bench.ours, bench.our(EVENTS_OF_20_MESSAGES, LONG, stream=True))
    times = 1 if bench.quick else 5
    yield from queues.interrupted(bench.servers, bench.ours, LONG, times)


def second_door(bench: Bench) -> Iterator[Row]:
    bench.say("the second door: its turns")
    door = Door(bench.servers, bench.rest, bench.ours, bench.worker)
    times = 2 if bench.quick else 30
    yield from replies.timed(door, bench.other(EVENTS_OF_20_MESSAGES), times)
    yield from replies.counted(door)
    yield from replies.triggers(door, None if bench.quick else LONG, times)
    bench.say("the second door: lists that wait")
    yield from polls.idle(door, *((4, 1) if bench.quick else (20, 5)))
    yield from polls.lag(door, 4 if bench.quick else 40)


def third_door(bench: Bench) -> Iterator[Row]:
    bench.say("the third door: commands")
    door = Door(bench.servers, bench.rest, bench.ours, bench.worker)
    commands, broadcast = (
        bench.servers.cueline(name, "tests.bench.served_realtime:app")
        for name in ("commands", "broadcast")
    )
    wire = Wire(bench.servers, commands, broadcast)
    with wire.telling():
        yield from realtime.acknowledged(door, wire, 2 if bench.quick else 30)
        yield from realtime.counted(door, wire)
        speaks = heard.spoken(SPOKEN)
        yield from realtime.interrupted(door, wire, speaks, 2 if bench.quick else 20)
        bench.say("the third door: turns that are heard")
        yield from heard.counted(door, wire)
        yield from heard.watching(door, wire, speaks)
        lengths = heard_tokens(quick=bench.quick)
        most, rounds = (3, 1) if bench.quick else (LISTENERS, 3)
        yield from heard.tokens(door, wire, lengths, most, rounds)


def fourth_door(bench: Bench) -> Iterator[Row]:
    bench.say("the fourth door: events are taken in")
    door = Door(bench.servers, bench.rest, bench.ours, bench.worker)
    yield from background.timed(door, 3 if bench.quick else 200)
    yield from background.counted(door)


def heard_tokens(*, quick: bool) -> tuple[int, int]:
    """Of the answers whose difference tells what a token costs that is heard."""
    return (10, 40) if quick else (20, SPOKEN)


def money(bench: Bench, seconds: float) -> Iterator[Row]:
    """What wake-ups that find nothing to do need, and what a million turns cost."""
    lengths = (EVENTS_OF_20_MESSAGES, 1_000 if bench.quick else 10_000)
    looks: dict[str, tuple[calls.Counted, float]] = {}
    costs: list[Row] = []
    for events in lengths:
        talk = bench.our(events)
        what = f"a session of {events:,} events"
        looks[what] = wakes.look(bench.worker, talk, 3 if bench.quick else 5)
        found, milliseconds = looks[what]
        turn = prices.Turn(
            what, calls.counted(talk), found, MODEL_SECONDS, seconds, milliseconds / 1000
        )
        costs += prices.rows(turn)
    yield from wakes.rows(looks)
    yield from costs
