"""Door 2's list of events: at once, when something has come, and as a stream."""

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

import httpx
import pytest

from cueline import bootstrap
from cueline.doors import access
from cueline.doors.cors import Cors
from cueline.doors.triggered_responses import following, listing
from cueline.engine import sessions
from cueline.engine.append import Writer
from cueline.engine.ports import Key, Secret
from cueline.errors import Unavailable
from cueline.log.events import Event, Input, Posted, ToolInput, ToolOutput, TurnBegan
from cueline.log.segment import Session
from tests.functions.triggering import HELLO, PATH, SESSION, TRIGGER, Stack, short, stack

__all__ = ["stack"]

NOTE = {"kind": "custom", "source": "system", "data": {"a": 1}}
WAKE_UP_LAG = 0.3
"""Seconds, within which who waits is told."""


@contextmanager
def waiting(stack: Stack, **query: Any) -> Iterator["Future[httpx.Response]"]:
    """A long poll that has had its first look."""
    with ThreadPoolExecutor() as pool, looks(stack) as seen:
        poll = pool.submit(stack.get, **query)
        stack.until(lambda: seen or poll.done())
        yield poll


@contextmanager
def looks(stack: Stack) -> Iterator[list[bool]]:
    """Looks at the place that comes next; of each whether it may lag."""
    log, segment = type(stack.ports.log), type(stack.ports.log).segment
    seen: list[bool] = []

    def counted(*args: Any, lags: bool = False) -> Any:
        seen.append(lags)
        return segment(*args, lags=lags)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(log, "segment", counted)
        yield seen


@pytest.fixture
def talk(stack: Stack) -> list[dict[str, Any]]:
    """A turn, a note, and a trigger's turn."""
    with stack.working():
        for body in (HELLO, NOTE, TRIGGER):
            said = stack.post(body)
            if body is not NOTE:
                stack.until(partial(_is_over, stack, said["trace_id"]))
    return stack.listed()


def _is_over(stack: Stack, trace: str) -> bool:
    return "ready" in stack.told(trace)


# --- at once -------------------------------------------------------------------------------------


@pytest.mark.parametrize("wait", [0, -1, 60])
def test_what_is_there_is_a_bare_array_in_order(
    stack: Stack, talk: list[dict[str, Any]], wait: int
) -> None:
    listed = stack.listed(wait_for_data=wait)
    assert listed == talk
    offsets = [one["offset"] for one in listed]
    assert offsets == sorted(set(offsets))
    assert {one["kind"] for one in listed} == {"message", "status", "custom"}


@pytest.mark.parametrize(
    "query",
    [
        {"min_offset": 6},
        {"min_offset": -3},
        {"min_offset": 10_000},
        {"source": "ai_agent"},
        {"source": "human_agent"},
        {"kinds": "message"},
        {"kinds": "message,status"},
        {"kinds": " custom , message "},
        {"kinds": ""},
        {"kinds": "tool"},
        {"kinds": "message", "source": "customer", "min_offset": 1},
        {"kinds": "status", "source": "ai_agent", "min_offset": 3},
    ],
)
def test_filters_must_all_match(
    stack: Stack, talk: list[dict[str, Any]], query: dict[str, Any]
) -> None:
    kinds = {one.strip() for one in str(query.get("kinds", "")).split(",")} - {""}
    assert stack.listed(**query) == [
        one
        for one in talk
        if one["offset"] >= query.get("min_offset", 0)
        and one["source"] == query.get("source", one["source"])
        and (not kinds or one["kind"] in kinds)
    ]


def test_a_trace_has_two_names(stack: Stack, talk: list[dict[str, Any]]) -> None:
    first, last = talk[0]["trace_id"], talk[-1]["trace_id"]
    wanted = [one for one in talk if one["trace_id"] == last]
    assert stack.listed(trace_id=last) == stack.listed(correlation_id=last) == wanted
    assert stack.listed(trace_id=last, correlation_id=last) == wanted
    assert stack.listed(trace_id=first, correlation_id=last) == []
    assert stack.listed(trace_id="nope") == []


def test_many_events_are_one_list(stack: Stack) -> None:
    for n in range(450):
        stack.post({**NOTE, "data": {"n": n}})
    assert [one["data"]["n"] for one in stack.listed()] == [*range(450)]
    assert [one["data"]["n"] for one in stack.listed(min_offset=447)] == [447, 448, 449]


def test_a_list_that_is_too_large_ends_early_and_is_gone_on_with(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(20):
        stack.post({**NOTE, "data": {"n": n}})
    monkeypatch.setattr(listing, "MAX_LIST_BYTES", 2_000)
    got: list[dict[str, Any]] = []
    while more := stack.listed(min_offset=len(got)):
        assert len(more) < 10
        got += more
    assert [one["data"]["n"] for one in got] == [*range(20)]


def test_a_tool_s_output_is_shown_with_what_it_was_called_with(stack: Stack) -> None:
    call: dict[str, Any] = {"turn": "t", "call": "c", "tool": "shop_pay"}
    own = {"configuration": "shop", "own_name": "pay"}
    writer = Writer(stack.ports.log, stack.ports.clock, SESSION, "trace")
    segments: list[list[Event]] = [
        [Input(texts=("Pay.",)), TurnBegan(turn="t", inputs=(0,))],
        [ToolInput(**call, **own, arguments='{"x": 1}')],
        [Posted(kind="custom", source="system", data=n) for n in range(10)],
        [ToolOutput(**call, **own, output='{"paid": true}')],
    ]
    for events in segments:
        assert writer.append_once(stack.ports.log.tail(SESSION).head, *events)
    whole = stack.listed(kinds="tool")
    assert len(whole) == 1
    told = whole[0]["data"]["tool_calls"][0]
    assert (told["tool_id"], told["arguments"]) == ("shop:pay", {"x": 1})
    assert told["result"]["data"] == {"paid": True}
    assert stack.listed(min_offset=whole[0]["offset"]) == whole
    assert stack.ask("GET", f"{PATH}/{whole[0]['id']}").json == whole[0]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"kinds": "zzz"}, "kinds"),
        ({"kinds": "message,zzz"}, "kinds"),
        ({"source": "zzz"}, "source"),
        ({"min_offset": "x"}, "min_offset"),
        ({"min_offset": "1e30"}, "min_offset"),
        ({"min_offset": "9" * 30}, "min_offset"),
        ({"wait_for_data": "soon"}, "wait_for_data"),
        ({"sse": "maybe"}, "sse"),
    ],
)
def test_a_query_that_is_none_is_refused(stack: Stack, query: dict[str, str], field: str) -> None:
    answer = stack.get(**query)
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"][:2] == ["query", field]
    assert answer.headers["x-request-id"]


def test_a_key_is_wanted_where_access_is_checked(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked = access.Access(stack.ports.keys, stack.ports.clock, lambda: b"s" * 64)
    monkeypatch.setattr(bootstrap, "rest", lambda: bootstrap.Door(stack.ports, checked))
    stack.ports.keys.put(Key("k1", "test", (Secret(access.hashed("secret")),), 1))
    refused = stack.get()
    assert (refused.status_code, list(refused.json())) == (401, ["detail"])
    headers = {"authorization": "Bearer k1.secret"}
    assert stack.client.get(f"{PATH}?wait_for_data=0", headers=headers).status_code == 200


def test_a_bug_is_a_500_that_tells_nothing(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("a secret detail")

    monkeypatch.setattr(type(stack.ports.log), "tail", broken)
    answer = stack.get()
    assert (answer.status_code, list(answer.json())) == (500, ["detail"])
    assert "secret" not in answer.text


def test_a_store_that_does_not_answer_is_503(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    def down(*_: object) -> None:
        raise Unavailable("The store does not answer.")

    monkeypatch.setattr(type(stack.ports.log), "tail", down)
    answer = stack.get()
    assert (answer.status_code, answer.json()) == (503, {"detail": "The store does not answer."})


def test_a_page_of_a_named_origin_may_read_it(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "cors", lambda: Cors({"https://example.com"}))
    answer = stack.client.get(f"{PATH}?wait_for_data=0", headers={"origin": "https://example.com"})
    assert answer.headers["access-control-allow-origin"] == "https://example.com"


# --- when something has come ---------------------------------------------------------------------


def test_who_waits_is_told_within_300_ms(stack: Stack) -> None:
    lags: list[float] = []
    for first in range(5):
        with waiting(stack, min_offset=first, wait_for_data=10) as poll:
            posted = stack.post(NOTE)
            since = time.monotonic()
            told = poll.result(10)
            lags.append(time.monotonic() - since)
        assert (told.status_code, told.json()) == (200, [posted])
    assert sorted(lags)[2] <= WAKE_UP_LAG, "a busy machine may be late once or twice"


def test_who_waits_is_told_of_what_it_wants_only(stack: Stack) -> None:
    with stack.working(), waiting(stack, kinds="message", source="ai_agent", wait_for_data=10) as p:
        stack.post(NOTE)
        stack.post(TRIGGER)
        assert [short(one) for one in p.result(10).json()] == ["ok"]


@pytest.mark.parametrize("query", [{}, {"min_offset": 1}, {"min_offset": 7}, {"kinds": "tool"}])
def test_where_nothing_comes_it_is_504_early(stack: Stack, query: dict[str, Any]) -> None:
    if query:
        stack.post(NOTE)
    since = time.monotonic()
    answer = stack.get(wait_for_data=1, **query)
    assert 0.9 < time.monotonic() - since < 2
    assert (answer.status_code, answer.json()) == (504, {"detail": "Request timed out"})


def test_nobody_waits_longer_than_the_stack_allows(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap.settings(), "wait_seconds", 0.3)
    since = time.monotonic()
    assert stack.get(wait_for_data=60).status_code == 504
    assert time.monotonic() - since < 1.5


def test_a_wait_costs_four_looks_a_second_that_may_lag(stack: Stack) -> None:
    with looks(stack) as seen:
        assert stack.get(wait_for_data=2).status_code == 504
    assert 5 <= len(seen) <= 9
    assert all(seen)


def test_a_session_that_is_deleted_ends_the_wait(stack: Stack) -> None:
    with waiting(stack, wait_for_data=10) as poll:
        sessions.delete(stack.ports, "a", "s", "trace")
        answer = poll.result(2)
    assert answer.status_code == 404
    assert SESSION in answer.json()["detail"]


def test_a_lost_look_does_not_end_the_wait(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    log = type(stack.ports.log)
    segment = log.segment
    lost: list[bool] = []

    def losing(*args: Any, **more: Any) -> Any:
        if not lost:
            lost.append(True)
            raise Unavailable("The store does not answer.")
        return segment(*args, **more)

    monkeypatch.setattr(log, "segment", losing)
    with ThreadPoolExecutor() as pool:
        poll = pool.submit(stack.get, wait_for_data=10)
        stack.until(lambda: lost)
        posted = stack.post(NOTE)
        assert poll.result(10).json() == [posted]


def test_who_goes_away_is_not_looked_for_any_more(stack: Stack) -> None:
    def ask() -> None:
        with pytest.raises(httpx.ReadTimeout):
            stack.client.get(PATH, params={"wait_for_data": 10}, timeout=0.4)

    with looks(stack) as seen:
        thread = threading.Thread(target=ask)
        thread.start()
        stack.until(lambda: seen)
        thread.join()
        stack.until(lambda: _stands_still(seen))


def _stands_still(seen: list[bool]) -> bool:
    before = len(seen)
    time.sleep(2.5 * following.LOOK_EVERY)
    return len(seen) == before


# --- as a stream ---------------------------------------------------------------------------------


def test_a_stream_begins_with_what_is_there(stack: Stack, talk: list[dict[str, Any]]) -> None:
    assert stack.stream(wait_for_data=0) == talk
    middle = talk[4]["offset"]
    assert stack.stream(wait_for_data=0, min_offset=middle) == talk[4:]
    said = [one for one in talk if one["kind"] == "message"]
    assert stack.stream(wait_for_data=0, kinds="message") == said


def test_a_stream_goes_on_with_what_comes_and_ends_in_silence(stack: Stack) -> None:
    first = stack.post(NOTE)
    with ThreadPoolExecutor() as pool, looks(stack) as seen:
        stream = pool.submit(stack.stream, wait_for_data=1)
        stack.until(lambda: seen)
        with stack.working():
            said = stack.post(HELLO)
            stack.until(lambda: "ready" in stack.told(said["trace_id"]))
        told = stream.result(10)
    assert told[0] == first
    assert told == stack.listed()


def test_a_stream_is_framed_as_data_and_nothing_else(stack: Stack) -> None:
    stack.post({**NOTE, "data": {"text": "\u2028 é"}})
    raw = stack.client.get(PATH, params={"sse": "true", "wait_for_data": 0})
    assert raw.headers["content-type"].startswith("text/event-stream")
    assert raw.headers["cache-control"] == "no-store"
    assert raw.content.startswith(b"data: {")
    assert raw.content.endswith(b"}\n\n")
    assert raw.content.count(b"\n") == 2
    assert json.loads(raw.content[len(b"data: ") :])["data"] == {"text": "\u2028 é"}


def test_silence_is_broken_by_comments(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "HEARTBEAT", 0.2)
    raw = stack.client.get(PATH, params={"sse": "true", "wait_for_data": 1}).content
    assert raw.count(b": keep-alive\n\n") >= 2
    assert b"data:" not in raw


def test_a_stream_ends_when_its_function_must(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap.settings(), "stream_seconds", 0.3)
    since = time.monotonic()
    assert stack.stream(wait_for_data=60) == []
    assert time.monotonic() - since < 2


def test_a_stream_ends_with_its_session(stack: Stack) -> None:
    with ThreadPoolExecutor() as pool, looks(stack) as seen:
        stream = pool.submit(stack.stream, wait_for_data=10)
        stack.until(lambda: seen)
        sessions.delete(stack.ports, "a", "s", "trace")
        assert stream.result(3) == []


def test_who_leaves_a_stream_is_not_looked_for_any_more(stack: Stack) -> None:
    stack.post(NOTE)
    with looks(stack) as seen:
        path = f"{PATH}?sse=true&wait_for_data=10"
        with stack.client.stream("GET", path) as answer:
            chunks = answer.iter_raw()
            assert next(chunks).startswith(b"data: ")
            stack.until(lambda: seen)
        stack.until(lambda: _stands_still(seen))


def test_another_session_s_events_are_not_heard(stack: Stack) -> None:
    sessions.create(stack.ports, Session("a", "t", 0, "T", 0), "trace")
    stack.ask("POST", "/sessions/a.t/events", NOTE)
    assert stack.stream(wait_for_data=0) == []
