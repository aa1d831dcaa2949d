import fcntl
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from local import deployment, template
from local.template import ROOT


@pytest.fixture(scope="session")
def source() -> dict[str, Any]:
    """template.yaml as it is written."""
    return template.load()


@pytest.fixture(scope="session")
def expanded_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template as CloudFormation sees it."""
    file = tmp_path_factory.mktemp("template") / "expanded.json"
    run = subprocess.run(
        [ROOT / ".envs/sam/bin/python", ROOT / "local/expand.py"],
        capture_output=True,
        check=True,
        env={"PATH": os.environ["PATH"], "AWS_DEFAULT_REGION": "us-east-1"},
    )
    file.write_bytes(run.stdout)
    return file


@pytest.fixture(scope="session")
def expanded(expanded_file: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(expanded_file.read_text())
    return content


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `sam build` makes of the template, once for all workers."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    target = shared / "built"
    with (shared / "built.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            deployment.build(target, shared / "sam.log")
    return target
