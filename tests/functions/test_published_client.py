"""The published client, in its own environment, against door 1 in memory."""

import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from cueline import bootstrap
from tests.bridge import server

ROOT = Path(__file__).parents[2]
CLIENTS = ROOT / ".envs/clients/bin/python"


@pytest.fixture
def url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(bootstrap, "rest", bootstrap.rest)  # what the bridge puts there goes again
    with server() as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


@pytest.mark.skipif(not CLIENTS.exists(), reason="make test builds .envs/clients")
def test_the_sdk_manages_agents_sessions_and_reads_events(url: str) -> None:
    run = subprocess.run(
        [CLIENTS, "-m", "pytest", "-q", "tests/clients/test_vectara_resources.py"],
        cwd=ROOT,
        env={**os.environ, "CUELINE_URL": url},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-2000:]
