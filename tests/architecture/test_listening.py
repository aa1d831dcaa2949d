"""What telling listeners costs a function that runs turns: nothing, until somebody listens."""

import subprocess
import sys

import pytest

from local.template import ROOT

SOCKETS = "https://a1b2c3d4e5.execute-api.us-east-1.amazonaws.com/v1"
ENVIRONMENT = {
    "PYTHONPATH": str(ROOT / "layers/cueline"),
    "TABLE_NAME": "t",
    "WAKE_UPS_URL": "u",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
}
READY = """if True:
    from cueline import bootstrap
    bootstrap.worker()
    listeners = bootstrap._turn_ports().listeners
"""
NOTHING_IMPORTED = """if True:
    import sys
    rare = [name for name in sys.modules if name.startswith("cueline.doors.client_commands")]
    assert not rare, rare
    assert not bootstrap.sockets_client.cache_info().currsize
"""
NOBODY = "from cueline.engine.listeners import NOBODY\nassert listeners is NOBODY\n"
SPOKEN = """if True:
    listeners.speech("a.s", 1, "t")
    assert bootstrap.sockets_client.cache_info().currsize == 1
    listeners.speech("a.s", 1, "u")
    assert bootstrap.sockets_client.cache_info().currsize == 1
"""


@pytest.mark.parametrize(
    ("sockets", "program"),
    [
        ("", READY + NOTHING_IMPORTED + NOBODY),
        (SOCKETS, READY + NOTHING_IMPORTED),
        (SOCKETS, READY + SPOKEN),
    ],
    ids=["without sockets nobody listens", "nobody listens yet", "somebody listens"],
)
def test_what_tells_listeners_is_made_when_a_turn_speaks_to_them(
    sockets: str, program: str
) -> None:
    run = subprocess.run(
        [sys.executable, "-c", program],
        env={**ENVIRONMENT, "SOCKETS_URL": sockets},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.returncode == 0, run.stderr
