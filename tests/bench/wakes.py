"""What the worker does with a wake-up."""

from collections import Counter
from collections.abc import Iterator, Mapping

from cueline.adapters.clock import SystemClock
from cueline.adapters.memory import MemoryWakeUps, memory_ports
from cueline.adapters.wake_ups import wake_up_to_json
from cueline.engine.ports import WakeUp
from cueline.engine.wake import arm
from tests.bench.calls import Counted, count
from tests.bench.report import Row
from tests.bench.servers import Server
from tests.bench.talks import Talk


def look(worker: Server, talk: Talk, times: int) -> tuple[Counted, float]:
    """At a session in which nothing is to be done, and milliseconds of CPU for it."""
    session = f"{talk.model}.{talk.settled()}"
    body = wake_up_to_json(_own(session))

    def work() -> float:
        response = worker.http.post("/work", content=body)
        response.raise_for_status()
        assert not response.json()["failed"]
        return float(response.json()["cpu"])

    work()
    with worker.noting() as calls:
        work()
    return count(calls), 1000 * sum(work() for _ in range(times)) / times


def _own(session: str) -> WakeUp:
    """What a turn sends before it begins."""
    ports = memory_ports(SystemClock())
    arm(ports, session, guards=1, lease=0)
    assert isinstance(ports.wake_ups, MemoryWakeUps)
    return ports.wake_ups.drain()[0]


def rows(looks: Mapping[str, tuple[Counted, float]]) -> Iterator[Row]:
    for what, (found, milliseconds) in looks.items():
        names = ", ".join(f"{n} {name}" for name, n in Counter(found.dynamodb).items())
        figures = {"ms of CPU": milliseconds, "RRU": found.read, "sends": found.sqs}
        yield Row(
            "The wake-up of a turn that has ended",
            f"{what}: calls",
            len(found.dynamodb),
            note=names,
            also=figures,
        )
