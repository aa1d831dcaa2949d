"""One local stack for all tests of this folder, started as `make run` starts it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from local.claims import free_port
from local.template import ROOT
from tests.e2e.one_byte import one_byte_at_a_time
from tests.processes import below, listed

START_SECONDS = 240
LEASE_SECONDS = 4
TOOL_NETWORK = "127.0.0.1"
"""Where the services are that the tests themselves serve."""
LIBRARY = str(ROOT / "layers/cueline")
HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.e2e)
            item.add_marker(pytest.mark.timeout(START_SECONDS + 120))


@dataclass
class Running:
    """A stack with a state and a port of its own."""

    state: Path
    port: int = field(default_factory=free_port)
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def said(self) -> str:
        """What this start has printed so far."""
        return (self.state / "said.log").read_text()

    def environment(self, **more: str) -> dict[str, str]:
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("AWS_", "OPENAI_", "MODEL_", "PYTEST_"))
        }
        state = {"STATE_DIR": str(self.state), "PORT": str(self.port), "PYTHONPATH": LIBRARY}
        own = {"LEASE_SECONDS": str(LEASE_SECONDS), "TOOL_NETWORK": TOOL_NETWORK}
        return {**kept, **state, **own, **more}

    def start(self) -> None:
        with (self.state / "said.log").open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "local"],
                cwd=ROOT,
                env=self.environment(),
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while "is ready at" not in self.said:
            if self.process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"The local stack did not start. It said:\n{self.said}")
            time.sleep(0.1)

    def stop(self, number: int = signal.SIGINT, within: float = 150) -> int:
        """Ends it by a signal, and returns its exit code.

        It removes what the emulator unpacked, which is 10,000 files for each running function.
        """
        assert self.process
        self.process.send_signal(number)
        return self.process.wait(within)

    def processes(self) -> dict[int, str]:
        """All processes under this stack: id and command."""
        assert self.process
        return below(self.process.pid, listed())

    def kill(self, part: str) -> int:
        """SIGKILLs the processes whose command has `part` in it; says how many there were."""
        found = [
            pid
            for pid, command in self.processes().items()
            if part in command and "child.py" not in command
        ]
        for pid in found:
            os.kill(pid, signal.SIGKILL)
        return len(found)

    @property
    def practice_url(self) -> str:
        return f"http://127.0.0.1:{self._ports()['practice']}/practice"

    @property
    def endpoint(self) -> str:
        """Of the emulator."""
        return f"http://127.0.0.1:{self._ports()['emulator']}"

    def _ports(self) -> dict[str, int]:
        ports: dict[str, int] = json.loads((self.state / "ports.json").read_text())
        return ports

    def wait_until_healthy(self, seconds: float = 20) -> None:
        deadline = time.monotonic() + seconds
        while True:
            try:
                if httpx.get(f"{self.url}/healthz", timeout=5).is_success:
                    return
            except httpx.HTTPError:
                pass
            assert time.monotonic() < deadline, "the stack is not healthy"
            time.sleep(0.1)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    running = Running(tmp_path_factory.mktemp("stack"))
    try:
        running.start()
        yield running
    finally:
        if running.process and running.process.poll() is None:
            running.stop(signal.SIGTERM)


@pytest.fixture(scope="session")
def one_byte_url(stack: Running) -> Iterator[str]:
    """The same stack behind a network that delivers one byte at a time."""
    with one_byte_at_a_time(stack.port) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def api(stack: Running) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=stack.url, timeout=60, trust_env=False) as client:
        yield client
