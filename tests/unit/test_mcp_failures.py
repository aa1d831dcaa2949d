"""Whatever an MCP server does, a visit ends in time and says what was wrong."""

import socket
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse

from cueline.adapters.tools import mcp
from cueline.adapters.tools.found import Found, ToolError
from cueline.adapters.tools.guard import Network
from cueline.adapters.tools.secrets import Secrets
from cueline.engine.agent import McpTool
from tests.mcp.servers import (
    Message,
    Scripted,
    error,
    hanging,
    raw,
    result,
    stateless,
    text,
    tool,
    wait_for_threads,
)

LOOPBACK = Network.of(["127.0.0.1"])
SECRETS = Secrets(lambda name: f"value-of-{name}", "cueline/")
RESUMABLE = "id: 7\nretry: 60000\ndata:\n\n"
DOUBT = "The call may have had its effect all the same."


@pytest.fixture(autouse=True)
def nothing_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ports come back; what another test's server said at one must not."""
    monkeypatch.setattr(mcp, "_listings", mcp._Listings())


def found(url: str, network: Network = LOOPBACK, **more: Any) -> list[Found]:
    return list(mcp.mcp_specs("t", McpTool(tool_id="t", url=url, **more), network, SECRETS))


def listing_problem(url: str, network: Network = LOOPBACK, **more: Any) -> str:
    with pytest.raises(ToolError) as raised:
        found(url, network, **more)
    return str(raised.value)


def call_problem(scripted: Scripted, seconds: float = 10) -> str:
    """What its only tool fails with; it was called once at most."""
    with scripted.serving() as url, pytest.raises(ToolError) as raised:
        found(url)[0].run({}, seconds)
    assert scripted.heard.count("tools/call") <= 1
    return str(raised.value)


def streamed(*parts: str) -> Response:
    async def body() -> AsyncIterator[str]:
        for part in parts:
            yield part

    return StreamingResponse(body(), media_type="text/event-stream")


# --- servers that cannot be used -----------------------------------------------------------------


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    assert "cannot be reached" in listing_problem(f"http://127.0.0.1:{port}/mcp")


def test_the_guard_keeps_it_from_the_own_network() -> None:
    problem = listing_problem("http://127.0.0.1:9/mcp", Network())
    assert "is not on the public internet" in problem


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/x", "http://u:secret@127.0.0.1/x", "http://[x/"])
def test_no_url_that_is_called(url: str) -> None:
    assert "secret" not in listing_problem(url)


def test_headers_that_are_the_connections_own_may_not_be_set() -> None:
    problem = listing_problem("http://127.0.0.1:9/mcp", headers={"Host": "other", "X-Key": "k"})
    assert problem == "It may not set host."


@pytest.mark.parametrize("status", [401, 403])
def test_it_wants_another_secret(status: int) -> None:
    scripted = Scripted(
        server__discover=lambda _: JSONResponse({"message": "no"}, status),
        initialize=lambda _: Response(status_code=status),
    )
    with scripted.serving() as url:
        named = listing_problem(url, secret_headers={"X-Key": "cueline/127.0.0.1/k"})
        assert named.endswith(f"does not let this agent in (HTTP {status}): is X-Key right?")
        assert "value-of" not in named
        assert "gives no secret header" in listing_problem(url)


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (Response(status_code=404), "has no MCP at this URL (HTTP 404)"),
        (JSONResponse({"message": "Missing"}, 404), "has no MCP at this URL (HTTP 404)"),
        (Response(status_code=500), "failed (HTTP 500)"),
        (JSONResponse({"message": "sorry"}, 503), "failed (HTTP 503)"),
        (HTMLResponse("<h1>Welcome</h1>"), "answered with text/html, which is not MCP"),
        (Response(status_code=200), "answered with nothing, which is not MCP"),
        (JSONResponse({"hello": "world"}), "answered with something that is not MCP"),
        (Response("{", media_type="application/json"), "answered with something that is not MCP"),
        (Response(status_code=202), "answered with nothing, which is not MCP"),
    ],
)
def test_it_is_no_mcp_server(answer: Response, problem: str) -> None:
    scripted = Scripted(initialize=lambda _: answer)
    with scripted.serving() as url:
        assert problem in listing_problem(url)


def test_it_speaks_a_version_that_is_not_known() -> None:
    said = {"protocolVersion": "1999-01-01", "capabilities": {}}
    said["serverInfo"] = {"name": "old", "version": "1"}
    with Scripted(initialize=lambda asked: result(asked, said)).serving() as url:
        assert "speaks no version of MCP that is known here" in listing_problem(url)


def test_it_answers_something_that_is_not_even_http() -> None:
    with raw(b"SSH-2.0-OpenSSH_9.6\r\n") as url:
        assert "broke off the connection" in listing_problem(url)


@pytest.mark.parametrize("method", ["server/discover", "initialize", "tools/list"])
def test_a_list_that_does_not_come(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mcp, "LIST_SECONDS", 0.5)
    started = time.monotonic()
    with hanging(method).serving() as url:
        assert "did not answer within 0.5 s" in listing_problem(url)
        assert time.monotonic() - started < 8


def test_a_server_that_fails_is_not_asked_again_at_once() -> None:
    scripted = Scripted(tools__list=lambda asked: error(asked, -32603, "broken"))
    with scripted.serving() as url:
        problems = {listing_problem(url) for _ in range(3)}
    assert len(problems) == 1
    assert "answered with an error: broken (-32603)" in problems.pop()
    assert scripted.heard.count("tools/list") == 1


def test_a_session_that_is_lost_is_opened_again_for_the_list() -> None:
    lost = [True]

    def listed(asked: Message) -> Response:
        if lost and lost.pop():
            return error(asked, -32600, "Session not found", status=404)
        return result(asked, {"tools": [tool("work")]})

    scripted = Scripted(tools__list=listed)
    with scripted.serving() as url:
        assert [one.name for one in found(url)] == ["work"]
    assert scripted.heard.count("initialize") == 2


# --- calls that fail -----------------------------------------------------------------------------


def test_a_call_that_does_not_end_is_left_in_time_and_its_session_is_closed() -> None:
    scripted, threads = hanging("tools/call"), threading.active_count()
    started = time.monotonic()
    problem = call_problem(scripted, seconds=1)
    assert f"did not answer within 1 s. {DOUBT}" in problem
    assert time.monotonic() - started < 8
    assert scripted.heard.count("DELETE") == 2  # of the list, and of the call
    wait_for_threads(threads)


def test_a_server_that_hangs_in_the_handshake_of_a_call_is_left_in_time() -> None:
    scripted = Scripted()
    with scripted.serving() as url:
        (one,) = found(url)
        for method in ("initialize", "notifications/initialized"):
            before, scripted.says[method] = scripted.says[method], scripted.hang
            started = time.monotonic()
            with pytest.raises(ToolError, match=r"did not answer within 0\.5 s\."):
                one.run({}, 0.5)
            assert time.monotonic() - started < 8
            scripted.says[method] = before
    assert "tools/call" not in scripted.heard


def test_a_goodbye_that_hangs_keeps_no_answer_back() -> None:
    scripted = hanging("DELETE")
    with scripted.serving() as url:
        (one,) = found(url)
        started = time.monotonic()
        assert one.run({}, 30).output == "done"
        assert time.monotonic() - started < 15


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (Response(status_code=500), f"failed (HTTP 500). {DOUBT}"),
        (HTMLResponse("<h1>Oops</h1>"), f"answered with text/html, which is not MCP. {DOUBT}"),
        (Response("{", media_type="application/json"), f"that is not MCP. {DOUBT}"),
        (streamed("event: message\n"), f"ended without a response. {DOUBT}"),
        (
            streamed(RESUMABLE.replace("60000", "10")),
            f"reconnection attempts were exhausted. {DOUBT}",
        ),
        (streamed("data: {]\n\n"), f"that is not MCP. {DOUBT}"),
        (Response(status_code=401), "does not let this agent in (HTTP 401)"),
        (Response(status_code=429), "refused the request (HTTP 429)"),
    ],
)
def test_a_call_that_fails_is_not_made_again(answer: Response, problem: str) -> None:
    assert problem in call_problem(Scripted(tools__call=lambda _: answer))


def test_a_result_of_another_shape() -> None:
    scripted = Scripted(tools__call=lambda asked: result(asked, {"content": "no list"}))
    assert f"answered with something that is not MCP. {DOUBT}" in call_problem(scripted)


def test_a_connection_that_breaks_in_the_middle_of_an_answer() -> None:
    def broken(_: Message) -> Response:
        return Response("{", media_type="application/json", headers={"content-length": "100"})

    assert f"broke off the connection. {DOUBT}" in call_problem(Scripted(tools__call=broken))


@pytest.mark.parametrize("status", [200, 400, 500])
def test_an_error_of_the_server_is_passed_on_and_its_tools_are_listed_anew(status: int) -> None:
    scripted = Scripted(tools__call=lambda asked: error(asked, -32602, "Unknown tool", status))
    with scripted.serving() as url:
        (one,) = found(url)
        scripted.says["tools/list"] = lambda asked: result(asked, {"tools": [tool("play")]})
        with pytest.raises(ToolError, match=r"answered with an error: Unknown tool \(-32602\)"):
            one.run({}, 10)
        assert [one.name for one in found(url)] == ["play"]


def test_a_session_that_is_lost_is_not_opened_again_for_a_call() -> None:
    scripted = Scripted(tools__call=lambda asked: error(asked, -32600, "Session not found", 404))
    assert "ended the session in the middle of it" in call_problem(scripted)
    assert scripted.heard.count("initialize") == 2  # of the list, and of the call


@pytest.mark.parametrize("as_stream", [True, False])
def test_an_answer_that_is_too_large(as_stream: bool) -> None:
    def large(asked: Message) -> Response:
        whole = result(asked, {"content": text("x" * 2_000_000)})
        said = bytes(whole.body).decode()
        return streamed(RESUMABLE, f"data: {said}\n\n") if as_stream else whole

    started = time.monotonic()
    assert "has more than 1,000,000 bytes" in call_problem(Scripted(tools__call=large), seconds=30)
    assert time.monotonic() - started < 15  # it is not asked for the rest a minute later


def test_a_question_to_a_person_is_not_passed_on() -> None:
    asks = {"resultType": "input_required", "inputRequests": {}, "requestState": "x"}
    scripted = stateless(tools__call=lambda asked: result(asked, asks))
    assert "asks for input from a person" in call_problem(scripted)


def test_a_server_that_is_gone_keeps_its_tools_and_its_calls_say_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mcp, "KEEP_SECONDS", 0.0)
    with Scripted().serving() as url:
        found(url)
    (one,) = found(url)
    with pytest.raises(ToolError, match="cannot be reached"):
        one.run({}, 10)
