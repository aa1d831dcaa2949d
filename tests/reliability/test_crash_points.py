"""A process that is killed, or stands still, between any two steps of a turn."""

import itertools
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cueline.log.events import Answered, Input
from tests.reliability.client import Client
from tests.reliability.conditions import Conditions, Stop
from tests.reliability.driver import crew, made, prepare, said
from tests.reliability.evidence import stored
from tests.reliability.laws import broken
from tests.reliability.scenarios import Say
from tests.reliability.stack import Base, Stack

HOWS = ("SIGKILL", "SIGSTOP")
AT_ONCE = 16
"""Points that are tried beside each other: most of their time is waiting."""
MOST_STEPS = 16
"""More than a worker's turn has, which nobody knows before the workers start."""


@dataclass
class Crashes:
    """One stack, on which each crash point has a session of its own."""

    stack: Stack
    door: str
    clients: list[Client] = field(default_factory=list)
    tools: bool = False
    wanted: dict[str, str] = field(default_factory=dict)
    """Session -> the text that must be there once. Everything there must have an answer."""

    def __post_init__(self) -> None:
        self.ann = self.client()
        how = {"tools": True} if self.tools else {"brief": True}
        self.agent, _, _ = prepare(self.stack, self.ann, "crash", 0, **how).partition(".")

    def client(self) -> Client:
        self.clients.append(Client("ann", lambda: self.door))
        return self.clients[-1]

    def session(self, name: str, text: str) -> str:
        made(self.ann, f"/v2/agents/{self.agent}/sessions", {"key": name})
        self.wanted[f"{self.agent}.{name}"] = text
        return f"{self.agent}.{name}"

    def host(self, session: str, text: str, joined: str = "", stop: Stop | None = None) -> None:
        """A process of its own takes the message in and hosts its turn, as far as it gets."""
        name = session.partition(".")[2]
        post = {
            "session": session,
            "path": f"/v2/agents/{self.agent}/sessions/{name}/events",
            "body": said(Say("ann", text)),
            "headers": {"idempotency-key": "once"},
            "joined": joined,
        }
        self.stack.start("host", post=post, steps_of=session, stops=(stop,) if stop else ())

    def note(self, kind: str, session: str) -> Path:
        """What a process leaves behind."""
        return Path(self.stack.given.folder) / f"{kind}-{session}"

    def wait_for(self, kind: str, session: str) -> str:
        until = time.monotonic() + 30
        while not self.note(kind, session).exists():
            assert time.monotonic() < until, f"no {kind} of {session}"
            time.sleep(0.02)
        return self.note(kind, session).read_text()

    def wait_for_stop(self, session: str) -> None:
        """Or for its answer: a turn that waits less makes fewer steps than the one counted."""
        until = time.monotonic() + 30
        while not any(self.note(kind, session).exists() for kind in ("host", "answer")):
            assert time.monotonic() < until, f"{session} neither stops nor ends"
            time.sleep(0.02)

    def stopped(self) -> int:
        return sum(self.note("host", session).exists() for session in self.wanted)

    def check(self) -> None:
        self.stack.rest()
        told = [one for client in self.clients for one in client.told]
        items = self.stack.items()
        found = [*broken(items, told, ledger=self.stack.ledger()), *self.stack.errors()]
        logs = {log.session: log.recorded for log in stored(items)}
        for session, text in self.wanted.items():
            events = [recorded.event for recorded in logs.get(session, [])]
            inputs = [e.texts[0] for e in events if isinstance(e, Input)]
            answered = {o for e in events if isinstance(e, Answered) for o in e.inputs}
            if inputs.count(text) != 1 or len(answered) != len(inputs):
                found.append(f"{session}: {events}")
        assert not found, "\n".join(found)


@contextmanager
def crashing(
    shared: Base, stops: tuple[Stop, ...] = (), *, tools: bool = False
) -> Iterator[Crashes]:
    with shared.stack(Conditions("crash points")) as stack, crew(stack, 2, stops=stops):
        crashes = Crashes(stack, stack.door(), tools=tools)
        try:
            yield crashes
            crashes.check()
        finally:
            for client in crashes.clients:
                client.close()


def telling(steps: Sequence[str], first: int) -> Iterator[int]:
    """The steps from there on, but of the chunks of one answer, which are alike, every sixth only.

    And its first and its last.
    """
    for n in range(first, len(steps)):
        if n % 6 == 0 or set(steps[n - 1 : n + 2]) != {"model.chunk"} or n + 1 == len(steps):
            yield n


def test_whoever_hosts_a_turn_may_stop_anywhere(shared: Base) -> None:
    """And its caller, who asks again under its key, gets the one answer that there is."""
    with crashing(shared) as crashes:
        points: list[tuple[str, str, int]] = []
        for joined in ("", "And me."):
            session = crashes.session(f"all-{bool(joined)}", "Hello.")
            crashes.host(session, "Hello.", joined)
            steps = crashes.wait_for("steps", session).split()
            # Up to the one who joins, both are the same.
            first = steps.index("model.chunk") + 2 if joined else 0
            points += itertools.product([joined], HOWS, telling(steps, first))

        def crash(joined: str, how: str, step: int) -> None:
            session = crashes.session(f"{how}-{bool(joined)}-{step}", "Hello.")
            crashes.host(session, "Hello.", joined, Stop(session, step, how))
            crashes.wait_for_stop(session)
            again = crashes.client().say(session, said(Say("ann", "Hello.")), key="once")
            assert again.status == 201, again

        with ThreadPoolExecutor(AT_ONCE) as pool:
            for tried in [pool.submit(crash, *point) for point in points]:
                tried.result()
        assert len(points) > 30
        assert crashes.stopped() > 20


def test_whoever_runs_tools_may_stop_anywhere(shared: Base) -> None:
    """What must not run twice does not, what may is done, and the answer is given in any case."""
    with crashing(shared, tools=True) as crashes:
        session = crashes.session("all", 'Pay and note "all".')
        crashes.host(session, 'Pay and note "all".')
        steps = crashes.wait_for("steps", session).split()
        assert steps.count("tool.run") == steps.count("tool.ran") == 2
        points = [*itertools.product(HOWS, telling(steps, steps.index("model.stream")))]

        def crash(how: str, step: int) -> None:
            text = f'Pay and note "{how} {step}".'
            session = crashes.session(f"{how}-{step}", text)
            crashes.host(session, text, "", Stop(session, step, how))
            crashes.wait_for_stop(session)
            again = crashes.client().say(session, said(Say("ann", text)), key="once")
            assert again.status == 201, again

        with ThreadPoolExecutor(AT_ONCE) as pool:
            for tried in [pool.submit(crash, *point) for point in points]:
                tried.result()
        assert len(points) > 30
        assert crashes.stopped() > 20
        noted = {line for line in crashes.stack.ledger() if line.startswith("note ")}
        assert len(noted) == len(points) + 1


def test_whoever_works_off_a_wake_up_may_stop_anywhere(shared: Base) -> None:
    points = [*itertools.product(HOWS, range(MOST_STEPS))]
    stops = tuple(Stop(f"crash.{how}-{step}", step, how) for how, step in points)
    with crashing(shared, stops) as crashes:
        sessions = [crashes.session(f"{how}-{step}", "A parcel has come.") for how, step in points]
        for session in sessions:
            crashes.client().send(session, "A parcel has come.", "enqueue")
        crashes.stack.rest()
        stopped = [crashes.note("worker", session).exists() for session in sessions]
        assert sum(stopped) > 20


def test_whoever_takes_a_dead_turn_over_may_stop_anywhere(shared: Base) -> None:
    points = [*itertools.product(HOWS, range(MOST_STEPS))]
    stops = tuple(Stop(f"crash.{how}-{step}", step, how) for how, step in points)
    with crashing(shared, stops) as crashes:
        for how, step in points:
            session = crashes.session(f"{how}-{step}", "Hello.")
            crashes.host(session, "Hello.", stop=Stop(f"{session}", 6, "SIGKILL"))
        crashes.stack.rest()
        sessions = [*crashes.wanted]
        assert sum(crashes.note("worker", session).exists() for session in sessions) > 20
