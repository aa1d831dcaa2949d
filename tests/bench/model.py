"""A fast fake of a model provider: python -m tests.bench.model PORT

What a model is called says how it answers: `4-85-0` in 4 tokens of 85 characters, 0 ms before each.
It speaks as much of the Responses API as both of the apps that are measured read.
"""

import asyncio
import json
import sys
from typing import Any

INSTRUCTIONS = "You are a kind guide."
QUESTION = (
    "Which of the two trains to the coast is the better one for somebody with a bicycle and a dog? "
    * 2
)
_WORD = "measured "


def deltas(model: str) -> list[str]:
    """What the model of this name says."""
    tokens, characters, _ = map(int, model.split("-"))
    return [(_WORD * characters)[:characters]] * tokens


class Provider(asyncio.Protocol):
    """One connection, kept alive; requests come one after the other."""

    def __init__(self) -> None:
        self._received = b""
        self._answering: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, _: Exception | None) -> None:
        if self._answering:
            self._answering.cancel()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, rest = self._received.partition(b"\r\n\r\n")
        if not end:
            return
        length = 0
        for line in head.split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        if len(rest) < length:
            return
        self._received = rest[length:]
        if head.startswith(b"GET "):
            self._whole({"status": "ok"})
            return
        body = json.loads(rest[:length])
        if body.get("stream"):
            self._answering = asyncio.ensure_future(self._stream(body["model"]))
        else:
            self._answering = asyncio.ensure_future(self._answer(body["model"]))

    async def _answer(self, model: str) -> None:
        tokens, _, pace = map(int, model.split("-"))
        if pace:
            await asyncio.sleep(tokens * pace / 1000)
        self._whole(_response(model, "completed"))

    async def _stream(self, model: str) -> None:
        pace = int(model.split("-")[2]) / 1000
        write = self._transport.write
        write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
            b"transfer-encoding: chunked\r\n\r\n"
        )
        numbers = iter(range(1_000_000))

        def event(kind: str, **fields: Any) -> bytes:
            told = {"type": kind, "sequence_number": next(numbers), **fields}
            text = f"event: {kind}\ndata: {json.dumps(told)}\n\n".encode()
            return b"%x\r\n%s\r\n" % (len(text), text)

        place = {"item_id": "msg_bench", "output_index": 0, "content_index": 0}
        part = {"type": "output_text", "text": "", "annotations": []}
        message = {"id": "msg_bench", "type": "message", "role": "assistant", "content": []}
        started = _response(model, "in_progress")
        write(
            event("response.created", response=started)
            + event("response.in_progress", response=started)
            + event("response.output_item.added", output_index=0, item=message)
            + event("response.content_part.added", **place, part=part)
        )
        for delta in deltas(model):
            # Each token in a write of its own, as a provider sends it.
            await asyncio.sleep(pace)
            write(event("response.output_text.delta", **place, delta=delta, logprobs=[]))
        text = "".join(deltas(model))
        ended = _response(model, "completed")
        write(
            event("response.output_text.done", **place, text=text, logprobs=[])
            + event("response.content_part.done", **place, part={**part, "text": text})
            + event("response.output_item.done", output_index=0, item=ended["output"][0])
            + event("response.completed", response=ended)
            + b"0\r\n\r\n"
        )

    def _whole(self, body: dict[str, Any]) -> None:
        text = json.dumps(body).encode()
        head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(text)}"
        self._transport.write(f"{head}\r\n\r\n".encode() + text)


def _response(model: str, status: str) -> dict[str, Any]:
    text = {"type": "output_text", "text": "".join(deltas(model)), "annotations": []}
    message = {
        "id": "msg_bench",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": [text],
    }
    tokens = int(model.split("-")[0])
    usage = {
        "input_tokens": 1,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": tokens + 1,
    }
    done = status == "completed"
    return {
        "id": "resp_bench",
        "object": "response",
        "created_at": 1_767_225_600,
        "status": status,
        "model": model,
        "output": [message] if done else [],
        "usage": usage if done else None,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
    }


async def serve(port: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Provider, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
