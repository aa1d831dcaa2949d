"""The edge between two upstreams that note what they get."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from starlette.requests import Request

from local import edge, template
from local.edge import Edge, Upstreams, create_app

EVENTS = "/v2/agents/a/sessions/s/events"


class Upstream(httpx.AsyncBaseTransport):
    """Answers each request with `answer`, and keeps it."""

    def __init__(self, answer: Callable[[httpx.Request], httpx.Response]) -> None:
        self.answer = answer
        self.requests: list[httpx.Request] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        self.requests.append(request)
        return self.answer(request)


def through(
    upstream: httpx.AsyncBaseTransport, monkeypatch: pytest.MonkeyPatch, **asked: Any
) -> httpx.Response:
    """One request through an edge whose upstreams are `upstream`."""
    made: list[Edge] = []

    class Watched(Edge):
        def __init__(self, upstreams: Upstreams) -> None:
            super().__init__(upstreams)
            self.http = httpx.AsyncClient(transport=upstream)
            made.append(self)

    monkeypatch.setattr(edge, "Edge", Watched)
    app = create_app(Upstreams("http://rest/v1", "http://streaming", "arn:f", template.load()))

    async def run() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:1") as client:
            answer = await client.request(**asked)
        await made[0].http.aclose()
        return answer

    return asyncio.run(run())


def said(status: int, body: dict[str, Any], **headers: str) -> httpx.Response:
    """As from a socket: not read yet."""
    stream = httpx.ByteStream(json.dumps(body).encode())
    return httpx.Response(status, headers=headers, stream=stream)


def ok(_: httpx.Request) -> httpx.Response:
    return said(200, {})


def test_only_the_streaming_route_goes_to_the_streaming_function(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    upstream = Upstream(ok)
    for method, path in (("POST", EVENTS), ("GET", EVENTS), ("POST", EVENTS + "/e/hide")):
        through(upstream, monkeypatch, method=method, url=path)
    hosts = [request.url.host for request in upstream.requests]
    assert hosts == ["streaming", "rest", "rest"]
    assert upstream.requests[1].url.path == "/v1" + EVENTS


def test_nobody_can_pose_as_the_gateway(monkeypatch: pytest.MonkeyPatch) -> None:
    upstream = Upstream(ok)
    posed = {"x-amzn-request-context": "{}", "x-amzn-lambda-context": "{}"}
    through(upstream, monkeypatch, method="POST", url=EVENTS, headers=posed)
    (request,) = upstream.requests
    assert json.loads(request.headers["x-amzn-request-context"])["stage"] == "v1"
    assert json.loads(request.headers["x-amzn-lambda-context"])["deadline"] > 0
    through(upstream, monkeypatch, method="GET", url=EVENTS, headers=posed)
    assert not set(upstream.requests[1].headers) & set(posed)


def test_headers_of_the_connection_stay_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    upstream = Upstream(ok)
    headers = {"connection": "x-mine", "x-mine": "1", "te": "trailers", "x-request-id": "given"}
    through(
        upstream,
        monkeypatch,
        method="GET",
        url="/v2/agents?limit=2&page_key=a%2Fb",
        headers=headers,
    )
    (request,) = upstream.requests
    assert "x-mine" not in request.headers
    assert "te" not in request.headers
    assert request.headers["x-request-id"] == "given"
    assert request.url.query == b"limit=2&page_key=a%2Fb"


def test_a_path_is_handed_on_as_it_came(monkeypatch: pytest.MonkeyPatch) -> None:
    upstream = Upstream(ok)
    through(upstream, monkeypatch, method="GET", url="/v2/agents/a%2Fb/sessions/%C3%A9")
    assert upstream.requests[0].url.raw_path == b"/v1/v2/agents/a%2Fb/sessions/%C3%A9"


def test_an_unhandled_error_says_nothing_of_its_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    leak = Upstream(lambda _: said(502, {"message": "KeyError: 'sk-secret'"}))
    answer = through(leak, monkeypatch, method="GET", url="/v2/agents")
    assert (answer.status_code, answer.json()["code"]) == (502, "internal_error")
    assert "sk-secret" not in answer.text
    assert answer.headers["x-request-id"] == answer.json()["request_id"]


def test_a_doors_own_error_comes_through(monkeypatch: pytest.MonkeyPatch) -> None:
    own = Upstream(lambda _: said(404, {"code": "c"}, **{"x-request-id": "r"}))
    answer = through(own, monkeypatch, method="GET", url="/v2/agents/none")
    assert (answer.status_code, answer.json()) == (404, {"code": "c"})


def test_a_local_page_is_told_its_origin_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the functions say for the origins that they know."""
    page = "http://localhost:3000"
    told = {"access-control-allow-origin": "https://example.com", "vary": "origin",
            "access-control-expose-headers": "x-request-id, retry-after"}  # fmt: skip
    for method, path in (("GET", "/v2/agents"), ("POST", EVENTS)):
        upstream = Upstream(lambda _: said(200, {}, **told))
        answer = through(upstream, monkeypatch, method=method, url=path, headers={"origin": page})
        for name, value in (
            ("access-control-allow-origin", page),
            ("access-control-expose-headers", "x-request-id, retry-after"),
        ):
            assert answer.headers.get_list(name) == [value]


def test_an_upstream_that_is_away_is_an_honest_502(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    for method in ("GET", "POST"):
        answer = through(Upstream(away), monkeypatch, method=method, url=EVENTS)
        assert (answer.status_code, answer.json()["code"]) == (502, "unavailable")


class Endless(httpx.AsyncByteStream):
    """Never ends by itself; says when it was closed."""

    def __init__(self) -> None:
        self.closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            yield b"data:x\n\n"
            await asyncio.sleep(0.001)

    async def aclose(self) -> None:
        self.closed = True


def scope(path: str) -> dict[str, Any]:
    return {
        "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1",
        "method": "POST", "scheme": "http", "path": path, "raw_path": path.encode(),
        "query_string": b"", "headers": [(b"host", b"127.0.0.1")], "client": ("127.0.0.1", 1),
        "root_path": "",
    }  # fmt: skip


async def call_and_leave(app: Any, leave_after: Callable[[dict[str, Any]], bool]) -> None:
    """One POST of an event, by a caller who goes away."""
    left = asyncio.Event()
    body = iter([{"type": "http.request", "body": b"{}", "more_body": False}])

    async def receive() -> dict[str, Any]:
        if message := next(body, None):
            return message
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        if leave_after(message):
            left.set()

    if leave_after({"type": "nothing"}):
        left.set()
    await asyncio.wait_for(app(scope(EVENTS), receive, send), 10)


def test_a_caller_who_goes_away_closes_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Endless()
    upstream = Upstream(lambda _: httpx.Response(201, stream=stream))

    async def run() -> None:
        upstreams = Upstreams("http://rest/v1", "http://streaming", "arn:f", template.load())
        made = Edge(upstreams)
        async with httpx.AsyncClient(transport=upstream) as made.http:
            monkeypatch.setattr(edge, "Edge", lambda _: made)
            await call_and_leave(create_app(upstreams), lambda message: bool(message.get("body")))

    asyncio.run(run())
    assert stream.closed


def test_a_caller_who_does_not_wait_for_the_head_closes_the_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given_up = []

    class Slow(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                given_up.append(True)
                raise
            return httpx.Response(201)

    async def run() -> None:
        upstreams = Upstreams("http://rest/v1", "http://streaming", "arn:f", template.load())
        made = Edge(upstreams)
        async with httpx.AsyncClient(transport=Slow()) as made.http:
            monkeypatch.setattr(edge, "Edge", lambda _: made)
            await call_and_leave(create_app(upstreams), lambda _: True)
            await asyncio.sleep(0)

    asyncio.run(run())
    assert given_up


def test_the_rest_api_is_not_asked_for_its_health_before_the_streaming_function_is_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def starting(request: httpx.Request) -> httpx.Response:
        if request.url.host == "streaming":
            raise httpx.ConnectError("refused")
        return ok(request)

    upstream = Upstream(starting)
    answer = through(upstream, monkeypatch, method="GET", url="/healthz")
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert [request.url.host for request in upstream.requests] == ["streaming"]
    awake = Upstream(ok)
    assert through(awake, monkeypatch, method="GET", url="/healthz").json() == {"status": "ok"}
    assert [request.url.host for request in awake.requests] == ["streaming", "rest"]
    ill = Upstream(lambda _: said(500, {}))
    assert through(ill, monkeypatch, method="GET", url="/healthz").status_code == 503


def test_the_rest_api_is_asked_for_its_health_once_at_a_time() -> None:
    """In the emulator each question at once would unpack one more copy of the function."""
    under_way, most = 0, 0

    class Cold(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            nonlocal under_way, most
            if request.url.host == "rest":
                under_way += 1
                most = max(most, under_way)
                await asyncio.sleep(0.01)
                under_way -= 1
            return said(200, {})

    async def run() -> list[int]:
        made = Edge(Upstreams("http://rest/v1", "http://streaming", "arn:f", template.load()))
        async with httpx.AsyncClient(transport=Cold()) as made.http:
            asked = [made.healthz(Request(scope("/healthz"))) for _ in range(5)]
            return [answer.status_code for answer in await asyncio.gather(*asked)]

    assert asyncio.run(run()) == [200] * 5
    assert most == 1
