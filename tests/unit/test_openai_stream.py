"""Server-sent events and deltas: however the network cuts them, the same comes out."""

import itertools
import json
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cueline.adapters.openai import event_stream
from cueline.adapters.openai.errors import from_event, retry_after, scrubbed
from cueline.adapters.openai.event_stream import ServerEvent, Text, json_object, server_events
from cueline.adapters.openai.thinking_tags import ThinkingTags
from cueline.engine.model import TextDelta, ThinkingDelta
from cueline.errors import ModelError

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
payloads = st.dictionaries(st.sampled_from(["a", "b"]), texts, min_size=1)


def cut_at(whole: bytes, cuts: Iterable[int]) -> list[bytes]:
    edges = sorted({0, len(whole), *(cut % (len(whole) + 1) for cut in cuts)})
    return [whole[start:end] for start, end in itertools.pairwise(edges)]


@settings(deadline=None)  # a busy machine is not a failure
@given(
    st.lists(payloads, max_size=6),
    st.sampled_from([b"\n", b"\r\n"]),
    st.sampled_from([b"data:", b"data: "]),
    st.sampled_from([b"", b": ping\n", b":\r\n", b"id: 7\n", b"event\n"]),
    st.lists(st.integers(0, 10_000), max_size=30),
)
def test_any_cutting_of_a_stream_gives_the_same_events(
    sent: list[dict[str, str]], end: bytes, field: bytes, noise: bytes, cuts: list[int]
) -> None:
    encoded = [json.dumps(one, ensure_ascii=False).encode() for one in sent]
    whole = b"".join(noise + field + one + end + end for one in encoded)
    assert [json_object(event.data) for event in server_events(cut_at(whole, cuts))] == sent
    single = (whole[at : at + 1] for at in range(len(whole)))
    assert [json_object(event.data) for event in server_events(single)] == sent


def test_line_separators_of_unicode_are_data() -> None:
    data = json.dumps({"a": "1\u2028 2\u2029 3\x85 4\x0b"}, ensure_ascii=False).encode()
    (event,) = server_events([b"data: " + data + b"\n\n"])
    assert json_object(event.data) == {"a": "1\u2028 2\u2029 3\x85 4\x0b"}


def test_names_bom_many_data_lines_and_an_open_done() -> None:
    stream = b'\xef\xbb\xbfevent: x\ndata: {"a":\ndata: 1}\n\ndata: {"b": 2}\n\ndata: [DONE]'
    assert list(server_events([stream])) == [
        ServerEvent("x", b'{"a":\n1}'),
        ServerEvent("", b'{"b": 2}'),
        ServerEvent("", b"[DONE]"),
    ]


def test_an_event_that_the_end_cut_is_dropped() -> None:
    assert list(server_events([b'data: {"a": 1}\n', b"data: 2"])) == []


@pytest.mark.parametrize("stream", [b"data: " + b"x" * 99, b"data: 12345678\n" * 9, b":" * 99])
def test_too_large_is_malformed(stream: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "LARGEST_EVENT", 64)
    with pytest.raises(ModelError, match="too l") as raised:
        list(server_events(stream[at : at + 5] for at in range(0, len(stream), 5)))
    assert raised.value.kind == "model_malformed"


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[1]", b"7", b'{"a": "\xff"}', b"[" * 100_000, b'{"a": ' + b"9" * 5000 + b"}"],
)
def test_whatever_is_not_a_json_object_is_malformed(data: bytes) -> None:
    with pytest.raises(ModelError) as raised:
        json_object(data)
    assert raised.value.kind == "model_malformed"


@settings(deadline=None)  # a busy machine is not a failure
@given(st.text(max_size=30), st.lists(st.integers(0, 100), max_size=8))
def test_text_is_always_utf_8_and_joined_across_deltas(text: str, cuts: list[int]) -> None:
    halves = text.encode("utf-16-be", "surrogatepass")
    units = [
        halves[at : at + 2].decode("utf-16-be", "surrogatepass") for at in range(0, len(halves), 2)
    ]
    edges = sorted({0, len(units), *(cut % (len(units) + 1) for cut in cuts)})
    joining = Text()
    got = "".join(
        joining.add("".join(units[start:end])) for start, end in itertools.pairwise(edges)
    )
    got += joining.rest()
    assert got == text.encode("utf-16-be", "surrogatepass").decode("utf-16-be", "replace")


thoughts = st.text(st.sampled_from("a <>/think"), max_size=12)


def told_apart(deltas: Iterable[str]) -> tuple[str, str]:
    tags = ThinkingTags()
    chunks = [chunk for delta in deltas for chunk in tags.add(delta)] + list(tags.rest())
    thinking = "".join(chunk.text for chunk in chunks if isinstance(chunk, ThinkingDelta))
    return thinking, "".join(chunk.text for chunk in chunks if isinstance(chunk, TextDelta))


@settings(deadline=None)  # a busy machine is not a failure
@given(thoughts.filter(lambda text: "</think>" not in text), thoughts)
def test_thinking_in_tags_is_told_apart_wherever_deltas_are_cut(thought: str, said: str) -> None:
    whole = f"\n<think>{thought}</think>\n\n{said}"
    expected = (thought, said.lstrip())
    assert told_apart([whole]) == expected
    assert told_apart(whole) == expected


@settings(deadline=None)  # a busy machine is not a failure
@given(st.text(st.sampled_from("a <>/think"), max_size=20))
def test_without_a_tag_at_the_start_all_is_text(said: str) -> None:
    if not said.lstrip().startswith("<think>"):
        assert told_apart([said]) == told_apart(said) == ("", said)


@pytest.mark.parametrize(
    ("headers", "low", "high"),
    [
        ({"retry-after": "2"}, 2, 2),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5, 1.5),
        ({"retry-after": "Wed, 01 Jan 2020 00:00:00 GMT"}, 0, 0),
        ({"retry-after": "Fri, 01 Jan 2100 00:00:00 GMT"}, 1e6, 1e10),
        ({"retry-after": "-3"}, 0, 0),
    ],
)
def test_retry_after(headers: dict[str, str], low: float, high: float) -> None:
    after = retry_after(headers)
    assert after is not None
    assert low <= after <= high


@settings(deadline=None)  # a busy machine is not a failure
@given(st.text(max_size=30))
def test_a_strange_retry_after_is_none_or_a_wait(value: str) -> None:
    after = retry_after({"retry-after": value})
    assert after is None or after >= 0


@pytest.mark.parametrize(
    ("error", "kind", "retryable"),
    [
        ({"code": "rate_limit_exceeded"}, "model_rate_limited", True),
        ({"type": "insufficient_quota", "code": "insufficient_quota"}, "model_rate_limited", False),
        ({"code": 502, "message": "bad gateway"}, "model_unavailable", True),
        ({"code": "400", "message": "no"}, "model_rejected", False),
        ({"code": "context_length_exceeded"}, "context_limit_exceeded", False),
        ({"code": 400, "message": "maximum context length is 9"}, "context_limit_exceeded", False),
        ({"type": "authentication_error", "message": "sk-abcdef"}, "model_unauthorized", False),
        ({"code": "bio_policy"}, "model_refused", False),
        ({"code": "invalid_image"}, "model_rejected", False),
        ("overloaded", "model_unavailable", True),
        ({}, "model_unavailable", True),
        (None, "model_unavailable", True),
        ({"code": {}, "type": [], "message": 7}, "model_unavailable", True),
    ],
)
def test_errors_inside_a_stream(error: object, kind: str, retryable: bool) -> None:
    found = from_event(error, "secret-key")
    assert (found.kind, found.retryable) == (kind, retryable)
    assert "sk-" not in found.message


def test_keys_are_scrubbed_from_a_providers_words() -> None:
    said = "Bad sk-proj-abc123DEF456 or Bearer abcdefghijk or my-own-secret. " + "x" * 2000
    told = scrubbed(said, "my-own-secret")
    assert told.startswith("Bad [key] or [key] or [key]. xxx")
    assert len(told) == 500
