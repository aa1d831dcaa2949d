"""The published clients, in an environment of their own, against the local stack."""

import os
import subprocess

import pytest

from local.template import ROOT
from tests.e2e.conftest import START_SECONDS, Running

RUN_SECONDS = 500
TESTS = sorted(path.name for path in (ROOT / "tests/clients").glob("test_*.py"))


@pytest.mark.timeout(START_SECONDS + RUN_SECONDS)
@pytest.mark.parametrize("file", TESTS)
def test_the_published_clients_pass_their_tests(
    stack: Running, one_byte_url: str, file: str
) -> None:
    run = subprocess.run(
        [ROOT / ".envs/clients/bin/pytest", f"tests/clients/{file}"],
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "HOME": os.environ["HOME"],
            "CUELINE_URL": stack.url,
            "CUELINE_ONE_BYTE_URL": one_byte_url,
            "CUELINE_PRACTICE_URL": stack.practice_url,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=RUN_SECONDS,
    )
    print(run.stdout)  # noqa: T201 - what the clients' own tests said
    assert run.returncode == 0, run.stdout
