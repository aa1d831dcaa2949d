"""HTTP tools against a real server, which the deployment calls its own."""

import json
import socket
import time
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from cueline.adapters.tools.found import ToolError
from cueline.adapters.tools.guard import Network
from cueline.adapters.tools.http import http_tool
from cueline.adapters.tools.secrets import Secrets
from cueline.engine.agent import HttpTool
from cueline.engine.tools import ToolResult
from tests.remote import Server, remote

SECONDS = 5.0
SECRET = "s3cr3t-value"


@pytest.fixture
def server() -> Iterator[Server]:
    with remote() as server:
        yield server


def secrets() -> Secrets:
    def read(name: str) -> str:
        if name == "cueline/tools/127.0.0.1/denied":
            raise ClientError({"Error": {"Code": "AccessDeniedException"}}, "GetSecretValue")
        return SECRET

    return Secrets(read, "cueline/tools/")


def call(network: Network, seconds: float = SECONDS, **configured: Any) -> Callable[..., Any]:
    """Calls such a tool with these arguments."""
    tool = http_tool("it", HttpTool(tool_id="t", **configured), network, secrets())

    def run(**arguments: Any) -> ToolResult:
        return tool.run(arguments, seconds)

    return run


def heard(result: ToolResult) -> dict[str, Any]:
    assert not result.error, result.output
    found: dict[str, Any] = json.loads(result.output)
    return found


# --- requests ------------------------------------------------------------------------------------


def test_arguments_are_encoded_into_path_and_query(server: Server) -> None:
    tool = call(server.network, url=server.url + "/v1/{city}/now?unit={unit}")
    result = tool(city="São/Paulo?#", unit="°C&x=1", days=[1, 2], deep={"a": 1}, no=None, yes=True)
    path = heard(result)["path"]
    assert path.startswith("/v1/S%C3%A3o%2FPaulo%3F%23/now?unit=%C2%B0C%26x%3D1&days=1&days=2&")
    assert path.endswith("&deep=%7B%22a%22%3A1%7D&yes=true")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_other_methods_have_the_other_arguments_in_a_json_body(server: Server, method: str) -> None:
    tool = call(server.network, url=server.url + "/v1/{id}", method=method)
    said = heard(tool(id=7, note="hü", tags=["a"]))
    assert (said["method"], said["path"]) == (method, "/v1/7")
    assert json.loads(said["body"]) == {"note": "hü", "tags": ["a"]}
    assert server.asked[0][2]["content-type"] == "application/json"


def test_deleting_has_no_body(server: Server) -> None:
    said = heard(
        call(server.network, url=server.url + "/v1/{id}", method="DELETE")(id="a", why="b")
    )
    assert (said["method"], said["path"], said["body"]) == ("DELETE", "/v1/a?why=b", "")


@pytest.mark.parametrize("value", ["", ".", "..", "../x", "x/..", "x\\..\\y", "..\\"])
def test_an_argument_cannot_lead_to_another_resource(server: Server, value: str) -> None:
    tool = call(server.network, url=server.url + "/users/{id}/notes", method="DELETE")
    with pytest.raises(ToolError, match="must not become"):
        tool(id=value)
    assert not server.asked
    assert heard(tool(id="a/b..c"))["path"] == "/users/a%2Fb..c/notes"


def test_arguments_beside_each_other_cannot_lead_to_another_resource_either(
    server: Server,
) -> None:
    tool = call(server.network, url=server.url + "/users/{a}{b}/notes?of={of}")
    with pytest.raises(ToolError, match="must not become"):
        tool(a=".", b="./x", of="../x")
    assert heard(tool(a="x", b="y", of="../x"))["path"] == "/users/xy/notes?of=..%2Fx"


def test_a_missing_argument_of_the_url_is_named(server: Server) -> None:
    with pytest.raises(ToolError, match="'city' is missing"):
        call(server.network, url=server.url + "/{city}")()
    assert not server.asked


def test_arguments_of_the_url_are_described_where_nobody_did() -> None:
    tool = HttpTool(tool_id="t", url="https://a.example/{city}?unit={unit}&again={city}")
    found = http_tool("it", tool, Network(), secrets())
    assert found.parameters["required"] == ["city", "unit"]


def test_a_tool_that_nobody_described_does_not_tell_its_path_which_may_be_secret() -> None:
    tool = HttpTool(tool_id="t", url="https://a.example:8443/T0/B0/hush?x=hush", method="POST")
    found = http_tool("it", tool, Network(), secrets())
    assert found.description == "POST https://a.example:8443"


@pytest.mark.parametrize("name", ["User-Agent", "user-agent"])
def test_a_configured_user_agent_stands_for_the_own_one(server: Server, name: str) -> None:
    agents: list[list[str]] = []

    def note(to: Any) -> None:
        agents.append(to.headers.get_all("user-agent"))
        server.send(to, b"ok", "text/plain")

    server.note = note  # type: ignore[attr-defined]
    call(server.network, url=server.url + "/note", headers={name: "shop/1"})()
    call(server.network, url=server.url + "/note")()
    assert agents == [["shop/1"], ["cueline"]]


@pytest.mark.parametrize(
    ("configured", "why"),
    [
        ({"url": "https://{host}.example/"}, "placeholder in the host"),
        ({"url": "file:///etc/passwd"}, "not one of http"),
        ({"url": "https:///x"}, "not one of http"),
        ({"url": "https://a.example", "headers": {"Host": "b"}}, "may not set host"),
        (
            {"url": "https://a.example", "secret_headers": {"Transfer-Encoding": "x"}},
            "may not set transfer-encoding",
        ),
    ],
)
def test_a_configuration_that_makes_no_request_is_refused(
    configured: dict[str, Any], why: str
) -> None:
    with pytest.raises(ToolError, match=why):
        call(Network(), **configured)


# --- secrets -------------------------------------------------------------------------------------


def test_a_secret_goes_into_its_header_and_nowhere_else(server: Server) -> None:
    tool = call(
        server.network,
        url=server.url + "/echo",
        headers={"x-plain": "1"},
        secret_headers={"x-key": "cueline/tools/127.0.0.1/k"},
    )
    said = heard(tool())
    headers = server.asked[0][2]
    assert (headers["x-key"], headers["x-plain"]) == (SECRET, "1")
    assert said["key"] == "[secret]"


@pytest.mark.parametrize(
    "name", ["cueline/tools/127.0.0.1/denied", "cueline/tools/a.example/k", "production/database"]
)
def test_a_secret_that_cannot_be_used_is_named(server: Server, name: str) -> None:
    tool = call(server.network, url=server.url, secret_headers={"x-key": name})
    with pytest.raises(ToolError, match=name):
        tool()
    assert not server.asked


# --- answers -------------------------------------------------------------------------------------


def test_an_error_of_the_server_is_an_error_with_its_status(server: Server) -> None:
    result = call(server.network, url=server.url + "/fail")()
    assert result == ToolResult("HTTP 404\nno such city", error=True)


def test_an_empty_answer_says_that_it_is_one(server: Server) -> None:
    assert call(server.network, url=server.url + "/nothing")() == ToolResult("HTTP 204")


def test_what_is_no_text_is_not_shown(server: Server) -> None:
    result = call(server.network, url=server.url + "/image")()
    assert result.error
    assert "image/png" in result.output


@pytest.mark.parametrize(
    ("charset", "body", "text"),
    [
        ("utf-8", "ü".encode(), "ü"),
        ("ISO-8859-1", "ü".encode("latin-1"), "ü"),
        ("utf-16", "ü".encode("utf-16"), "ü"),
        ("us-ascii", b"u", "u"),
        ("zlib", zlib.compress(b"a" * 1000), "x"),
        ("punycode", b"a" * 100_000 + b"-" + b"baaaaaa" * 60_000, "a"),
        ("undefined", "ü".encode(), "ü"),
        ("nonsense", "ü".encode(), "ü"),
        ('"a b"', b"u", "u"),
    ],
    ids=lambda value: str(value[:12]),
)
def test_only_encodings_of_text_are_read(
    server: Server, charset: str, body: bytes, text: str
) -> None:
    def odd(to: Any) -> None:
        server.send(to, body, f"text/plain; charset={charset}")

    server.odd = odd  # type: ignore[attr-defined]
    began = time.process_time()
    result = call(server.network, url=server.url + "/odd")()
    assert not result.error
    assert result.output.startswith(text)
    assert time.process_time() - began < 2


def test_a_server_that_does_not_answer_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    tool = call(Network.of([f"127.0.0.1:{port}"]), url=f"http://127.0.0.1:{port}/?token=x")
    with pytest.raises(ToolError, match=r"127\.0\.0\.1 cannot be reached") as error:
        tool()
    assert "token" not in str(error.value)
