"""The published clients, in an environment of their own, against the local stack."""

import os
import subprocess
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from local.template import ROOT
from tests.e2e.conftest import START_SECONDS, Running

RUN_SECONDS = 500
AT_ONCE = 4
"""Files that run beside each other: most of their time is waiting for slow answers."""
FOUND = (ROOT / "tests/clients").glob("test_*.py")
FILES = [path.name for path in sorted(FOUND, key=lambda path: -path.stat().st_size)]
"""The longest first, which is roughly the longest to run."""
Run = subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def runs(
    stack: Running, one_byte_url: str, request: pytest.FixtureRequest
) -> Iterator[Mapping[str, Future[Run]]]:
    """What became of each file that was asked for."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": os.environ["HOME"],
        "CUELINE_URL": stack.url,
        "CUELINE_ONE_BYTE_URL": one_byte_url,
        "CUELINE_PRACTICE_URL": stack.practice_url,
        "CHROME": os.environ.get("CHROME", ""),
    }

    def run(file: str) -> Run:
        return subprocess.run(
            [ROOT / ".envs/clients/bin/pytest", "-p", "no:cacheprovider", f"tests/clients/{file}"],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=RUN_SECONDS,
        )

    asked = "".join(item.name for item in request.session.items)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {file: pool.submit(run, file) for file in FILES if f"[{file}]" in asked}


@pytest.mark.timeout(START_SECONDS + RUN_SECONDS)
@pytest.mark.parametrize("file", FILES)
def test_the_published_clients_pass_their_tests(runs: Mapping[str, Future[Run]], file: str) -> None:
    run = runs[file].result()
    print(run.stdout)  # noqa: T201 - what the clients' own tests said
    assert run.returncode == 0, run.stdout
