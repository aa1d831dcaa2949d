"""Cold starts: what a process executes until its function could answer."""

import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

from local import template
from local.template import ROOT
from tests.bench import instructions
from tests.bench.report import Row
from tests.bench.servers import FUNCTION, WORK, plain_environment, start_command

TOPIC = "Cold start, to a ready handler (Lambda's own runtime not counted)"
COUNT = (
    "valgrind",
    "--tool=cachegrind",
    "--cache-sim=no",
    "--cachegrind-out-file=/dev/null",
)
ENVIRONMENT = {
    "TABLE_NAME": "cueline",
    "WAKE_UPS_URL": "https://sqs.us-east-1.amazonaws.com/123456789012/wake-ups",
    "SOCKETS_URL": "https://a1b2c3d4e5.execute-api.us-east-1.amazonaws.com/v1",
    "OPENAI_API_KEY": "none",
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_EC2_METADATA_DISABLED": "true",
}
READY = {
    "agents": ("bootstrap.rest()", 2.0),
    "triggered_responses": ("bootstrap.rest()", 2.0),
    "agent_events": ("bootstrap.hosting(); bootstrap.model()", 4.0),
    "worker": ("bootstrap.worker(); bootstrap.model()", 4.2),
    "connections": ("bootstrap.realtime()", 2.0),
    "commands": ("bootstrap.realtime(); bootstrap.sockets_client()", 2.0),
    "broadcast": ("bootstrap.broadcast()", 2.0),
    "triggers": ("bootstrap.rest(); bootstrap.background()", 2.0),
    "intake": ("bootstrap.rest(); bootstrap.background()", 2.0),
    "collector": ("bootstrap.ports(); bootstrap.background()", 2.0),
}
"""What a function's first event has made, and its budget in billions of instructions.

Every other function has its ports, and the budget of one that calls no model.
"""
READY_TOO = {"agent_events": ("which lists events", "bootstrap.following()")}
"""What it may have made instead, by what the function is that does."""


def starts() -> dict[str, tuple[str, float]]:
    """The program that starts each function, and its budget."""
    found = {}
    for function in template.functions(template.load()).values():
        folder = function["Properties"]["CodeUri"]
        name = folder.rpartition("/")[2]
        ready, budget = READY.get(name, ("bootstrap.ports()", 2.0))
        app = f"import {folder.replace('/', '.')}.app"
        if function["Properties"]["Handler"].endswith(".sh"):
            # The server's own command line, up to where it would listen.
            at = start_command().index(FUNCTION)
            options = start_command()[at + 1 :]
            options[options.index("$PORT")] = "8000"
            app = (
                "import uvicorn\n"
                f"given = uvicorn.main.make_context('uvicorn', {[FUNCTION, *options]!r}).params\n"
                "config = uvicorn.Config(given['app'], access_log=given['access_log'],"
                " ws=given['ws'], log_level=given['log_level'])\n"
                "config.load()"
            )
        found[name] = _start(app, ready), budget
        if name in READY_TOO:
            what, ready = READY_TOO[name]
            found[f"{name}, {what}"] = _start(app, ready), budget
    return found


def _start(app: str, ready: str) -> str:
    return f"{app}\nfrom cueline import bootstrap\n{ready}\n"


def rows(say: Callable[[str], None]) -> Iterator[Row]:
    programs = starts()
    if not instructions.there():
        for name, (_, budget) in programs.items():
            yield Row(TOPIC, name, None, "G", budget, instructions.MISSING)
        return
    say("compiling, and counting a bare interpreter")
    for program, _ in programs.values():
        _run(program)
    bare = _instructions("")
    yield Row(TOPIC, "a bare interpreter, which is in all of these", bare, "G")
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        counting = {
            name: pool.submit(_instructions, program) for name, (program, _) in programs.items()
        }
        for name, (program, budget) in programs.items():
            count = counting[name].result()
            say(f"{name}: {count:.2f} G")
            yield Row(TOPIC, name, count, "G", budget, also={"ms of CPU": _milliseconds(program)})


def _instructions(program: str) -> float:
    """Billions, of the whole process."""
    counted = re.search(r"I\s+refs:\s+([\d,]+)", _run(program, COUNT).stderr)
    assert counted
    return int(counted[1].replace(",", "")) / 1e9


def _milliseconds(program: str) -> float:
    timed = f"{program}\nimport time\nprint(time.process_time() * 1000)"
    return float(_run(timed).stdout.split()[-1])


def _run(program: str, under: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Without site packages' own start, as on Lambda; with byte code, as in the layers."""
    plain = plain_environment()
    path = os.pathsep.join([plain["PYTHONPATH"], sysconfig.get_path("purelib")])
    caches = {"PYTHONPATH": path, "PYTHONPYCACHEPREFIX": str(WORK / "byte-code")}
    run = subprocess.run(
        [*under, sys.executable, "-S", "-c", program],
        env={**plain, **ENVIRONMENT, **caches},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if run.returncode:
        raise RuntimeError(f"A function does not start: {run.stderr[-2000:]}")
    return run
