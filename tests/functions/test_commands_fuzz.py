"""Whatever comes over a WebSocket gets one answer, and ends no connection."""

import json
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from cueline.doors.client_commands.wire import MAX_COMMAND, CommandError, id_in, parse, read
from tests.functions.commanding import GATEWAY, Commanded, commanded, message

anything = settings(max_examples=300)

WORDS = [
    *("type", "data", "command_id", "role", "text", "trigger_response", "delay"),
    *("instructions", "temperature", "turn_detection", "threshold", "prefix_padding_ms", "after"),
    *("send_message", "set_settings", "resume", "ping", "send_audio", "talk", "user", "system"),
]
CODES = {
    *("invalid_json", "invalid_frame", "too_large", "invalid_command", "unknown_command"),
    *("not_supported", "command_id_reused", "too_many_pending", "too_many_requests"),
}
names = st.sampled_from(WORDS) | st.text(max_size=5)
atoms = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=-(10**40), max_value=10**40)
    | st.floats()
    | names
    | st.text(max_size=50)
)
values = st.recursive(
    atoms,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=6),
    max_leaves=20,
)


def some(**given: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=given)


texts = st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"]), min_size=1, max_size=20)
parts = st.floats(0, 1) | st.sampled_from([0, 1])
milliseconds = st.integers(0, 60_000)
detections = some(
    threshold=parts, prefix_padding_ms=milliseconds, silence_duration_ms=milliseconds
).filter(bool)
datas: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "send_message": st.fixed_dictionaries(
        {
            "role": st.sampled_from(["user", "system"]),
            "text": texts,
            "trigger_response": st.booleans(),
        },
        optional={"delay": st.booleans()},
    ),
    "set_settings": some(instructions=texts, temperature=parts, turn_detection=detections).filter(
        bool
    ),
    "resume": st.fixed_dictionaries({"after": st.sampled_from([-1, 0])}),
    "ping": st.builds(dict[str, Any]),
}
right: st.SearchStrategy[dict[str, Any]] = st.sampled_from([*datas]).flatmap(
    lambda kind: st.fixed_dictionaries(
        {"type": st.just(kind), "data": datas[kind]},
        optional={"command_id": texts.filter(str.isprintable)},
    )
)


@st.composite
def nearly_right(draw: st.DrawFn) -> dict[str, Any]:
    """One thing in it is another, or gone, or one is there that does not belong."""
    command = draw(right)
    data: dict[str, Any] = command["data"]
    inner = [one for one in data.values() if isinstance(one, dict)]
    place: dict[str, Any] = draw(st.sampled_from([command, data, *inner]))
    name: str = draw(st.sampled_from([*place, draw(names)]))
    if draw(st.booleans()):
        place.pop(name, None)
    else:
        place[name] = draw(values)
    return command


commands = right | nearly_right() | st.dictionaries(names, values, max_size=4)


def one_answer(talk: Commanded, body: str, **more: Any) -> dict[str, Any]:
    (frame,) = talk.send(body, **more)
    assert frame["event"] in ("command_ack", "command_error", "pong")
    if frame["event"] == "command_error":
        error = frame["data"]
        assert error["code"] in CODES, error
        assert error["message"].endswith(".")
        assert error.keys() >= {"code", "message", "param", "retryable"}
    assert len(talk.sockets.frames[GATEWAY][-1].encode()) <= 30_000
    assert talk.open()
    assert talk.sockets.closed == []
    return frame


@anything
@given(right)
def test_a_right_command_is_taken(body: dict[str, Any]) -> None:
    with commanded("memory") as talk:
        assert one_answer(talk, json.dumps(body))["event"] in ("command_ack", "pong")


@anything
@given(commands)
@example(message("system"))
@example({"type": "resume", "data": {"after": 2**53}})
def test_any_command_gets_one_answer(body: dict[str, Any]) -> None:
    with commanded("memory") as talk:
        frame = one_answer(talk, json.dumps(body))
        again = one_answer(talk, json.dumps(body))
    told = [one["data"].get("command_id") for one in (frame, again)]
    if frame["event"] == "command_ack" and told[0] and frame["data"]["type"] != "resume":
        assert again["data"]["status"] == "duplicate"
        assert again["data"]["offset"] == frame["data"]["offset"]
    # A number that is none in JSON makes a command that nobody can read.
    readable = frame["data"].get("code") != "invalid_json"
    command_id = body.get("command_id")
    named = isinstance(command_id, str) and 0 < len(command_id) <= 100 and command_id.isprintable()
    assert told == [command_id if named and readable else None] * 2


@anything
@given(
    st.text() | st.text(st.characters(categories=["Cs"])) | values.map(json.dumps), st.booleans()
)
@example("[" * MAX_COMMAND, False)
@example('{"a":' * 6_000, False)
@example("9" * MAX_COMMAND, False)
@example("1e" + "9" * 1_000, False)
@example('{"type":"ping","type":"ping"}', False)
@example('{"type":"ping","data":{"a":-' + "1" * 30_000 + "}}", False)
@example("\ufeff{}", False)
@example("x" * 200_000, False)
@example('"' + "\\ud83d" * 5_000 + '"', False)
@example('{"type":"' + "\U0001f600" * 8_000 + '"}', False)
@example('{"type":"ping","' + "\x7f" * 30_000 + '":1}', False)
def test_any_text_gets_one_answer(body: str, binary: bool) -> None:
    with commanded("memory") as talk:
        one_answer(talk, body, is_base64=binary)


@anything
@given(st.binary())
def test_any_bytes_get_one_answer(body: bytes) -> None:
    with commanded("memory") as talk:
        one_answer(talk, body.decode("utf-8", "surrogateescape"))
        one_answer(talk, body.decode("latin-1"))


@anything
@given(commands, st.data())
def test_a_command_that_is_broken_on_the_way_gets_one_answer(
    body: dict[str, Any], data: st.DataObject
) -> None:
    text = json.dumps(body)
    at = data.draw(st.integers(0, len(text)))
    broken = data.draw(st.sampled_from([text[:at], text[at:], text[:at] + "\x00" + text[at:]]))
    with commanded("memory") as talk:
        one_answer(talk, broken)


@anything
@given(commands)
def test_a_command_is_read_as_one_or_refused_by_name(body: dict[str, Any]) -> None:
    try:
        given = read(json.dumps(body), is_base64=False)
        command = parse(given)
    except CommandError:
        return
    assert (command.type, command.id) == (body["type"], id_in(given))
    again = parse(read(json.dumps(dict(reversed(body.items()))), is_base64=False))
    assert again.digest == command.digest
