"""A body that anybody may have sent is an object of plain JSON, or a CuelineError."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cueline.doors.agent_events.post import (
    PostedCompaction,
    PostedDecision,
    PostedInterrupt,
    PostedMessage,
    parse_post,
)
from cueline.doors.body import MAX_BODY, MAX_DEPTH, raw_body, read_json
from cueline.doors.idempotency import digest
from cueline.errors import CuelineError, InvalidMessageContent, InvalidRequest, NotBuilt
from cueline.log.events import Decision

JSON = "application/json"

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
posts = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["input_message", "interrupt", "compact", "tool_decision", "x"])
        | anything,
        "messages": st.lists(
            st.fixed_dictionaries(
                {},
                optional={
                    "type": st.sampled_from(["text", "skill"]) | anything,
                    "content": st.text(st.characters(), max_size=5) | anything,
                },
            )
        )
        | anything,
        "stream_response": st.booleans() | anything,
        "since": anything,
        "behaviour": anything,
    },
)


@given(st.binary() | (anything | posts).map(lambda v: json.dumps(v).encode()))
@example(b"[" * 100_000)
@example(b'{"a":' * 100_000)
@example(b'{"type":[]}')
@example(b'{"type":{}}')
@example(b'{"type":"interrupt","stream_response":{}}')
@example(b'{"messages":[{"type":{},"content":"\\ud800"}]}')
def test_a_post_is_an_input_or_an_error_of_ours(raw: bytes) -> None:
    try:
        posted = parse_post(raw, JSON)
    except CuelineError:
        return
    if not isinstance(posted, PostedMessage):
        return
    assert posted.texts or posted.skills
    for text in posted.texts:
        text.encode()
        assert text.strip()


@given(st.text(), st.text())
def test_any_content_type_gives_an_error_of_ours_at_worst(kind: str, body: str) -> None:
    with suppress(CuelineError):
        parse_post(body.encode("utf-8", "surrogatepass"), kind)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b" \n",
        b"[]",
        b'"x"',
        b"null",
        b"{",
        b'{"a":1}x',
        b"\xff",
        b"\xef\xbb\xbf{}",
        '{"a":1}'.encode("utf-16"),
        b'{"a":NaN}',
        b'{"a":[-Infinity]}',
        b'{"a":1e999}',
        b'{"a":9223372036854775808}',
        b'{"a":' + b"9" * 10_000 + b"}",
        b'{"a":"\\ud83c"}',
        b'{"\\udf88":1}',
        b'{"a":1,"a":1}',
        b'{"x":{"a":1,"\\u0061":1}}',
        b'{"a":' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"}",
        b'{"a":"' + b"x" * MAX_BODY + b'"}',
    ],
)
def test_what_is_no_plain_json_object_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_json(raw, JSON)
    assert len(caught.value.message) < 200


def test_what_is_plain_json_is_taken() -> None:
    deep = b"[" * (MAX_DEPTH - 1) + b"]" * (MAX_DEPTH - 1)
    assert read_json(b'{"a":' + deep + b"}", "Application/JSON; charset=utf-8")
    assert read_json(b'{"a":"\\ud83c\\udf88"}', JSON) == {"a": "\U0001f388"}
    assert read_json(b'{"a":-9223372036854775808}', JSON) == {"a": -(2**63)}


@pytest.mark.parametrize("kind", ["", "text/plain", "application/x-www-form-urlencoded", "json"])
def test_another_content_type_is_refused(kind: str) -> None:
    with pytest.raises(InvalidRequest, match="application/json"):
        read_json(b"{}", kind)


def test_a_body_that_is_no_base64_is_refused() -> None:
    with pytest.raises(InvalidRequest):
        raw_body("ä=", is_base64=True)
    assert raw_body(None, is_base64=False) == b""


# --- posted inputs -------------------------------------------------------------------------------


def post(content: Any = "hi", **more: Any) -> PostedMessage:
    body = {"messages": [{"type": "text", "content": content}], **more}
    posted = parse_post(json.dumps(body).encode(), JSON)
    assert isinstance(posted, PostedMessage)
    return posted


def test_the_longest_text_fits_however_it_is_escaped() -> None:
    assert post("\U0001f388" * 65_536)


def test_a_message_is_read_with_and_without_a_type() -> None:
    assert post() == PostedMessage(("hi",), stream=False)
    assert post("ä\t\r\n\U0001f388", type="input_message", stream_response=True) == PostedMessage(
        ("ä\t\r\n\U0001f388",), stream=True
    )
    assert post(since=None, behavior=None, stream_response=None).stream is False


def test_a_message_may_queue_and_ask_for_all_that_happened_since() -> None:
    queued = post(since="start", behavior="steer")
    assert (queued.since, queued.behavior) == ("start", "steer")
    assert post(since="aev_x_1_0").behavior == "follow_up"
    assert post().since is None


def test_an_interrupt_says_nothing() -> None:
    assert parse_post(b'{"type": "interrupt"}', JSON) == PostedInterrupt(stream=False)
    streamed = parse_post(b'{"type": "interrupt", "stream_response": true}', JSON)
    assert streamed == PostedInterrupt(stream=True)


@pytest.mark.parametrize(
    "content",
    ["", " \n\t\u3000", "a\x00b", "a\x1b[0m", "a" * 100_001, "\u3042" * 90_000],
)
def test_content_that_is_empty_too_long_or_no_text_is_refused(content: str) -> None:
    with pytest.raises(InvalidMessageContent):
        post(content)


def test_the_longest_message_is_taken() -> None:
    assert post("a" * 100_000)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"messages": []},
        {"messages": "hi"},
        {"messages": ["hi"]},
        {"messages": [{"type": "text"}]},
        {"messages": [{"content": "hi"}]},
        {"messages": [{"type": "text", "content": 5}]},
        {"messages": [{"type": "image", "content": "hi"}]},
        {"messages": [{"type": "text", "content": "hi", "role": "user"}]},
        {"messages": [{"type": "text", "content": "hi"}], "type": "message"},
        {"messages": [{"type": "text", "content": "hi"}], "type": None},
        {"messages": [{"type": "text", "content": "hi"}], "stream": True},
        {"messages": [{"type": "text", "content": "hi"}], "stream_response": "true"},
        {"messages": [{"type": "text", "content": "hi"}] * 101},
        {"messages": [{"type": "text", "content": "hi"}], "since": ""},
        {"messages": [{"type": "text", "content": "hi"}], "since": "5"},
        {"messages": [{"type": "text", "content": "hi"}], "since": "aev_" + "x" * 91},
        {"messages": [{"type": "text", "content": "hi"}], "behavior": "interrupt"},
        {"type": "interrupt", "messages": [{"type": "text", "content": "hi"}]},
    ],
)
def test_a_post_of_the_wrong_shape_names_its_fields(body: Any) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_post(json.dumps(body).encode(), JSON)
    assert caught.value.code == "invalid_request"
    assert caught.value.fields


def test_a_compaction_may_name_its_end_and_say_how() -> None:
    body = {"type": "compact", "compact_up_to_event_id": "aev_1", "compaction_message": "Short."}
    posted = parse_post(json.dumps(body).encode(), JSON)
    assert posted == PostedCompaction(stream=False, up_to="aev_1", message="Short.")


def test_a_message_may_bring_skills_beside_its_text() -> None:
    skills = [{"type": "skill", "skill_name": name} for name in ("a", "b", "a")]
    body = {"messages": [*skills, {"type": "text", "content": "go"}]}
    posted = parse_post(json.dumps(body).encode(), JSON)
    assert posted == PostedMessage(("go",), stream=False, skills=("a", "b"))


def test_a_decision_names_the_call_that_it_decides() -> None:
    body = {
        "type": "tool_decision",
        "tool_call_id": "c1",
        "decision": "edit",
        "arguments": {"n": 1},
    }
    posted = parse_post(json.dumps(body).encode(), JSON)
    assert posted == PostedDecision(
        stream=False, call="c1", decision=Decision(verdict="edit", arguments='{"n": 1}')
    )


@pytest.mark.parametrize(
    "body",
    [
        {"type": "tool_decision", "decision": "approve"},
        {"type": "tool_decision", "tool_call_id": "c1", "decision": "maybe"},
        {"type": "tool_decision", "tool_call_id": "c1", "decision": "edit"},
        {"type": "tool_decision", "tool_call_id": "c1", "decision": "approve", "arguments": {}},
        {"type": "tool_decision", "tool_call_id": "c1", "decision": "reject", "message": "\x00"},
        {"type": "tool_decision", "tool_call_id": "", "decision": "approve"},
        {"type": "compact", "compact_up_to_event_id": "start"},
        {"type": "compact", "compaction_message": "x" * 10_001},
        {"messages": [{"type": "skill"}]},
        {"messages": [{"type": "skill", "skill_name": "x", "content": "y"}]},
    ],
)
def test_what_does_not_say_what_it_wants_is_refused(body: Any) -> None:
    with pytest.raises(InvalidRequest):
        parse_post(json.dumps(body).encode(), JSON)


def test_an_upload_is_not_built() -> None:
    with pytest.raises(NotBuilt, match="multipart"):
        parse_post(b"--x", "multipart/form-data; boundary=x")


def test_a_digest_tells_callers_and_texts_apart() -> None:
    told = [("a", ["x"]), ("b", ["x"]), ("a", ["x", ""]), ("a", ["x", "y"]), ("a", ['x", "y'])]
    digests = {digest(caller, texts) for caller, texts in told}
    assert len(digests) == len(told)
    assert {len(d) for d in digests} == {22}
    assert digest("a", ("x",)) == digest("a", ["x"])
