"""Instructions of turns, which nothing else on the machine can disturb; valgrind counts them."""

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

from tests.bench import streams
from tests.bench.report import Row
from tests.bench.servers import WORK, Server, Servers
from tests.bench.talks import Bare, Ours, Talk
from tests.bench.turns import EVENTS_OF_20_MESSAGES, FLAT, SHORT, budget_beside, named

TOPIC = "Instructions of a turn, the kernel's not counted, 0 ms model"
MISSING = "VALGRIND IS NOT THERE, so no instruction was counted (apt-get install valgrind)"
COUNTING = (
    "valgrind",
    "--tool=callgrind",
    "--instr-atstart=no",
    f"--callgrind-out-file={WORK}/callgrind.%p",
    "--log-file=/dev/null",
)
"""What a server runs under. Its start is not counted, which makes it ten times faster."""
TURNS = 8


def there() -> bool:
    return bool(shutil.which("valgrind") and shutil.which("vgdb"))


class Meter:
    """Counts in one server that runs under COUNTING."""

    def __init__(self, server: Server) -> None:
        self._pid = server.pid()
        self._tell("instrumentation on")

    def turn(self, talk: Talk) -> float:
        """Millions of instructions, the mean of some turns."""
        talk.take(3)
        talk.prepare(TURNS)
        self._tell("zero")
        talk.take(TURNS)
        self._tell("dump")
        newest = max(WORK.glob(f"callgrind.{self._pid}.*"), key=lambda path: int(path.suffix[1:]))
        found = re.search(rb"^totals: (\d+)", newest.read_bytes(), re.MULTILINE)
        newest.unlink()
        assert found
        return int(found[1]) / TURNS / 1e6

    def _tell(self, command: str) -> None:
        subprocess.run(
            ["vgdb", f"--pid={self._pid}", *command.split()],
            check=True,
            capture_output=True,
            timeout=120,
        )


def rows(servers: Servers, window: int, say: Callable[[str], None]) -> Iterator[Row]:
    """`window` in bytes, of 20 messages."""
    if not there():
        yield Row(TOPIC, "20 messages beside the bare app", None, "x bare", 1.7, MISSING)
        return
    say("starting the apps again, under valgrind")
    with ThreadPoolExecutor() as pool:
        starting = [
            pool.submit(servers.cueline, "ours-counted", under=COUNTING),
            pool.submit(servers.cueline, "short-counted", under=COUNTING, WINDOW_BYTES=str(window)),
            pool.submit(servers.bare, "bare-counted", under=COUNTING),
        ]
        ours, short, bare = (each.result() for each in starting)
    meters = {server.name: Meter(server) for server in (ours, short, bare)}

    def of(talk: Talk) -> float:
        say(f"{talk.server.name}: {named(talk.events, stream=talk.stream)}, model {talk.model}")
        return meters[talk.server.name].turn(talk)

    for events, stream in (
        (EVENTS_OF_20_MESSAGES, False),
        (EVENTS_OF_20_MESSAGES, True),
        (100, False),
    ):
        mine = of(Ours(servers, ours, SHORT, events, stream=stream))
        other = of(Bare(servers, bare, SHORT, events, stream=stream))
        what = f"{named(events, stream=stream)}, beside the bare app"
        figures = {"ours M": mine, "bare M": other}
        yield Row(TOPIC, what, mine / other, "x bare", budget_beside(events), also=figures)
    with ours.quiet():
        silent = of(Ours(servers, ours, SHORT, EVENTS_OF_20_MESSAGES))
    yield Row(TOPIC, "20 messages, JSON, without the wake-up", silent, "M")
    near, far = (of(Ours(servers, short, SHORT, events)) for events in (100, 10_000))
    yield Row(
        TOPIC,
        "20-message window, 10,000 events as many times 100",
        far / near,
        "x",
        FLAT,
        also={"far M": far, "near M": near},
    )
    few, many = (streams.model(tokens, 0) for tokens in (streams.FEW, streams.MANY))
    slopes = []
    for kind, server in ((Ours, ours), (Bare, bare)):
        long, short_one = (
            of(kind(servers, server, model, EVENTS_OF_20_MESSAGES, stream=True))
            for model in (many, few)
        )
        slopes.append(1000 * (long - short_one) / (streams.MANY - streams.FEW))
    yield Row(TOPIC, "a streamed token", slopes[0], "k", also={"bare k": slopes[1]})
