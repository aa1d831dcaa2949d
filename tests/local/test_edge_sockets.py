"""The edge's WebSockets, through real sockets: a client, the edge, and an upstream on loopback."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.http11 import Request, Response
from websockets.typing import Origin, Subprotocol

from local import template
from local.edge import Upstreams, create_app, server
from local.sockets import MAX_MESSAGE

API = "/_aws/execute-api/ws1/v1"
Handler = Callable[[ServerConnection], Awaitable[None]]


@asynccontextmanager
async def edge_before(upstream: str) -> AsyncIterator[str]:
    """The address of the edge's WebSocket, as `make run` serves it."""
    app = create_app(Upstreams("http://rest/v1", "http://s", "arn:f", template.load(), upstream))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        running = server(app)
        running.capture_signals = suppress  # type: ignore[method-assign, assignment]
        serving = asyncio.create_task(running.serve([listener]))
        try:
            yield f"ws://127.0.0.1:{listener.getsockname()[1]}/realtime"
        finally:
            running.should_exit = True
            await serving


@asynccontextmanager
async def edge_to(
    handler: Handler, refuse: Callable[[ServerConnection, Request], Response | None] | None = None
) -> AsyncIterator[str]:
    async with serve(handler, "127.0.0.1", 0, process_request=refuse) as upstream:
        port = upstream.sockets[0].getsockname()[1]
        async with edge_before(f"http://127.0.0.1:{port}{API}") as url:
            yield url


async def echo(upstream: ServerConnection) -> None:
    async for frame in upstream:
        await upstream.send(frame)


class Heard:
    """An upstream that notes what it is asked and told, and how it ended."""

    def __init__(self) -> None:
        self.request: Request | None = None
        self.frames: list[str | bytes] = []
        self.ended = asyncio.Event()
        self.code: int | None = None
        self.reason: str | None = None

    async def __call__(self, upstream: ServerConnection) -> None:
        self.request = upstream.request
        with suppress(ConnectionClosed):
            async for frame in upstream:
                self.frames.append(frame)
        self.code, self.reason = upstream.close_code, upstream.close_reason
        self.ended.set()


async def end_of(client: ClientConnection) -> tuple[int | None, str | None]:
    with suppress(ConnectionClosed):
        while True:
            await client.recv()
    return client.close_code, client.close_reason


def run(test: Awaitable[None]) -> None:
    async def within() -> None:
        async with asyncio.timeout(20):
            await test

    asyncio.run(within())


def test_frames_go_both_ways_in_their_order() -> None:
    async def test() -> None:
        async with edge_to(echo) as url, connect(url, proxy=None) as client:
            said = [f'{{"n":{n},"text":"grüße 🌍"}}' for n in range(200)]
            for frame in said:
                await client.send(frame)
            assert [await client.recv() for _ in said] == said

    run(test())


def test_the_upstream_sees_the_path_of_its_stage_and_the_query() -> None:
    async def test() -> None:
        heard = Heard()
        async with edge_to(heard) as url:
            query = "?token=guide.first.x%2Fy&other=1"
            extra = {"x-mine": "1", "x-amzn-request-context": "{}", "x-forwarded-for": "9.9.9.9"}
            origin = Origin("http://localhost:3000")
            async with connect(url + query, proxy=None, origin=origin, additional_headers=extra):
                pass
            await heard.ended.wait()
        assert heard.request is not None
        assert heard.request.path == API + query
        headers = heard.request.headers
        assert headers["x-mine"] == "1"
        assert "websockets" in headers["user-agent"]
        assert not {"origin", "x-amzn-request-context", "x-forwarded-for"} & set(headers)

    run(test())


@pytest.mark.parametrize("path", ["", "/", "/realtime"])
def test_it_is_at_the_root_too(path: str) -> None:
    async def test() -> None:
        async with edge_to(echo) as url, connect(url.replace("/realtime", path), proxy=None) as it:
            await it.send("hello")
            assert await it.recv() == "hello"

    run(test())


def test_nothing_is_at_other_paths() -> None:
    async def test() -> None:
        async with edge_to(echo) as url:
            for path in ("/healthz", "/realtime/more", "/v2/agents"):
                with pytest.raises(InvalidStatus) as refused:
                    await connect(url.replace("/realtime", path), proxy=None)
                assert refused.value.response.status_code == 404

    run(test())


@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (1001, "reload"), (4001, "deleted é")])
def test_how_either_side_ends_it_the_other_is_told(code: int, reason: str) -> None:
    async def leave(upstream: ServerConnection) -> None:
        await upstream.send("last words")
        await upstream.close(code, reason)

    async def test() -> None:
        async with edge_to(leave) as url, connect(url, proxy=None) as client:
            assert await client.recv() == "last words"
            assert await end_of(client) == (code, reason)
        heard = Heard()
        async with edge_to(heard) as url, connect(url, proxy=None) as client:
            await client.send("last words")
            await client.close(code, reason)
            await heard.ended.wait()
            assert heard.frames == ["last words"]
            assert (heard.code, heard.reason) == (code, reason)

    run(test())


def test_a_client_that_breaks_off_ends_the_upstream_as_well() -> None:
    async def test() -> None:
        heard = Heard()
        async with edge_to(heard) as url, connect(url, proxy=None) as client:
            await client.send("hello")
            client.transport.abort()
            await heard.ended.wait()
        assert heard.frames == ["hello"]

    run(test())


def test_an_upstream_that_breaks_off_is_a_failure_of_the_server() -> None:
    async def drop(upstream: ServerConnection) -> None:
        upstream.transport.abort()

    async def test() -> None:
        async with edge_to(drop) as url, connect(url, proxy=None) as client:
            assert await end_of(client) == (1011, "")

    run(test())


def test_a_refused_handshake_is_refused_here_too() -> None:
    def refuse(upstream: ServerConnection, _: Request) -> Response:
        return upstream.respond(403, "KeyError: 'secret'")

    async def test() -> None:
        async with edge_to(echo, refuse) as url:
            with pytest.raises(InvalidStatus) as refused:
                await connect(f"{url}?token=used", proxy=None)
        response = refused.value.response
        assert response.status_code == 403
        assert b'"code":"forbidden"' in response.body
        assert b"secret" not in response.body

    run(test())


def test_a_refusal_leaves_nothing_in_the_edges_log(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """The server took it for a WebSocket that nobody had answered."""

    async def knock(url: str, status: int) -> None:
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"{url}?token=used", proxy=None)
        assert refused.value.response.status_code == status

    async def test() -> None:
        async with edge_to(echo, lambda upstream, _: upstream.respond(403, "no")) as url:
            await asyncio.gather(*(knock(url, 403) for _ in range(30)))
        async with edge_before("http://127.0.0.1:9") as url:
            await asyncio.gather(*(knock(url, 502) for _ in range(30)))

    run(test())
    edge_said = [record.getMessage() for record in caplog.records if "uvicorn" in record.name]
    assert (edge_said, capfd.readouterr()) == ([], ("", ""))


def test_an_upstream_that_is_away_is_an_honest_502(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.INFO)

    async def test() -> None:
        for upstream in ("http://127.0.0.1:9", "", "http://127.0.0.1:x"):
            async with edge_before(upstream) as url:
                with pytest.raises(InvalidStatus) as refused:
                    await connect(f"{url}?token=sesame", proxy=None)
                assert refused.value.response.status_code == 502

    run(test())
    out, err = capfd.readouterr()
    assert "sesame" not in caplog.text + out + err


def test_no_query_is_ever_logged(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    async def test() -> None:
        async with edge_to(echo) as url:
            async with connect(f"{url}?token=sesame", proxy=None) as client:
                await client.send(b"\0")
                assert (await end_of(client))[0] == 1003
            with pytest.raises(InvalidStatus):
                await connect(f"{url}/none?token=sesame", proxy=None)

    run(test())
    edge_said = [record.getMessage() for record in caplog.records if "uvicorn" in record.name]
    assert (edge_said, capfd.readouterr()) == ([], ("", ""))


def test_binary_frames_end_it_as_the_gateway_does() -> None:
    async def test() -> None:
        heard = Heard()
        async with edge_to(heard) as url, connect(url, proxy=None) as client:
            await client.send("text")
            await client.send(b"\0\1")
            assert (await end_of(client))[0] == 1003
            await heard.ended.wait()
            assert (heard.frames, heard.code) == (["text"], 1003)

    run(test())


def test_a_message_of_more_than_128_kb_ends_it_in_either_direction() -> None:
    most = "x" * MAX_MESSAGE

    async def too_much(upstream: ServerConnection) -> None:
        await upstream.send(most)
        await upstream.send(most + "x")
        await upstream.wait_closed()

    async def test() -> None:
        heard = Heard()
        async with edge_to(heard) as url, connect(url, proxy=None) as client:
            await client.send(most)
            while not heard.frames:
                await asyncio.sleep(0.01)
            await client.send(most + "x")
            assert (await end_of(client))[0] == 1009
            await heard.ended.wait()
            assert (heard.frames, heard.code) == ([most], 1009)
        async with edge_to(too_much) as url, connect(url, proxy=None) as client:
            assert await client.recv() == most
            assert (await end_of(client))[0] == 1009

    run(test())


def test_pages_of_other_sites_are_kept_out(capfd: pytest.CaptureFixture[str]) -> None:
    async def test() -> None:
        heard = Heard()
        async with edge_to(heard) as url:
            port = urlsplit(url).port
            for page in ("https://example.com", "null", "http://127.0.0.1.example.com"):
                with pytest.raises(InvalidStatus) as refused:
                    await connect(url, proxy=None, origin=Origin(page))
                assert refused.value.response.status_code == 403
            with pytest.raises(InvalidStatus) as refused:  # their own name resolves to here
                await connect("ws://a.example/realtime", proxy=None, host="127.0.0.1", port=port)
            assert refused.value.response.status_code == 403
            assert heard.request is None

    run(test())
    assert capfd.readouterr() == ("", "")


def test_a_local_page_may_connect() -> None:
    async def test() -> None:
        async with edge_to(echo) as url:
            for page in ("http://localhost:3000", "http://127.0.0.1:8800"):
                async with connect(url, proxy=None, origin=Origin(page)) as client:
                    await client.send("hello")
                    assert await client.recv() == "hello"

    run(test())


def test_a_page_that_offers_our_subprotocol_gets_it() -> None:
    """Though the emulator does not say what the function chose: a browser would give up."""

    async def test() -> None:
        async with edge_to(echo) as url:
            for offered, chosen in ((["a", "cueline"], "cueline"), (["a"], None)):
                names = [Subprotocol(name) for name in offered]
                async with connect(url, proxy=None, subprotocols=names) as client:
                    assert client.subprotocol == chosen

    run(test())


def test_who_reads_slowly_slows_down_who_writes() -> None:
    sent = 0

    async def flood(upstream: ServerConnection) -> None:
        nonlocal sent
        with suppress(ConnectionClosed):
            while sent < 4000:  # 64 MB
                await upstream.send("x" * 16_384)
                sent += 1

    async def test() -> None:
        async with edge_to(flood) as url, connect(url, proxy=None, max_queue=1) as client:
            stalled, before = 0, -1
            while stalled < 5:  # nobody reads: soon nothing more is taken
                stalled, before = (stalled + 1, sent) if sent == before else (0, sent)
                await asyncio.sleep(0.1)
            assert sent < 2000
            for _ in range(4000):
                await client.recv()
            assert sent == 4000

    run(test())


def test_the_edge_says_that_it_stops() -> None:
    async def test() -> None:
        heard = Heard()
        async with edge_to(heard) as url:
            client = await connect(url, proxy=None)
            await client.send("hello")
        assert await end_of(client) == (1012, "")
        await heard.ended.wait()
        assert heard.code == 1012

    run(test())
