"""The program that the README shows, word for word but for the port."""

import re

import httpx
import pytest

from local.template import ROOT
from tests.e2e.conftest import Running
from tests.e2e.test_local_stack import AGENT
from tests.talking_live import Live


def test_the_program_hears_the_agent_token_by_token(
    stack: Running, api: httpx.Client, capsys: pytest.CaptureFixture[str]
) -> None:
    created = api.post("/v2/agents", json={**AGENT, "key": "guide"})
    assert created.status_code in {201, 409}
    # The program gives a WebSocket ten seconds, and what has never run here may take them to start.
    Live(api, "guide").connect().close()
    [program] = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    known: dict[str, object] = {}
    exec(compile(program.replace("http://127.0.0.1:8800", stack.url), "README.md", "exec"), known)
    agents, said = known["agents"], known["m"]
    assert isinstance(agents, httpx.Client)
    agents.close()
    assert isinstance(said, dict)
    heard, _, whole = capsys.readouterr().out.partition("\n\nAs a whole: ")
    assert said["content"].startswith(heard)
    assert whole.strip() == said["content"].strip()
    assert "You said “Hello!”" in said["content"]
