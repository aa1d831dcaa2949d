"""What a message does to a running turn: queue, steer, interrupt; and messages with a key."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from cueline.doors.agent_events.hosting import Hosting
from cueline.engine.agent import Compaction
from cueline.engine.model import End, Said, TextDelta
from cueline.engine.turn import Limits
from cueline.log.events import (
    Answered,
    Input,
    InputsTaken,
    PartlyAnswered,
    TurnBegan,
    TurnInterrupted,
)
from tests.functions.posting import Door, changed, door, hosting
from tests.models import overloaded

__all__ = ["door", "hosting"]

Events = list[dict[str, Any]]

WITHIN = 1.0
"""Seconds in which an interrupt takes effect."""


@contextmanager
def running(door: Door, *deltas: str, text: str = "one") -> Iterator["Future[Events]"]:
    """A streamed turn that has said all but the last of `deltas`; it goes on at `hold`."""
    door.model.scripts = [[*(TextDelta(d) for d in deltas), End("stop")]]
    said = iter([*(None for _ in deltas[1:]), door.hold])
    door.model.before = lambda: (held := next(said, None)) and held.wait(10)
    with ThreadPoolExecutor() as pool:
        stream = pool.submit(door.stream, text)
        door.until(lambda: door.model.asked)
        yield stream
        door.hold.set()
        stream.result(15)


def behind(door: Door, text: str, **body: Any) -> "tuple[threading.Thread, Events]":
    """A message that is accepted while another turn runs; its answer comes into the list."""
    got: Events = []
    before = len(door.log())
    body = {"since": "start", **body}

    def ask() -> None:
        if body.get("stream_response"):
            got.extend(door.stream(text, **body))
        else:
            response = door.post(text, **body)
            got.extend(response.json().get("events", [response.json()]))

    thread = threading.Thread(target=ask)
    thread.start()
    door.until(lambda: len(door.log()) > before)
    return thread, got


def types(events: Events) -> list[str]:
    """Runs of one type as one."""
    kinds = [e["type"] for e in events]
    return [kind for n, kind in enumerate(kinds) if n == 0 or kinds[n - 1] != kind]


def said_in(events: Events) -> list[str]:
    return [m["content"] for e in events for m in e.get("messages", ())]


def test_with_since_a_message_queues_and_all_events_are_told(door: Door) -> None:
    with running(door, "first", " answer"):
        thread, got = behind(door, "two")
    thread.join(10)
    assert types(got) == ["input_message", "agent_output"]
    assert said_in(got) == ["one", "two"]
    assert [e["content"] for e in got if e["type"] == "agent_output"] == ["first answer", "ok"]
    assert [e["offset"] for e in got] == sorted(e["offset"] for e in got)
    turns = [e for e in door.log() if isinstance(e, TurnBegan)]
    assert [turn.inputs for turn in turns] == [(0,), (2,)]


def test_a_queued_message_is_answered_token_by_token_where_its_caller_waits(door: Door) -> None:
    with running(door, "first", " answer"):
        thread, got = behind(door, "two", stream_response=True)
    thread.join(10)
    assert got[-1]["type"] == "end"
    assert types(got)[:-1] == [
        "input_message",
        "streaming_agent_output",
        "streaming_agent_output_end",
        "context_consumed",
        "streaming_agent_output",
        "streaming_agent_output_end",
        "context_consumed",
    ]
    ended = [e["event_id"] for e in got if e["type"] == "streaming_agent_output_end"]
    assert len(ended) == 2
    text = "".join(e["content"] for e in got if e["type"] == "streaming_agent_output")
    assert text == "first answerok"


def test_since_tells_what_came_after_an_event_and_nothing_twice(door: Door) -> None:
    first = door.post("one").json()["events"]
    door.post("two")
    told = door.post("three", since=first[-1]["id"]).json()["events"]
    assert said_in(told) == ["two", "three"]
    known = [e["id"] for e in first] + [e["id"] for e in told]
    assert len(known) == len(set(known))
    everything = door.post("four", since="start").json()["events"]
    assert said_in(everything) == ["one", "two", "three", "four"]
    assert [e["id"] for e in everything][: len(known)] == known


def test_since_an_event_of_elsewhere_is_refused_and_leaves_no_trace(door: Door) -> None:
    known = door.post("one").json()["events"][-1]["id"]
    place, _, offset = known.rpartition("_")
    for wrong in ("aev_0", f"{place}_ff", known.replace("aev_", "aev_x"), "aev_" + "0" * 40):
        response = door.post("two", since=wrong)
        assert (response.status_code, response.json()["code"]) == (400, "invalid_request")
        assert "since" in response.json()["field_errors"]
    assert len([e for e in door.log() if isinstance(e, Input)]) == 1
    assert offset == "3"


def test_more_than_one_json_answer_holds_must_be_streamed(
    door: Door, hosting: Hosting, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = replace(hosting.inline, limits=Limits(window_bytes=2_000))
    agent = door.ports.agents.get("a")
    alone = {"compaction": Compaction(enabled=False), "version": agent.version + 1}
    assert door.ports.agents.replace(agent.model_copy(update=alone))
    changed(hosting, monkeypatch, inline=small)
    for n in range(8):
        door.post(f"message {n} " + 200 * "x")
    refused = door.post("and now?", since="start")
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_request")
    assert "stream_response" in refused.json()["messages"][0]
    told = door.stream("and now?", since="start")
    assert len(said_in(told)) == 9
    assert types(told)[-1] == "end"


def test_a_steering_message_joins_the_running_turn(door: Door) -> None:
    door.model.scripts = [[overloaded(retry_after=1)]]  # while it pauses, somebody steers
    with ThreadPoolExecutor() as pool:
        first = pool.submit(door.post, "one")
        door.until(lambda: door.model.asked)
        thread, got = behind(door, "and in French, please", behavior="steer")
        answered = first.result(10)
    thread.join(10)
    assert len(door.model.asked) == 2
    texts = [i.text for i in door.model.asked[-1].items if isinstance(i, Said)]
    assert texts == ["one", "and in French, please"]
    taken = next(e for e in door.log() if isinstance(e, InputsTaken))
    answer = door.log()[-1]
    assert isinstance(answer, Answered)
    assert (taken.inputs, answer.inputs) == ((2,), (0, 2))
    assert said_in(answered.json()["events"]) == ["one", "and in French, please"]
    assert got[-1]["content"] == answered.json()["events"][-1]["content"] == "ok"


def test_steering_that_comes_too_late_is_answered_by_the_next_turn(door: Door) -> None:
    with running(door, "first", " answer"):
        thread, got = behind(door, "two", behavior="steer")
    thread.join(10)
    assert [e["content"] for e in got if e["type"] == "agent_output"] == ["first answer", "ok"]


def test_an_interrupt_ends_the_turn_and_keeps_what_was_said(door: Door) -> None:
    with running(door, "so ", "far", " never") as stream:
        door.until(lambda: len(door.model.asked) == 1)
        told = door.interrupt()
        assert told.status_code == 201, told.text
        assert types(told.json()["events"]) == ["session_interrupted"]
        assert told.json()["session_key"] == "s"
        time.sleep(WITHIN)
        door.hold.set()
        heard = stream.result(10)
    assert types(heard) == [
        "input_message",
        "streaming_agent_output",
        "session_interrupted",
        "streaming_agent_output_end",
        "end",
    ]
    partial = door.log()[-1]
    assert isinstance(partial, PartlyAnswered)
    text = "".join(e["content"] for e in heard if e["type"] == "streaming_agent_output")
    assert text == partial.text
    assert text.startswith("so ")
    assert "never" not in text
    assert door.post("and now?").status_code == 201
    items = door.model.asked[-1].items
    assert items == (Said("user", "one"), Said("assistant", text), Said("user", "and now?"))


def test_who_waits_for_json_gets_what_was_said_before_the_interrupt(door: Door) -> None:
    door.model.scripts = [[TextDelta("so far"), TextDelta(" never"), End("stop")]]
    chunks = iter([None, door.hold])
    door.model.before = lambda: (held := next(chunks, None)) and held.wait(10)
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(door.post, "one")
        door.until(lambda: door.model.asked)
        door.interrupt()
        time.sleep(WITHIN)
        door.hold.set()
        events = waiting.result(10).json()["events"]
    assert [e["type"] for e in events] == ["input_message", "session_interrupted", "agent_output"]
    assert events[-1]["content"] == "so far"
    assert events[-1]["interrupted"] is True


def test_after_an_interrupt_the_queue_goes_on(door: Door) -> None:
    with running(door, "so ", "far"):
        thread, got = behind(door, "two", since="start")
        door.interrupt()
        door.hold.set()
    thread.join(10)
    assert got[-1]["content"] == "ok"
    ended = [type(e) for e in door.log() if isinstance(e, TurnInterrupted | Answered)]
    assert ended == [TurnInterrupted, Answered]


@pytest.mark.parametrize("stream", [True, False])
def test_an_interrupt_where_nothing_runs_says_so(door: Door, stream: bool) -> None:
    door.post("one")
    if stream:
        assert types(door.streamed({"type": "interrupt", "stream_response": True})) == ["end"]
    else:
        assert door.interrupt().json() == {"events": [], "session_key": "s"}
    assert not any(isinstance(e, TurnInterrupted) for e in door.log())


# --- keys ----------------------------------------------------------------------------------------

KEY = {"Idempotency-Key": "order-42"}


def test_the_same_key_gives_the_same_events_for_ever(door: Door) -> None:
    first = door.post("one", headers=KEY)
    door.post("two")
    again = door.post("one", headers=KEY)
    assert (again.status_code, again.json()) == (201, first.json())
    streamed = door.stream("one", headers=KEY)
    ended = [e["event_id"] for e in streamed if e["type"] == "streaming_agent_output_end"]
    assert ended == [first.json()["events"][-1]["id"]]
    assert [e.texts for e in door.log() if isinstance(e, Input)] == [("one",), ("two",)]


def test_a_repeat_with_since_is_told_no_more_than_the_first_time(door: Door) -> None:
    """Clients take the last answer that they are told for their own."""
    known = door.post("one").json()["events"][-1]["id"]
    first = door.post("two", since=known, headers=KEY)
    door.post("three")
    assert door.post("two", since=known, headers=KEY).json() == first.json()
    streamed = door.stream("two", since=known, headers=KEY)
    assert said_in(streamed) == ["two"]
    assert streamed[-3]["event_id"] == first.json()["events"][-1]["id"]


def test_a_repeat_of_what_was_interrupted_is_told_what_had_been_said_and_no_more(
    door: Door,
) -> None:
    asked: dict[str, Any] = {"since": "start", "headers": KEY}
    door.model.scripts = [[TextDelta("so far"), TextDelta(" never"), End("stop")]]
    chunks = iter([None, door.hold])
    door.model.before = lambda: (held := next(chunks, None)) and held.wait(10)
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(door.post, "one", **asked)
        door.until(lambda: door.model.asked)
        door.interrupt()
        time.sleep(WITHIN)
        door.hold.set()
        first = waiting.result(10).json()
    door.post("two")
    assert door.post("one", **asked).json() == first
    assert first["events"][-1]["content"] == "so far"
    streamed = door.stream("one", **asked)
    assert said_in(streamed) == ["one"]
    assert streamed[-2]["event_id"] == first["events"][-1]["id"]


def test_a_key_with_another_body_is_refused(door: Door) -> None:
    door.post("one", headers=KEY)
    for response in (door.post("two", headers=KEY), door.interrupt(headers=KEY)):
        assert response.status_code == 422
        assert response.json()["code"] == "idempotency_key_reused"
    assert len([e for e in door.log() if isinstance(e, Input)]) == 1


def test_two_keys_make_two_messages_of_one_text(door: Door) -> None:
    door.post("yes", headers=KEY)
    door.post("yes", headers={"Idempotency-Key": "order-43"})
    assert len([e for e in door.log() if isinstance(e, Input)]) == 2


def test_a_repeat_with_its_key_waits_for_the_running_turn(door: Door) -> None:
    door.model.before = lambda: door.hold.wait(10)
    with ThreadPoolExecutor() as pool:
        first = pool.submit(door.post, "one", headers=KEY)
        door.until(lambda: door.model.asked)
        again = pool.submit(door.post, "one", headers=KEY)
        door.hold.set()
        assert again.result(10).json() == first.result(10).json()
    assert len(door.model.asked) == 1


def test_an_interrupt_that_is_repeated_with_its_key_ends_no_later_turn(door: Door) -> None:
    with running(door, "so ", "far"):
        first = door.interrupt(headers=KEY)
        door.hold.set()
    door.hold.clear()
    door.model.before = lambda: door.hold.wait(10)
    with ThreadPoolExecutor() as pool:
        later = pool.submit(door.post, "two")
        door.until(lambda: len(door.model.asked) == 2)
        assert door.interrupt(headers=KEY).json() == first.json()
        door.hold.set()
        assert later.result(10).json()["events"][-1]["content"] == "ok"


@pytest.mark.parametrize("key", ["", "x" * 256, "a b", "\x7f"])
def test_a_key_that_is_none_is_refused(door: Door, key: str) -> None:
    response = door.post(headers={"Idempotency-Key": key})
    assert (response.status_code, response.json()["code"]) == (400, "invalid_request")
    assert door.log() == []
