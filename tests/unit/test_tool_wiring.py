"""Who gets tools, and what that costs who has none."""

import subprocess
import sys

import pytest

from cueline import bootstrap
from cueline.adapters.memory import memory_ports
from cueline.adapters.tools.toolbox import ConfiguredToolbox
from cueline.engine.tools import NO_TOOLS
from cueline.settings import Settings
from local.template import ROOT
from tests.clock import FakeClock


def test_turns_have_tools_and_nobody_else_has(monkeypatch: pytest.MonkeyPatch) -> None:
    given = Settings.model_validate({"table_name": "t", "wake_ups_url": "u"})
    ports = memory_ports(FakeClock(now=0))
    monkeypatch.setattr(bootstrap, "settings", lambda: given)
    monkeypatch.setattr(bootstrap, "ports", lambda: ports)
    assert isinstance(bootstrap._turn_ports.__wrapped__().toolbox, ConfiguredToolbox)
    assert bootstrap.ports().toolbox is NO_TOOLS


def test_what_is_behind_tools_is_imported_once_an_agent_has_one() -> None:
    code = """if True:
        import sys
        from cueline.adapters.tools.secrets import Secrets
        from cueline.adapters.tools.toolbox import ConfiguredToolbox
        ConfiguredToolbox((), Secrets(str, "p/"), str)
        rare = {"jsonschema", "mcp", "httpx2", "agent_tools", "asyncio"} & set(sys.modules)
        assert not rare, rare
    """
    path = {"PYTHONPATH": str(ROOT / "layers/cueline")}
    run = subprocess.run([sys.executable, "-c", code], env=path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
