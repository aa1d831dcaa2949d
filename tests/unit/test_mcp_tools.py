"""What an MCP server offers becomes tools, and what it answers becomes their output."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any

import pytest
from mcp.server import MCPServer
from mcp.server.mcpserver import Image
from mcp.server.mcpserver.exceptions import ToolError as Failed
from mcp_types import CallToolResult, EmbeddedResource, TextResourceContents
from pydantic import Field

from cueline.adapters.tools import mcp
from cueline.adapters.tools.found import MOST_TOOLS, Found, ToolError
from cueline.adapters.tools.guard import Network
from cueline.adapters.tools.mcp import mcp_specs
from cueline.adapters.tools.secrets import Secrets
from cueline.engine.agent import McpTool
from cueline.engine.tools import ToolResult
from local.template import ROOT
from tests.mcp.servers import (
    Scripted,
    error,
    result,
    serving_tools,
    stateless,
    text,
    tool,
    wait_for_threads,
)

LOOPBACK = Network.of(["127.0.0.1"])
SECRETS = Secrets(lambda name: f"value of {name}", "cueline/")

server = MCPServer("tests")


@server.tool(description="Adds two numbers.")
def add(a: int, b: int) -> int:
    return a + b


@server.tool(structured_output=False)
def greet(whom: str) -> str:
    return f"Hello {whom}, 你好\u2028!"


@server.tool()
def fail() -> str:
    raise Failed("out of ink")


@server.tool(structured_output=False)
def draw() -> list[Any]:
    return ["Here it is:", Image(data=b"x" * 3000, format="png")]


@server.tool(structured_output=False)
def read() -> CallToolResult:
    contents = TextResourceContents(uri="file:///notes.txt", text="the notes")
    return CallToolResult(content=[EmbeddedResource(resource=contents)])


@server.tool(structured_output=False)
def route(city: Annotated[str, Field(json_schema_extra={"x-mcp-header": "City"})]) -> str:
    return f"to {city}"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving_tools(server) as url:
        yield url


@pytest.fixture(autouse=True)
def nothing_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ports come back; what another test's server said at one must not."""
    monkeypatch.setattr(mcp, "_listings", mcp._Listings())


def found(url: str, **more: Any) -> dict[str, Found]:
    configured = McpTool(tool_id="t", url=url, **more)
    return {one.name: one for one in mcp_specs("t", configured, LOOPBACK, SECRETS)}


def run(url: str, name: str, **arguments: Any) -> ToolResult:
    return found(url)[name].run(arguments, 10)


def test_every_tool_is_found_with_its_description_and_schema(url: str) -> None:
    tools = found(url)
    assert set(tools) == {"add", "greet", "fail", "draw", "read", "route"}
    assert tools["add"].description == "Adds two numbers."
    assert tools["add"].parameters["required"] == ["a", "b"]


def test_one_tool_is_found_where_one_is_named(url: str) -> None:
    assert list(found(url, tool_name="greet")) == ["greet"]


def test_a_name_that_the_server_does_not_have_is_answered_with_those_it_has(url: str) -> None:
    with pytest.raises(ToolError, match=r"has no tool 'sing'\. It has: add, greet"):
        found(url, tool_name="sing")


def test_structured_content_is_given_as_json(url: str) -> None:
    assert run(url, "add", a=2, b=3) == ToolResult('{"result":5}')


def test_text_is_given_as_it_is(url: str) -> None:
    assert run(url, "greet", whom="Ada") == ToolResult("Hello Ada, 你好\u2028!")


def test_an_image_is_described_in_a_line(url: str) -> None:
    assert run(url, "draw").output == "Here it is:\n[image, image/png, 3,000 bytes: not shown]"


def test_the_text_of_a_resource_is_given_with_its_address(url: str) -> None:
    assert run(url, "read").output == "[file:///notes.txt]\nthe notes"


def test_a_tool_that_fails_says_why(url: str) -> None:
    failed = run(url, "fail")
    assert failed.error
    assert "out of ink" in failed.output


def test_arguments_that_a_server_wants_in_headers_are_there(url: str) -> None:
    assert run(url, "route", city="Zürich").output == "to Zürich"


def test_several_threads_call_at_once(url: str) -> None:
    tools = found(url)
    with ThreadPoolExecutor(8) as pool:
        sums = pool.map(lambda n: tools["add"].run({"a": n, "b": 1}, 10).output, range(24))
        assert list(sums) == [f'{{"result":{n + 1}}}' for n in range(24)]


def test_the_list_is_asked_for_once_for_the_same_headers() -> None:
    scripted = Scripted()
    with scripted.serving() as url:
        for _ in range(3):
            found(url)
        assert scripted.heard.count("tools/list") == 1
        found(url, headers={"x-tenant": "other"})
        assert scripted.heard.count("tools/list") == 2


def test_the_list_is_asked_for_again_after_five_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(mcp, "_listings", mcp._Listings(lambda: now[0]))
    scripted = Scripted()
    with scripted.serving() as url:
        for now[0] in (1000.0, 1299.0, 1301.0, 1600.0):
            found(url)
    assert scripted.heard.count("tools/list") == 2


def test_so_many_lists_are_remembered_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mcp, "MOST_SERVERS", 2)
    scripted = Scripted()
    with scripted.serving() as url:
        for tenant in ("a", "b", "c", "c", "b", "a"):
            found(url, headers={"x-tenant": tenant})
    assert scripted.heard.count("tools/list") == 4


def test_headers_and_secrets_come_with_each_request() -> None:
    scripted = Scripted()
    more: Any = {
        "headers": {"X-Tenant": "a"},
        "secret_headers": {"Authorization": "cueline/127.0.0.1/key"},
    }
    with scripted.serving() as url:
        assert found(url, **more)["work"].run({}, 10) == ToolResult("done")
    assert {headers["x-tenant"] for headers in scripted.headers} == {"a"}
    assert {headers["authorization"] for headers in scripted.headers} == {
        "value of cueline/127.0.0.1/key"
    }


def test_a_secret_that_a_server_repeats_is_not_passed_on() -> None:
    def repeat(asked: dict[str, Any]) -> Any:
        return result(asked, {"content": text(scripted.headers[-1]["x-key"] + "!")})

    def complain(asked: dict[str, Any]) -> Any:
        return error(asked, -32000, f"bad key: {scripted.headers[-1]['x-key']}")

    scripted = Scripted(tools__call=repeat)
    with scripted.serving() as url:
        one = found(url, secret_headers={"X-Key": "cueline/127.0.0.1/key"})["work"]
        assert one.run({}, 10).output == "[secret]!"
        scripted.says["tools/call"] = complain
        with pytest.raises(ToolError, match=r"gave no result: bad key: \[secret\]\."):
            one.run({}, 10)


def test_all_pages_of_a_list_are_read_up_to_what_a_model_takes() -> None:
    def page(asked: dict[str, Any]) -> Any:
        at = int(asked.get("params", {}).get("cursor", 0))
        tools = [tool(f"t{n}", description="x" * 10) for n in range(at, at + 50)]
        return result(asked, {"tools": tools, "nextCursor": str(at + 50)})

    scripted = Scripted(tools__list=page)
    with scripted.serving() as url:
        assert len(found(url)) == MOST_TOOLS
        assert list(found(url, tool_name="t700")) == ["t700"]
    assert scripted.heard.count("tools/list") == 20  # it would go on for ever


def test_a_session_is_opened_for_a_call_and_closed_after_it() -> None:
    scripted = Scripted()
    with scripted.serving() as url:
        one = found(url)["work"]
        scripted.heard.clear()
        one.run({}, 10)
    assert [heard for heard in scripted.heard if heard != "GET"] == [
        "initialize",
        "notifications/initialized",
        "tools/call",
        "DELETE",
    ]


def test_a_server_without_sessions_is_asked_once_for_a_call() -> None:
    done = {"content": text("done"), "resultType": "complete"}
    scripted = stateless(tools__call=lambda asked: result(asked, done))
    with scripted.serving() as url:
        assert run(url, "work") == ToolResult("done")
    assert scripted.heard == ["server/discover", "tools/list", "tools/call"]


def test_errors_with_structured_content_say_their_text() -> None:
    answer = {"content": text("no ink"), "structuredContent": {"ink": 0}, "isError": True}
    with Scripted(tools__call=lambda asked: result(asked, answer)).serving() as url:
        assert run(url, "work") == ToolResult("no ink", error=True)


def test_nothing_is_left_running_after_a_call() -> None:
    with Scripted().serving() as url:
        (one,) = found(url).values()
        threads = threading.active_count()
        for _ in range(5):
            one.run({}, 10)
        wait_for_threads(threads)


def test_the_client_library_is_imported_on_first_use_only() -> None:
    code = "import cueline.adapters.tools.mcp, sys; sys.exit('mcp' in sys.modules)"
    where = {"PYTHONPATH": str(ROOT / "layers/cueline")}
    assert subprocess.run([sys.executable, "-c", code], check=False, env=where).returncode == 0
