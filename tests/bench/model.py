"""A fast fake of a model provider: python -m tests.bench.model PORT

What a model is called says how it answers: `4-85-0` in 4 tokens of 85 characters, 0 ms before each.
It speaks as much of the Responses API as both of the apps that are measured read.
"""

import asyncio
import json
import sys
from typing import Any

from tests.bench.connection import Connection, serve

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


class Provider(Connection):
    async def answer(self, _: dict[bytes, bytes], body: bytes) -> None:
        asked = json.loads(body)
        model = asked["model"]
        if asked.get("stream"):
            await self._stream(model)
            return
        tokens, _characters, pace = map(int, model.split("-"))
        if pace:
            await asyncio.sleep(tokens * pace / 1000)
        self.whole(json.dumps(_response(model, "completed")).encode())

    async def _stream(self, model: str) -> None:
        pace = int(model.split("-")[2]) / 1000
        write = self.transport.write
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


if __name__ == "__main__":
    asyncio.run(serve(Provider, int(sys.argv[1])))
