"""What is framed comes out of a parser that does what the standard says, however it is cut."""

import json
from collections.abc import Iterator
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cueline.doors.agent_events import sse
from cueline.doors.agent_events.errors import error_answer
from cueline.errors import ModelError

AT = 1_750_000_000_123

texts = st.text(st.characters(exclude_categories=["Cs"])) | st.sampled_from(
    ["\r", "\n\n", "\r\ndata:x", "\u2028", "\u2029", "\x85", "\x0b", "\U0001f388", ": x", "\0"]
)


def parsed(stream: bytes) -> Iterator[tuple[str, Any]]:
    """https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation"""
    text = stream.decode().replace("\r\n", "\n").replace("\r", "\n")
    kind, data = "", ""
    for line in text.split("\n")[:-1]:
        if not line:
            if data:
                yield kind or "message", json.loads(data.removesuffix("\n"))
            kind, data = "", ""
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            kind = value
        elif field == "data":
            data += value + "\n"
        else:
            assert not field, f"an unknown field {field}"


@given(st.lists(texts))
def test_whatever_is_said_comes_out_as_it_went_in(pieces: list[str]) -> None:
    stream = b"".join(sse.streaming_agent_output(piece, AT) + sse.KEEP_ALIVE for piece in pieces)
    assert stream.isascii()
    found = list(parsed(stream))
    assert [event["content"] for _, event in found] == pieces
    assert all(kind == event["type"] == "streaming_agent_output" for kind, event in found)
    assert all(event["created_at"] == "2025-06-15T15:06:40.123Z" for _, event in found)


def test_every_event_has_what_published_clients_require() -> None:
    failed = error_answer(ModelError("model_cut", "Cut.", retryable=True), "r")
    stream = (
        sse.frame({"type": "input_message", "id": "aev_1"})
        + sse.streaming_thinking("hm", AT)
        + sse.streaming_thinking_end(AT)
        + sse.streaming_agent_output_end("aev_2", AT)
        + sse.error(failed.body)
        + sse.end()
    )
    at = {"created_at": "2025-06-15T15:06:40.123Z"}
    assert [event for _, event in parsed(stream)] == [
        {"type": "input_message", "id": "aev_1"},
        {"type": "streaming_thinking", "content": "hm", **at},
        {"type": "streaming_thinking_end", **at},
        {"type": "streaming_agent_output_end", "event_id": "aev_2", **at},
        {
            "type": "error",
            "messages": ["Cut."],
            "code": "agent_processing_failed",
            "request_id": "r",
            "retryable": True,
            "cause": "model_cut",
        },
        {"type": "end"},
    ]


def test_the_framing_is_the_one_that_the_public_service_has() -> None:
    assert sse.end() == b'event:end\ndata:{"type": "end"}\n\n'
    assert list(parsed(sse.KEEP_ALIVE)) == []
