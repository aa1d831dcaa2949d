"""The published clients, in an environment of their own, against the local stack."""

import os
import subprocess

from local.template import ROOT
from tests.e2e.conftest import Running


def test_the_published_clients_pass_their_tests(stack: Running, one_byte_url: str) -> None:
    run = subprocess.run(
        [ROOT / ".envs/clients/bin/pytest", "tests/clients"],
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "HOME": os.environ["HOME"],
            "CUELINE_URL": stack.url,
            "CUELINE_ONE_BYTE_URL": one_byte_url,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    print(run.stdout)  # noqa: T201 - what the clients' own tests said
    assert run.returncode == 0, run.stdout
