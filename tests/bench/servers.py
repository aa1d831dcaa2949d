"""The processes of a run: AWS, the model, and the apps that are measured; all on loopback."""

import os
import shlex
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from local.deployment import CREDENTIALS, client
from local.processes import Process
from local.template import ROOT
from tests.contract.backends import TABLE

QUICK = bool(os.environ.get("BENCH_QUICK"))
"""Only to see that the bench works: few turns, no instructions. Its figures mean nothing."""
WORK = ROOT / ".bench/quick" if QUICK else ROOT / ".bench"
START_SCRIPT = ROOT / "functions/agent_events/run.sh"
FUNCTION = "functions.agent_events.app:app"
START_SECONDS = 120.0


@dataclass(frozen=True)
class Server:
    """A measured process."""

    name: str
    url: str
    http: httpx.Client

    def cpu(self) -> float:
        """Seconds that it has used so far."""
        return float(self._probe("GET", "cpu").json()["cpu"])

    def pid(self) -> int:
        return int(self._probe("GET", "cpu").json()["pid"])

    @contextmanager
    def noting(self) -> Iterator[list[dict[str, Any]]]:
        """The calls that it makes inside, once outside."""
        found: list[dict[str, Any]] = []
        self._probe("POST", "calls")
        yield found
        found += self._probe("GET", "calls").json()

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """Inside, it sends no wake-ups."""
        self._probe("DELETE", "wake-ups")
        yield
        self._probe("POST", "wake-ups")

    def _probe(self, method: str, what: str) -> httpx.Response:
        response = self.http.request(method, f"/bench/{what}")
        response.raise_for_status()
        return response


@dataclass
class Servers:
    """Starts processes; all end with the block, however it ends."""

    stack: ExitStack
    dynamodb: Any = None
    sqs: Any = None
    queue: str = ""
    aws: str = ""
    sockets: str = ""
    """What stands for the gateway's end of WebSockets."""
    _environment: dict[str, str] = field(default_factory=dict)
    _model: str = ""

    def cueline(
        self,
        name: str,
        app: str = "tests.bench.served:app",
        *,
        under: Sequence[str] = (),
        **more: str,
    ) -> Server:
        """The streaming function under the command of its start script, or another app.

        `more` is environment, over what the template's defaults are.
        """
        return self._app(name, app, {**self._environment, **more}, under)

    def bare(self, name: str = "bare", *, under: Sequence[str] = ()) -> Server:
        return self._app(name, "tests.bench.bare:app", {"OPENAI_BASE_URL": self._model}, under)

    def _start(self) -> None:
        self.aws = aws = self._process("aws", _python("tests.bench.aws"))
        self.sockets = self._process("sockets", _python("tests.bench.sockets"))
        self._model = self._process("model", _python("tests.bench.model")) + "/v1"
        self.dynamodb, self.sqs = client("dynamodb", aws), client("sqs", aws)
        self.queue = f"{aws}/wake-ups"
        self._environment = {
            **CREDENTIALS,
            "AWS_ENDPOINT_URL": aws,
            "TABLE_NAME": TABLE,
            "WAKE_UPS_URL": self.queue,
            "SOCKETS_URL": self.sockets,
            "OPENAI_BASE_URL": self._model,
            "AUTH": "off",
            # The budgets are those of a process that knows its agents.
            "AGENT_CACHE_SECONDS": "3600",
            "POWERTOOLS_SERVICE_NAME": "agent-events",
        }

    def _app(
        self, name: str, app: str, environment: Mapping[str, str], under: Sequence[str]
    ) -> Server:
        command = [app if part == FUNCTION else part for part in start_command()]
        url = self._process(name, command, environment, under)
        http = httpx.Client(base_url=url, timeout=120, trust_env=False)
        return Server(name, url, self.stack.enter_context(http))

    def _process(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str] | None = None,
        under: Sequence[str] = (),
    ) -> str:
        """Its URL, once it answers there. The port stands for $PORT, or at the command's end."""
        port = str(_free_port())
        with_port = [port if part == "$PORT" else part for part in command]
        if "$PORT" not in command:
            with_port.append(port)
        process = Process(
            name,
            [*under, *with_port],
            log=WORK / f"{name}.log",
            environment={**plain_environment(), **(environment or {})},
            cwd=ROOT,
        )
        self.stack.callback(process.stop)
        url = f"http://127.0.0.1:{port}"
        process.wait_for(f"{url}/healthz", START_SECONDS)
        return url


@contextmanager
def running() -> Iterator[Servers]:
    WORK.mkdir(parents=True, exist_ok=True)
    for old in (*WORK.glob("*.log"), *WORK.glob("callgrind.*")):
        old.unlink()
    with ExitStack() as stack:
        servers = Servers(stack)
        servers._start()
        yield servers


def start_command() -> list[str]:
    """What the start script runs, by this interpreter."""
    script = START_SCRIPT.read_text().replace("\\\n", " ")
    line = next(line for line in script.splitlines() if line.startswith("exec python3 "))
    return [sys.executable, *shlex.split(line)[2:]]


def _python(module: str) -> list[str]:
    return [sys.executable, "-m", module]


def plain_environment() -> dict[str, str]:
    """This process's, without what would decide anything about the measured ones."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AWS_", "OPENAI_", "MODEL_", "POWERTOOLS_", "PYTHON"))
    }
    path = os.pathsep.join([str(ROOT), str(ROOT / "layers/cueline")])
    return {**kept, "PYTHONPATH": path, "PYTHONHASHSEED": "0"}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def log_of(name: str) -> Path:
    return WORK / f"{name}.log"
