"""A published MCP server, as it comes from the registry, called as an agent's tool."""

import json
from collections.abc import Iterator

import pytest

from cueline.adapters.tools.guard import Network
from cueline.adapters.tools.mcp import mcp_specs
from cueline.adapters.tools.secrets import Secrets
from cueline.engine.agent import McpTool
from tests.mcp.serving import time_server

LOOPBACK = Network.of(["127.0.0.1"])
NO_SECRETS = Secrets(lambda name: pytest.fail(f"nobody asked for {name}"), "cueline/")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with time_server() as url:
        yield url


def test_its_tools_are_listed_as_it_describes_them(url: str) -> None:
    found = mcp_specs("clock", McpTool(tool_id="clock", url=url), LOOPBACK, NO_SECRETS)
    assert [tool.name for tool in found] == ["get_current_time", "convert_time"]
    assert found[0].description
    assert found[0].parameters["required"] == ["timezone"]


def test_a_tool_of_it_is_called(url: str) -> None:
    configured = McpTool(tool_id="clock", url=url, tool_name="convert_time")
    (tool,) = mcp_specs("clock", configured, LOOPBACK, NO_SECRETS)
    given = {
        "source_timezone": "Asia/Tokyo",
        "time": "09:30",
        "target_timezone": "Asia/Kolkata",
    }
    result = tool.run(given, 10)
    assert not result.error
    answer = json.loads(result.output)
    assert answer["target"]["datetime"][11:16] == "06:00"
    assert answer["time_difference"] == "-3.5h"


def test_what_it_refuses_is_an_error_that_says_why(url: str) -> None:
    configured = McpTool(tool_id="clock", url=url, tool_name="get_current_time")
    (tool,) = mcp_specs("clock", configured, LOOPBACK, NO_SECRETS)
    result = tool.run({"timezone": "Mars/Olympus"}, 10)
    assert result.error
    assert "Mars/Olympus" in result.output
