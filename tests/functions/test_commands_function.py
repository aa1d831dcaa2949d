"""Door 3's commands: what each does to its session, and the one answer that it gets."""

import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from cueline.doors.access import Access, hashed
from cueline.engine import sessions
from cueline.engine.limits import Limits
from cueline.engine.listeners import LONGEST_CONNECTION
from cueline.engine.model import Said
from cueline.engine.modes import change_mode
from cueline.engine.ports import Key, Secret, WakeUp
from cueline.engine.worker import Worker
from cueline.errors import Unavailable
from cueline.log.events import (
    Answered,
    Event,
    Finished,
    Input,
    Listening,
    Posted,
    SettingsChanged,
    TurnFailed,
    TurnHandedOver,
    TurnInterrupted,
    event_id,
)
from cueline.log.settings import Settings, TurnDetection
from cueline.log.state import next_batch, offsets
from tests.contract.backends import BACKENDS, SESSION, atomic_calls, in_threads
from tests.functions.commanding import GATEWAY, ID, Commanded, commanded, message
from tests.models import ScriptedModel

SETTINGS: dict[str, Any] = {"instructions": "Be brief.", "temperature": 0.5}
SET: dict[str, Any] = {"type": "set_settings", "data": SETTINGS}
PING: dict[str, Any] = {"type": "ping"}


@pytest.fixture
def talk() -> Iterator[Commanded]:
    with commanded("memory") as made:
        yield made


@pytest.fixture(params=list(BACKENDS))
def either(request: pytest.FixtureRequest) -> Iterator[Commanded]:
    """For what its store decides."""
    with commanded(request.param) as made:
        yield made


def resume(after: int) -> dict[str, Any]:
    return {"type": "resume", "data": {"after": after}}


def failing(
    monkeypatch: pytest.MonkeyPatch, port: object, name: str, *, done: bool, times: int = 1
) -> None:
    """The port's next calls of this name are Unavailable; `done` says whether they were done."""
    call: Callable[..., Any] = getattr(type(port), name)
    left = [times]

    def lost(*args: Any, **more: Any) -> Any:
        if not left[0]:
            return call(*args, **more)
        left[0] -= 1
        if done:
            call(*args, **more)
        raise Unavailable("The answer is lost.")

    monkeypatch.setattr(type(port), name, lost)


# --- the decision table --------------------------------------------------------------------------

SITUATIONS = IDLE, RUNNING, WAITING = "idle", "running", "one waits"
ROLES = "user", "system"
DELAYS: list[dict[str, bool]] = [{}, {"delay": False}, {"delay": True}]


def bring_to(talk: Commanded, situation: str) -> int:
    """The offset that comes next."""
    if situation != IDLE:
        talk.run("t1")
    if situation == WAITING:
        talk.acked(message(delay=True, text="Later."))
    talk.backend.received()
    return len(talk.log()) + 1  # and who listens


@pytest.mark.parametrize(
    ("situation", "role", "delay"),
    [*product(SITUATIONS, ROLES, DELAYS)],
)
def test_what_triggers_no_response_is_absorbed_and_disturbs_nobody(
    talk: Commanded, situation: str, role: str, delay: dict[str, bool]
) -> None:
    at, running = bring_to(talk, situation), talk.state.open
    waiting = talk.state.pending
    ack = talk.acked(message(role, trigger=False, **delay))
    assert talk.events()[at - 1 :] == [
        Input(policy="silent", source=role, texts=("Hello",), caller="key1")
    ]
    assert talk.state.open == running
    assert [i.offset for i in talk.state.pending] == [*offsets(waiting), at]
    assert talk.backend.received() == []
    item = event_id(SESSION, talk.session.incarnation, at)
    assert ack == {"type": "send_message", "status": "applied", "offset": at, "item_id": item}


@pytest.mark.parametrize(
    ("situation", "role", "delay"),
    [*product(SITUATIONS, ROLES, DELAYS[:2])],
)
def test_what_is_not_delayed_ends_the_answer_and_is_answered_at_once_with_what_waits(
    talk: Commanded, situation: str, role: str, delay: dict[str, bool]
) -> None:
    at = bring_to(talk, situation)
    waiting = offsets(talk.state.pending)
    ack = talk.acked(message(role, **delay))
    said = Input(policy="interrupt", source=role, texts=("Hello",), caller="key1")
    stopped = TurnInterrupted(turn="t1", inputs=(1,))
    assert talk.events()[at - 1 :] == ([said] if situation == IDLE else [stopped, said])
    place = at if situation == IDLE else at + 1
    assert talk.state.open is None
    assert offsets(next_batch(talk.state, 0)) == (*waiting, place)
    assert (ack["status"], ack["offset"]) == ("accepted", place)
    assert "queue_position" not in ack
    if situation != IDLE:
        assert talk.backend.received() == []  # who was interrupted tells its part first
        talk.backend.clock.sleep(1)
    assert WakeUp(SESSION, guards=place + 1) in talk.backend.received()


@pytest.mark.parametrize(
    ("situation", "role", "position"),
    [(s, role, p) for p, s in enumerate(SITUATIONS) for role in ROLES],
)
def test_what_is_delayed_waits_for_the_answer_that_is_being_given(
    talk: Commanded, situation: str, role: str, position: int
) -> None:
    at, running = bring_to(talk, situation), talk.state.open
    ack = talk.acked(message(role, delay=True))
    assert talk.events()[at - 1 :] == [
        Input(policy="coalesce", source=role, texts=("Hello",), caller="key1")
    ]
    assert talk.state.open == running
    assert ack["offset"] == at
    assert ack["status"] == ("queued" if position else "accepted")
    assert ack.get("queue_position", 0) == position
    if situation == IDLE:
        assert talk.backend.received() == [WakeUp(SESSION, guards=at + 1)]
        assert offsets(next_batch(talk.state, 0)) == (at,)
    else:
        talk.backend.clock.sleep(talk.realtime.lease)
        assert WakeUp(SESSION, guards=at + 1, in_case=True) in talk.backend.received()


@pytest.mark.parametrize(
    "end",
    [
        Answered(turn="t1", inputs=(1,), text="Yes."),
        Finished(turn="t1", inputs=(1,)),
        TurnFailed(turn="t1", inputs=(1,), code="model_timeout", message="", retryable=True),
        TurnInterrupted(turn="t1", inputs=(1,)),
        TurnHandedOver(turn="t1"),
    ],
    ids=lambda end: end.type,
)
def test_what_waits_gets_one_answer_together_however_the_turn_before_it_ended(
    talk: Commanded, end: Event
) -> None:
    talk.run("t1")
    waiting = [talk.acked(message(delay=True, text=text))["offset"] for text in "abc"]
    again = (1,) if isinstance(end, TurnHandedOver) else ()
    talk.append(end)
    batch = offsets(next_batch(talk.state, 0))
    assert batch == (again or tuple(waiting))


def test_what_was_absorbed_and_what_waited_come_in_their_order_before_what_interrupts(
    talk: Commanded,
) -> None:
    talk.run("t1")
    bodies = [message(delay=True), message("system", trigger=False), message(text="Now!")]
    places = [talk.acked(body)["offset"] for body in bodies]
    assert offsets(next_batch(talk.state, 0)) == tuple(places)
    assert talk.acked(message(text="And now!"))["status"] == "accepted"


def test_in_manual_mode_a_user_is_answered_by_people_and_the_agent_is_told_for_later(
    talk: Commanded,
) -> None:
    change_mode(talk.ports, talk.session, "manual", "trace")
    said = talk.acked(message())
    assert (said["status"], said["answered_by"]) == ("accepted", "people")
    told = talk.acked(message("system"))
    assert told["status"] == "applied"
    assert talk.events()[-2:] == [
        Posted(text="Hello"),
        Input(policy="silent", source="system", texts=("Hello",), caller="key1"),
    ]
    assert talk.backend.received() == []


def test_nobody_pays_where_access_is_not_checked(talk: Commanded) -> None:
    talk.offer(f"{SESSION}.other", caller="anyone")
    assert talk.connect(f"{SESSION}.other.s-e_cret", "other") == 200
    talk.acked(message(), "other")
    said = talk.events()[-1]
    assert isinstance(said, Input)
    assert said.caller == ""


# --- settings, resume, ping ----------------------------------------------------------------------


def test_settings_are_changed_on_every_level_and_acknowledged_as_a_whole(talk: Commanded) -> None:
    padding = {"turn_detection": {"prefix_padding_ms": 300}}
    silence = {"temperature": 1, "turn_detection": {"silence_duration_ms": 500}}
    for data in (SETTINGS, padding):
        talk.acked({"type": "set_settings", "data": data})
    ack = talk.acked({"type": "set_settings", "data": silence})
    detection = {"prefix_padding_ms": 300, "silence_duration_ms": 500}
    assert ack == {
        "type": "set_settings",
        "status": "applied",
        "offset": 3,
        "settings": {"instructions": "Be brief.", "temperature": 1.0, "turn_detection": detection},
    }
    assert talk.events()[-1] == SettingsChanged(
        settings=Settings(
            instructions="Be brief.",
            temperature=1.0,
            turn_detection=TurnDetection(prefix_padding_ms=300, silence_duration_ms=500),
        )
    )
    assert talk.backend.received() == []


def test_settings_do_not_touch_the_answer_that_is_being_given(talk: Commanded) -> None:
    talk.run("t1")
    before = talk.state.open
    talk.acked(SET)
    assert talk.state.open == before


def test_the_longest_instructions_fit_into_their_acknowledgement(talk: Commanded) -> None:
    for instructions in ("x" * 20_000, "\u6f22" * 10_000, '"' * 16_000, "\U0001f600" * 8_000):
        body = json.dumps({"type": "set_settings", "data": {"instructions": instructions}},
                          ensure_ascii=False)  # fmt: skip
        (ack,) = talk.send(body)
        assert len(talk.sockets.frames[GATEWAY][-1].encode()) <= 30_000
        assert instructions.startswith(ack["data"]["settings"]["instructions"])


@pytest.mark.parametrize("sends", ["resume", "set_settings"])
def test_what_was_said_is_known_however_often_nobody_said_anything_since(
    either: Commanded, sends: str
) -> None:
    model = ScriptedModel()
    worker = Worker(either.ports, lambda: model, Limits(window_bytes=16_000))
    for text, times in (("My name is Ada.", 60), ("It came broken.", 60), ("Who am I?", 0)):
        either.acked(message(text=text))
        for wake_up in either.backend.received():
            worker.handle(wake_up, 280, "trace")
        for _ in range(times):
            either.backend.clock.ms += 2_001
            either.acked(SET if sends == "set_settings" else resume(0))
    said = [item.text for item in model.asked[-1].items if isinstance(item, Said)]
    assert said == ["My name is Ada.", "ok", "It came broken.", "ok", "Who am I?"]


def test_resume_has_the_connection_told_from_there_and_may_be_repeated(talk: Commanded) -> None:
    connection = talk.open()
    assert connection
    first = talk.acked(resume(-1))
    talk.backend.clock.sleep(2)
    again = talk.acked({**resume(0), "command_id": "c1"})
    talk.backend.clock.sleep(2)
    third = talk.acked({**resume(0), "command_id": "c1"})
    assert [a["status"] for a in (first, again, third)] == ["applied"] * 3
    assert [a["offset"] for a in (first, again, third)] == [1, 2, 3]
    until = connection.expires_at
    assert talk.listening()[1:] == [
        Listening(connection=ID, after=after, until=until) for after in (-1, 0, 0)
    ]


def test_a_connection_resumes_once_in_two_seconds_and_holds_up_no_other(either: Commanded) -> None:
    either.offer(f"{SESSION}.next")
    assert either.connect(f"{SESSION}.next.s-e_cret", "next") == 200
    either.acked(resume(-1))
    before = len(either.listening())
    for pause in (0, 1.999):
        either.backend.clock.sleep(pause)
        error = either.refused({**resume(-1), "command_id": "c1"})
        assert (error["code"], error["param"]) == ("too_many_requests", None)
        assert (error["retryable"], error["command_id"]) == (True, "c1")
        assert "once in 2 seconds" in error["message"]
    assert len(either.listening()) == before
    assert either.acked(resume(-1), "next")["status"] == "applied"
    assert either.acked(message())["status"] == "accepted"
    either.backend.clock.sleep(0.001)
    assert either.acked(resume(-1))["status"] == "applied"


def test_of_many_resumes_at_once_one_is_done(
    either: Commanded, monkeypatch: pytest.MonkeyPatch
) -> None:
    atomic_calls(monkeypatch)

    def send(_: int) -> None:
        either.send(resume(-1))

    in_threads(send, count=8)
    came = sorted(frame["event"] for frame in either.sockets.told(GATEWAY))
    assert came == ["command_ack", *["command_error"] * 7]
    assert len(either.listening()) == 2


def test_a_resume_that_nobody_could_have_heard_costs_no_other(talk: Commanded) -> None:
    assert talk.refused(resume(7))["code"] == "invalid_command"
    assert talk.acked(resume(0))["status"] == "applied"


def test_nobody_can_have_heard_what_is_not_there_yet(talk: Commanded) -> None:
    error = talk.refused(resume(1))
    assert (error["code"], error["param"]) == ("invalid_command", "data.after")
    assert "is 0" in error["message"]


@pytest.mark.parametrize("data", [{}, {"data": {}}])
def test_ping_gets_a_pong_with_the_time(talk: Commanded, data: dict[str, Any]) -> None:
    (pong,) = talk.send({**PING, **data, "command_id": "c1"})
    assert pong == {
        "event": "pong",
        "data": {"command_id": "c1", "server_time": "2025-06-15T15:06:40.000Z"},
    }
    assert talk.send(PING)[0]["data"].keys() == {"server_time"}
    assert len(talk.listening()) == 1


# --- the same command twice ----------------------------------------------------------------------

COMMANDS: list[dict[str, Any]] = [
    message(),
    message(delay=True),
    message("system", trigger=False),
    SET,
]
of_each = pytest.mark.parametrize("body", COMMANDS, ids=["now", "later", "silent", "settings"])


@of_each
def test_a_command_that_comes_again_is_a_duplicate_on_any_connection(
    either: Commanded, body: dict[str, Any]
) -> None:
    named = {**body, "command_id": "c1"}
    first = either.acked(named)
    written = either.events()
    either.offer(f"{SESSION}.next")
    assert either.connect(f"{SESSION}.next.s-e_cret", "next") == 200
    for gateway in (GATEWAY, "next"):
        again = either.acked(named, gateway)
        assert (again["status"], again["offset"]) == ("duplicate", first["offset"])
        assert again.get("item_id") == first.get("item_id")
        assert again.get("settings") == first.get("settings")
        assert again["command_id"] == first["command_id"] == "c1"
    assert either.events() == written
    assert either.acked({**named, "command_id": "c2"})["offset"] > first["offset"]


def test_the_same_command_may_be_written_in_another_way(talk: Commanded) -> None:
    written = '{"command_id":"c1","type":"send_message","data":{"delay":false,%s}}'
    rest = '"trigger_response":true,"text":"Hell\\u006f","role":"user"'
    talk.acked({**message(), "command_id": "c1"})
    assert talk.acked(written % rest)["status"] == "duplicate"


@pytest.mark.parametrize(
    "other",
    [message(text="Other"), message("system"), message(delay=True), SET],
)
def test_a_command_id_is_for_one_command(either: Commanded, other: dict[str, Any]) -> None:
    either.acked({**message(), "command_id": "c1"})
    error = either.refused({**other, "command_id": "c1"})
    assert (error["code"], error["param"], error["retryable"]) == (
        "command_id_reused",
        "command_id",
        False,
    )
    assert "UUID" in error["message"]
    assert len(either.events()) == 1


def test_a_setting_that_is_given_is_another_command_than_one_that_is_not(talk: Commanded) -> None:
    talk.acked({"type": "set_settings", "data": {"instructions": "x"}, "command_id": "c1"})
    zero = {"instructions": "x", "temperature": 0}
    error = talk.refused({"type": "set_settings", "data": zero, "command_id": "c1"})
    assert error["code"] == "command_id_reused"


@of_each
@pytest.mark.parametrize("done", [True, False])
def test_who_gets_no_answer_sends_it_again_and_it_is_taken_once(
    either: Commanded, monkeypatch: pytest.MonkeyPatch, body: dict[str, Any], done: bool
) -> None:
    named = {**body, "command_id": "c1"}
    failing(monkeypatch, either.ports.log, "append", done=done)
    error = either.refused(named)
    assert (error["code"], error["retryable"], error["command_id"]) == ("unavailable", True, "c1")
    assert either.acked(named)["status"] == ("duplicate" if done else either_status(body))
    assert len(either.events()) == 1


def either_status(body: dict[str, Any]) -> str:
    return "accepted" if body["data"].get("trigger_response") else "applied"


def test_whoever_took_it_in_and_died_before_the_wake_up_leaves_that_to_the_repeat(
    either: Commanded, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, either.ports.wake_ups, "send", done=False)
    named = {**message(), "command_id": "c1"}
    assert either.refused(named)["code"] == "unavailable"
    assert either.backend.received() == []
    assert either.acked(named)["status"] == "duplicate"
    assert either.backend.received() == [WakeUp(SESSION, guards=2)]


@of_each
def test_a_command_that_is_handled_twice_at_once_is_taken_once(
    either: Commanded, monkeypatch: pytest.MonkeyPatch, body: dict[str, Any]
) -> None:
    atomic_calls(monkeypatch)
    named = {**body, "command_id": "c1"}

    def send(_: int) -> None:
        either.send(named)

    in_threads(send, count=8)
    acks = [one["data"] for one in either.sockets.told(GATEWAY)]
    assert sorted(one["status"] for one in acks) == sorted(
        [either_status(body), *["duplicate"] * 7]
    )
    assert {one["offset"] for one in acks} == {1}
    assert len(either.events()) == 1


# --- what is refused -----------------------------------------------------------------------------

WRONG_SETTINGS: list[tuple[str, Any]] = [
    ("instructions", ""),
    ("instructions", None),
    ("instructions", "x" * 20_001),
    ("temperature", None),
    ("temperature", True),
    ("temperature", "0.5"),
    ("temperature", -0.1),
    ("temperature", 1.1),
    ("turn_detection", None),
    ("turn_detection", {}),
    ("turn_detection", []),
]
WRONG_DETECTION: list[tuple[str, Any]] = [
    ("threshold", 2),
    ("threshold", None),
    ("prefix_padding_ms", -1),
    ("prefix_padding_ms", 1.5),
    ("silence_duration_ms", 60_001),
    ("silence_duration_ms", True),
    ("type", "server_vad"),
]


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ("", "invalid_json", None),
        ("hello", "invalid_json", None),
        ("[]", "invalid_json", None),
        ("null", "invalid_json", None),
        ('{"type": "ping", "type": "ping"}', "invalid_json", None),
        ('{"type": "ping", "data": {"n": NaN}}', "invalid_json", None),
        ('{"type": "ping", "data": {"n": 1e999}}', "invalid_json", None),
        ('{"type": "ping", "data": {"n": 99999999999999999999}}', "invalid_json", None),
        ('{"type": "ping", "data": {"n": "\\ud800"}}', "invalid_json", None),
        ('{"type": "ping", "data": ' + "[" * 16_000 + "]" * 16_000 + "}", "invalid_json", None),
        ('{"type": "ping"}\ud800', "invalid_json", None),
        ({}, "invalid_command", "type"),
        ({"event": "ping"}, "invalid_command", "type"),
        ({"type": 1}, "invalid_command", "type"),
        ({"type": "pong"}, "unknown_command", "type"),
        ({"type": "send_audio", "data": {"data": "AAAA"}}, "not_supported", "type"),
        ({"type": "send_function_output"}, "not_supported", "type"),
        ({"type": "talk"}, "not_supported", "type"),
        ({"type": "ping", "data": None}, "invalid_command", "data"),
        ({"type": "ping", "data": []}, "invalid_command", "data"),
        ({"type": "ping", "data": {"x": 1}}, "invalid_command", "data.x"),
        ({"type": "ping", "commandId": "c1"}, "invalid_command", "commandId"),
        ({"type": "ping", "command_id": ""}, "invalid_command", "command_id"),
        ({"type": "ping", "command_id": "x" * 101}, "invalid_command", "command_id"),
        ({"type": "ping", "command_id": "a\nb"}, "invalid_command", "command_id"),
        ({"type": "ping", "command_id": 1}, "invalid_command", "command_id"),
        ({"type": "ping", "command_id": None}, "invalid_command", "command_id"),
        ({"type": "send_message"}, "invalid_command", "data"),
        ({"type": "send_message", "data": {}}, "invalid_command", "data.role"),
        (message("assistant"), "invalid_command", "data.role"),
        (message(text=""), "invalid_command", "data.text"),
        (message(text=" \n"), "invalid_command", "data.text"),
        (message(text="a\x00b"), "invalid_command", "data.text"),
        (message(trigger="true"), "invalid_command", "data.trigger_response"),
        (message(trigger=1), "invalid_command", "data.trigger_response"),
        (message(trigger=None), "invalid_command", "data.trigger_response"),
        (message(delay=None), "invalid_command", "data.delay"),
        (message(delay=0), "invalid_command", "data.delay"),
        (message(Delay=True), "invalid_command", "data.Delay"),
        ({"type": "set_settings"}, "invalid_command", "data"),
        ({"type": "set_settings", "data": {}}, "invalid_command", "data"),
        ({"type": "set_settings", "data": {"voice": "x"}}, "invalid_command", "data.voice"),
        *(
            ({"type": "set_settings", "data": {field: value}}, "invalid_command", f"data.{field}")
            for field, value in WRONG_SETTINGS
        ),
        *(
            (
                {"type": "set_settings", "data": {"turn_detection": {field: value}}},
                "invalid_command",
                f"data.turn_detection.{field}",
            )
            for field, value in WRONG_DETECTION
        ),
        ({"type": "resume", "data": {}}, "invalid_command", "data.after"),
        (resume(-2), "invalid_command", "data.after"),
        ({"type": "resume", "data": {"after": "0"}}, "invalid_command", "data.after"),
        ({"type": "resume", "data": {"after": 0.0}}, "invalid_command", "data.after"),
        ({"type": "resume", "data": {"after": 2**62}}, "invalid_command", "data.after"),
    ],
)
def test_what_is_wrong_is_named_and_changes_nothing(
    talk: Commanded, body: Any, code: str, param: str | None
) -> None:
    error = talk.refused(body)
    assert (error["code"], error["param"], error["retryable"]) == (code, param, False)
    assert error["message"].endswith(".")
    assert param is None or code != "invalid_command" or f"`{param}`" in error["message"]
    assert talk.events() == []
    assert talk.open()
    assert talk.sockets.closed == []


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("[]", "The command must be a JSON object. Send one JSON object with `type` and `data`"),
        ({"type": "send_message", "data": {"role": "user", "text": "x"}},
         "`data.trigger_response` is required: it must be true, for an answer, or false"),
        (message(Delay=True),
         "`data.Delay` is no field of send_message; its fields: role, text, trigger_response, del"),
        ({"type": "set_settings", "data": {"turn_detection": {"type": "vad"}}},
         "no field of turn_detection; its fields: threshold, prefix_padding_ms, silence_duration"),
        ({"type": "say"}, "no command 'say'; there are send_message, set_settings, resume, ping."),
        ({"type": "send_audio"}, "Send what was said as text, with send_message."),
        ({"type": "ping", "data": {"x": 1}}, "no field of ping; its fields: none."),
    ],
)  # fmt: skip
def test_an_error_says_what_to_do(talk: Commanded, body: Any, says: str) -> None:
    assert says in talk.refused(body)["message"]


def test_an_error_names_its_command_wherever_that_has_an_id(talk: Commanded) -> None:
    assert talk.refused({"type": "no", "command_id": "c1"})["command_id"] == "c1"
    assert talk.refused({"type": "ping", "x": 1, "command_id": "c1"})["command_id"] == "c1"
    assert "command_id" not in talk.refused({"type": "ping", "command_id": 1})


def test_a_binary_frame_and_one_that_is_too_large_are_refused(talk: Commanded) -> None:
    assert talk.refused("AAAA", is_base64=True)["code"] == "invalid_frame"
    fits = message(text="")
    fits["data"]["text"] = "\u00e9" * ((32_768 - len(json.dumps(fits))) // 2)
    body = json.dumps(fits, ensure_ascii=False)
    assert talk.acked(body)["status"] == "accepted"
    body += " " * (32_769 - len(body.encode()))
    assert talk.refused(body)["code"] == "too_large"


@pytest.mark.parametrize(
    ("grant", "allowed"),
    [("user_messages", message()), ("system_messages", message("system")), ("settings", SET)],
)
def test_a_connection_may_send_what_it_was_made_for(
    talk: Commanded, grant: Any, allowed: dict[str, Any]
) -> None:
    talk.offer(f"{SESSION}.only", grants=(grant,))
    assert talk.connect(f"{SESSION}.only.s-e_cret", "only") == 200
    for body in (message(), message("system"), SET):
        if body == allowed:
            talk.acked(body, "only")
        else:
            error = talk.refused(body, "only")
            assert error["code"] == "forbidden"
            assert "without the grant" in error["message"]
    assert talk.send(PING, "only")
    talk.acked(resume(0), "only")
    assert len(talk.events()) == 1


def test_a_session_or_agent_that_is_disabled_takes_nothing_in_but_is_heard(
    talk: Commanded,
) -> None:
    agent = talk.ports.agents.get("support")
    talk.change(enabled=False)
    for body in (message(), message("system", trigger=False), SET):
        assert talk.refused(body)["code"] == "session_disabled"
    talk.change(enabled=True)
    talk.ports.agents.replace(agent.model_copy(update={"enabled": False, "version": 1}))
    error = talk.refused(message())
    assert (error["code"], error["retryable"]) == ("session_disabled", False)
    assert "agent" in error["message"]
    assert talk.events() == []
    talk.acked(resume(0))
    assert talk.open()


def test_of_an_agent_that_is_gone_the_turn_tells(talk: Commanded) -> None:
    talk.ports.agents.delete("support")
    assert talk.acked(message())["status"] == "accepted"


def test_too_much_that_waits_is_refused_for_a_while(talk: Commanded) -> None:
    talk.run()
    for _ in range(10):
        talk.append(*(Input(policy="coalesce", texts=("x",)) for _ in range(10)))
    error = talk.refused({**message(delay=True), "command_id": "c1"})
    assert (error["code"], error["retryable"]) == ("too_many_pending", True)


def test_what_wants_no_answer_is_refused_for_good_where_too_much_of_it_waits_and_questions_never(
    talk: Commanded,
) -> None:
    for _ in range(10):
        talk.append(*(Input(policy="silent", texts=("x",)) for _ in range(10)))
    for delay in (False, True):
        error = talk.refused({**message(trigger=False, delay=delay), "command_id": "c1"})
        assert (error["code"], error["param"]) == ("too_many_pending", None)
        assert not error["retryable"]
        assert "send one that wants an answer" in error["message"]
    assert talk.acked({**message(), "command_id": "c1"})["status"] == "accepted"
    assert talk.acked(message(delay=True))["status"] == "accepted"


# --- connections that end ------------------------------------------------------------------------


def test_who_is_not_known_is_sent_away_without_a_word(talk: Commanded) -> None:
    assert talk.send(PING, "unknown") == []
    assert talk.sockets.closed == ["unknown"]
    talk.backend.clock.sleep(LONGEST_CONNECTION)
    assert talk.send(PING) == []
    assert talk.sockets.closed == ["unknown", GATEWAY]


def test_a_session_that_was_deleted_says_so_and_ends_the_connection(either: Commanded) -> None:
    sessions.delete(either.ports, "support", "s1", "trace")
    error, over = either.send({**message(), "command_id": "c1"})
    assert (error["event"], error["data"]["code"]) == ("command_error", "session_not_found")
    assert error["data"]["command_id"] == "c1"
    assert over == {"event": "session_expired", "data": {"reason": "deleted"}}
    assert either.open() is None
    assert either.sockets.closed == [GATEWAY]


def test_a_session_that_was_made_anew_is_another_one(either: Commanded) -> None:
    sessions.delete(either.ports, "support", "s1", "trace")
    sessions.create(either.ports, either.session, "trace")
    error, over = either.send(resume(-1))
    assert error["data"]["code"] == "session_not_found"
    assert over["data"] == {"reason": "deleted"}
    assert either.ports.log.tail(SESSION).head.at == 0


@pytest.mark.parametrize("body", [message(), SET, resume(0)])
def test_a_session_that_has_expired_says_so_since_nobody_else_would(
    talk: Commanded, body: dict[str, Any]
) -> None:
    talk.change(tti_minutes=5)
    talk.backend.clock.sleep(300)
    error, over = talk.send(body)
    assert error["data"]["code"] == "session_not_found"
    assert over["data"] == {"reason": "expired"}
    assert talk.open() is None


def test_a_key_that_is_taken_back_ends_its_connections(talk: Commanded) -> None:
    keys, clock = talk.ports.keys, talk.ports.clock
    talk.realtime = replace(talk.realtime, access=Access(keys, clock, lambda: b""))
    old = Key("key1", "app", (Secret(hashed("old"), expires_at=clock.now() + 60_000),), 0)
    keys.put(old)
    assert talk.send(PING)[0]["event"] == "pong"
    new = replace(old, secrets=(Secret(hashed("new")), *old.secrets))
    keys.replace(old, new)
    talk.backend.clock.sleep(61)
    talk.acked(message())
    keys.remove("key1")
    refused, closing = talk.send({**message(), "command_id": "c1"})
    assert (refused["data"]["code"], refused["data"]["retryable"]) == ("unauthorized", False)
    assert (closing["event"], closing["data"]["reason"]) == ("session_closing", "unauthorized")
    assert talk.open() is None
    assert talk.sockets.closed == [GATEWAY]
    assert len(talk.events()) == 1


def test_a_connection_near_its_end_is_told_so_with_each_answer(talk: Commanded) -> None:
    talk.backend.clock.sleep(110 * 60 - 1)
    assert len(talk.send(PING)) == 1
    talk.backend.clock.sleep(1)
    for body in (PING, "nonsense"):
        _, closing = talk.send(body)
        assert closing == {
            "event": "session_closing",
            "data": {
                "reason": "connection_limit",
                "reconnect_after_ms": 0,
                "closes_at": "2025-06-15T17:06:40.000Z",
            },
        }


# --- what fails ----------------------------------------------------------------------------------


def test_an_answer_is_sent_again_where_it_was_not_taken(talk: Commanded) -> None:
    talk.sockets.answering(GATEWAY, ["busy", "busy", "sent"])
    assert talk.acked(message())["status"] == "accepted"
    assert talk.sockets.tried[GATEWAY] == 3
    assert talk.open()


@pytest.mark.parametrize(("answer", "tries"), [("busy", 3), ("gone", 1)])
def test_an_answer_that_cannot_be_delivered_ends_the_connection(
    talk: Commanded, answer: Any, tries: int
) -> None:
    talk.sockets.answering(GATEWAY, [answer])
    assert talk.send(message()) == []
    assert talk.sockets.tried[GATEWAY] == tries
    assert talk.open() is None
    assert talk.sockets.closed == [GATEWAY]
    assert len(talk.events()) == 1


def test_a_connection_that_takes_no_answer_and_cannot_be_closed_is_closed_with_what_comes_next(
    either: Commanded, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as throttled:
        throttled.setattr(type(either.sockets), "close", lambda *_: "busy")
        either.sockets.answering(GATEWAY, ["busy", "busy", "busy", "sent"])
        assert either.send(message()) == []
    left = either.open()
    assert left
    assert left.closing
    assert len(either.events()) == 1
    assert either.send(message()) == []  # nothing is taken that would not be answered
    assert len(either.events()) == 1
    assert either.sockets.closed == [GATEWAY]
    assert either.open() is None


def test_where_who_sent_it_cannot_be_told_they_may_try_again(
    talk: Commanded, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, talk.backend.connections, "at", done=False)
    error = talk.refused({**message(), "command_id": "c1"})
    assert (error["code"], error["retryable"], error["command_id"]) == ("unavailable", True, "c1")
    assert talk.acked({**message(), "command_id": "c1"})["status"] == "accepted"


@pytest.mark.parametrize("name", ["tail", "append", "keyed"])
def test_what_nobody_foresaw_is_logged_without_what_was_said(
    talk: Commanded, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise KeyError("what was said")

    monkeypatch.setattr(type(talk.ports.log), name, broken)
    with caplog.at_level(logging.INFO):
        error = talk.refused({**message(text="what was said"), "command_id": "c1"})
    assert (error["code"], error["retryable"]) == ("internal_error", True)
    assert [r.levelname for r in caplog.records] == ["ERROR"]
    assert "what was said" not in str([r.__dict__ for r in caplog.records])
    assert "what was said" not in error["message"]


def test_a_connection_whose_rows_stay_is_closed_all_the_same(
    talk: Commanded, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions.delete(talk.ports, "support", "s1", "trace")
    failing(monkeypatch, talk.backend.connections, "remove", done=False)
    talk.send(PING)
    assert len(talk.send(message())) == 2
    assert talk.sockets.closed == [GATEWAY]
