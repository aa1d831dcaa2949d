"""Frames over a WebSocket: none is too long, and nothing of a text is lost between two of them."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cueline.doors.client_commands import frames
from cueline.log.settings import Settings, TurnDetection

AT = 1_750_000_000_123
TIME = "2025-06-15T15:06:40.123Z"

# Characters of one to six bytes in JSON, of one and of two UTF-16 units; and many of each.
texts = st.builds(
    lambda parts: "".join(text * count for text, count in parts),
    st.lists(
        st.tuples(
            st.text(st.sampled_from('a"\\\n\x00é漢😀\u2028'), max_size=8),
            st.integers(0, 9_000),
        ),
        max_size=4,
    ),
)


def message_in(frame: str) -> dict[str, Any]:
    assert len(frame.encode()) <= frames.MAX_BYTES
    read = json.loads(frame)
    assert read["event"] == "message_received"
    message: dict[str, Any] = read["data"]["message"]
    return message


def put_together(messages: list[dict[str, Any]]) -> str:
    """As a client does, whose strings are UTF-16."""
    text = b""
    for message in messages:
        text = text[: 2 * message["position"]] + message["content"].encode("utf-16-le")
    return text.decode("utf-16-le")


def test_a_message_that_fits_is_one_frame_without_a_position() -> None:
    [frame] = frames.message(AT, "Good mörning", role="user", item_id="e1", offset=4)
    assert json.loads(frame) == {
        "event": "message_received",
        "data": {
            "message": {
                "type": "message",
                "role": "user",
                "item_id": "e1",
                "offset": 4,
                "content": "Good mörning",
                "timestamp": TIME,
            }
        },
    }


def test_a_message_without_content_has_none_and_an_empty_one_has_it() -> None:
    [bare] = frames.message(AT, role="assistant", action="cancelled")
    [empty] = frames.message(AT, "", role="assistant", action="completed")
    assert "content" not in message_in(bare)
    assert message_in(empty)["content"] == ""


@given(texts)
def test_a_long_message_comes_in_pieces_that_say_where_they_belong(text: str) -> None:
    made = frames.message(AT, text, role="assistant", item_id="t1-0", offset=7)
    messages = [message_in(frame) for frame in made]
    assert {message["offset"] for message in messages} == {7}
    if len(messages) == 1:
        assert messages[0]["content"] == text
        assert "more" not in messages[0]
    else:
        assert put_together(messages) == text
        assert [message["more"] for message in messages] == [True] * (len(messages) - 1) + [False]


def test_pieces_are_as_large_as_a_frame_may_be() -> None:
    made = frames.message(AT, "漢😀" * 20_000, role="assistant", action="completed")
    assert len(made) == 5
    assert all(len(frame.encode()) > frames.MAX_BYTES - 20 for frame in made[:-1])


def test_what_every_piece_repeats_leaves_room_for_its_text() -> None:
    why = frames.failure("model_error", "\x00" * 10_000, retryable=True)
    inputs = [f"aev_abcdefgh_{2**40:x}_{n:x}" for n in range(200)]
    made = frames.message(AT, "a" * 50_000, role="assistant", error=why, inputs=inputs)
    assert "".join(message_in(frame)["content"] for frame in made) == "a" * 50_000


@given(texts, st.integers(0, 10**6))
def test_deltas_go_on_where_the_last_one_ended(text: str, position: int) -> None:
    messages = [message_in(one) for one in frames.deltas("t1", 2, text, position, AT)]
    assert "".join(message["content"] for message in messages) == text
    for message in messages:
        assert message["position"] == position
        assert (message["action"], message["item_id"]) == ("delta", "t1-2")
        position += len(message["content"].encode("utf-16-le")) // 2


def test_no_text_is_no_delta() -> None:
    assert frames.deltas("t1", 0, "", 5, AT) == []


def test_an_answer_begins_empty() -> None:
    assert message_in(frames.created("t1", 1, AT)) == {
        "type": "message",
        "role": "assistant",
        "response_id": "t1",
        "item_id": "t1-1",
        "action": "created",
        "timestamp": TIME,
    }


@pytest.mark.parametrize("text", ["\ud83d", "a\ude00b", "\ud83d\ude00"])
def test_halves_of_characters_are_sent_without_moving_what_follows(text: str) -> None:
    [frame] = frames.deltas("t1", 0, text, 0, AT)
    content = message_in(frame)["content"]
    content.encode()
    assert len(content.encode("utf-16-le")) // 2 == len(text) == frames.units(text)


def test_the_first_frame_tells_where_its_reader_is() -> None:
    made = frames.session(
        AT, "a.s", "a.s.r", "b", offset=3, settings={"temperature": 0.5}, resumed=True
    )
    assert message_in(made) == {
        "type": "session",
        "session_id": "a.s",
        "connection_id": "a.s.r",
        "agent_id": "b",
        "offset": 3,
        "settings": {"temperature": 0.5},
        "resumed": True,
        "timestamp": TIME,
    }


SET = Settings(
    instructions="Be kind.",
    temperature=0.5,
    turn_detection=TurnDetection(silence_duration_ms=300),
)


def test_settings_show_what_is_set() -> None:
    assert frames.shown_settings(SET, instructions=True) == {
        "instructions": "Be kind.",
        "temperature": 0.5,
        "turn_detection": {"silence_duration_ms": 300},
    }
    assert frames.shown_settings(Settings(), instructions=True) == {}


def test_instructions_are_no_business_of_who_may_not_set_them() -> None:
    assert "instructions" not in frames.shown_settings(SET, instructions=False)


@pytest.mark.parametrize("letter", ["a", "漢", "😀", "\x00"])
def test_long_instructions_fit_into_a_frame(letter: str) -> None:
    settings = SET.merged(Settings(instructions=letter * 20_000))
    shown = frames.shown_settings(settings, instructions=True)
    assert shown.get("instructions_cut", False) == (letter != "a")
    assert settings.instructions
    assert settings.instructions.startswith(shown["instructions"])
    ids = f"{'a' * 50}.{'s' * 50}", f"{'a' * 50}.{'s' * 50}.{'r' * 40}", "a" * 50
    marker = frames.session(AT, *ids, offset=10**9, settings=shown, resumed=False)
    for frame in (marker, frames.settings_updated(shown, 10**9)):
        assert len(frame.encode()) <= frames.MAX_BYTES


def test_all_other_frames_are_small_and_say_one_thing() -> None:
    said = [
        frames.ready(),
        frames.talk_state("preparing", "t1"),
        frames.talk_state("ended", "t1", 9),
        frames.talk_state("ended", "t1", 9, more=True),
        frames.mode_changed("manual", 1),
        frames.events_removed(2, 5),
        frames.message_marked("t1-0", "erased", 6),
        frames.resumed(2, 8, truncated=False),
        frames.session_closing(AT),
        frames.session_expired("deleted", 10),
        frames.session_expired("expired"),
    ]
    assert [(one["event"], one["data"]) for one in map(json.loads, said)] == [
        ("avatar_state_changed", {"state": "ready"}),
        ("talk_state_changed", {"state": "preparing", "response_id": "t1"}),
        ("talk_state_changed", {"state": "ended", "response_id": "t1", "offset": 9}),
        (
            "talk_state_changed",
            {"state": "ended", "response_id": "t1", "offset": 9, "more": True},
        ),
        ("mode_changed", {"mode": "manual", "offset": 1}),
        ("events_removed", {"first": 2, "offset": 5}),
        ("message_marked", {"item_id": "t1-0", "mark": "erased", "offset": 6}),
        ("resumed", {"after": 2, "offset": 8, "truncated": False}),
        (
            "session_closing",
            {"reason": "connection_limit", "reconnect_after_ms": 0, "closes_at": TIME},
        ),
        ("session_expired", {"reason": "deleted", "offset": 10}),
        ("session_expired", {"reason": "expired"}),
    ]


@pytest.mark.parametrize(
    ("reason", "wait"),
    [
        ("connection_limit", 0),
        ("too_slow", 0),
        ("connection_aborted", None),
        ("unauthorized", None),
    ],
)
def test_whose_connection_ends_is_told_why_and_whether_to_come_back(
    reason: frames.Closing, wait: int | None
) -> None:
    told = json.loads(frames.session_closing(AT, reason))["data"]
    assert told == {"reason": reason, "reconnect_after_ms": wait, "closes_at": TIME}


@pytest.mark.parametrize("retryable", [True, False])
def test_strangers_are_told_of_a_failure_by_its_code(retryable: bool) -> None:
    told = frames.plain_failure("model_error", retryable=retryable)
    assert (told["code"], told["retryable"]) == ("model_error", retryable)
    assert ("again" in told["message"]) == retryable
