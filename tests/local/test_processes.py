"""No process of the local stack outlives the stack, however that ends."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from local.processes import Process, StartError
from local.template import ROOT
from tests.processes import Row, below

STUBBORN = """
import signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
open(sys.argv[1], "w").write(str(__import__("os").getpid()))
time.sleep(60)
"""

PARENT = """
import sys, time
from pathlib import Path
from local.processes import Process
Process("sleeper", [sys.executable, "-c", sys.argv[1], sys.argv[2]], log=Path(sys.argv[3]),
        environment={}, cwd=Path.cwd(), grace=0.3)
time.sleep(60)
"""


def soon(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 20
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
def note(tmp_path: Path) -> Path:
    return tmp_path / "pid"


def noted(note: Path) -> int:
    assert soon(lambda: note.exists() and note.read_text() != "")
    return int(note.read_text())


def start(command: list[str | Path], tmp_path: Path) -> Process:
    log = tmp_path / "log"
    return Process("sample", command, log=log, environment={}, cwd=tmp_path, grace=0.3)


def test_a_process_that_ignores_a_stop_is_killed(tmp_path: Path, note: Path) -> None:
    process = start([sys.executable, "-c", STUBBORN, note], tmp_path)
    pid = noted(note)
    process.stop()
    assert process.code is not None
    assert not alive(pid)


def test_a_killed_parent_takes_its_processes_along(tmp_path: Path, note: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, STUBBORN, note, tmp_path / "log"],
        cwd=ROOT,
    )
    pid = noted(note)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert soon(lambda: not alive(pid))


def test_an_exit_code_comes_through(tmp_path: Path) -> None:
    process = start([sys.executable, "-c", "raise SystemExit(7)"], tmp_path)
    assert process.wait() == 7
    process.stop()


def test_a_start_that_fails_shows_the_end_of_the_log(tmp_path: Path) -> None:
    process = start([sys.executable, "-c", "raise SystemExit('no such table')"], tmp_path)
    with pytest.raises(StartError, match="no such table"):
        process.wait_for("http://127.0.0.1:9/", 10)
    process.stop()


def test_a_child_is_found_though_its_number_is_the_smaller_one() -> None:
    """Numbers begin again at the machine's highest, and the tests look for what they kill."""
    rows = [Row(7, 900, "child"), Row(5, 7, "its own"), Row(900, 1, "it"), Row(8, 1, "other")]
    assert below(900, rows) == {7: "child", 5: "its own"}
