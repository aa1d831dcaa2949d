"""What cannot start says so at once, and says what to do."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from local import emulator
from local.claims import claim_folder
from local.processes import StartError
from local.template import ROOT


def make_run(**environment: str) -> "subprocess.CompletedProcess[str]":
    path = {"PATH": os.environ["PATH"], "PYTHONPATH": "layers/cueline", "PORT": "0"}
    return subprocess.run(
        [sys.executable, "-m", "local"],
        cwd=ROOT, capture_output=True, text=True, env={**path, **environment}, timeout=60,
    )  # fmt: skip


def refused(run: "subprocess.CompletedProcess[str]") -> str:
    assert run.returncode == 1
    assert "Traceback" not in run.stderr
    assert not run.stdout, "before any work"
    return run.stderr


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "file"
    file.touch()
    return file


def test_a_setting_that_cannot_be_used(tmp_path: Path) -> None:
    assert "tokns" in refused(make_run(STATE_DIR=str(tmp_path / "new"), LIMITS='{"tokns": 1}'))
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("under", ["", "below"])
def test_a_state_that_is_a_file(file: Path, under: str) -> None:
    assert "STATE_DIR=.local-2 make run" in refused(make_run(STATE_DIR=str(file / under)))


def test_a_state_that_may_not_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    claim_folder(tmp_path)
    monkeypatch.setattr(Path, "open", denied)
    with pytest.raises(StartError, match=r"Permission denied\. Choose another folder"):
        claim_folder(tmp_path)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "localhost:4566", "http://["])
def test_an_emulator_that_does_not_answer(tmp_path: Path, url: str) -> None:
    said = refused(make_run(STATE_DIR=str(tmp_path), AWS_ENDPOINT_URL=url))
    assert f"AWS_ENDPOINT_URL={url}" in said
    assert "env -u AWS_ENDPOINT_URL make run" in said


@pytest.fixture
def another() -> Iterator[str]:
    """An emulator that does not know the path at which ours says that it is well."""
    server = HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_another_emulator_is_taken_as_it_is(another: str) -> None:
    emulator.check(another)
