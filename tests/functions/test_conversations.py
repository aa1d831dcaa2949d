"""Door 4: the sessions of all doors as conversations, and what was said in them as messages."""

import json
from collections.abc import Iterator
from itertools import chain
from typing import Any

import pytest

from cueline.doors.background_triggers import listing
from cueline.doors.background_triggers.calls import Reply
from cueline.doors.background_triggers.contacts import CONTACTS_ROUTES
from cueline.doors.background_triggers.conversations import CONVERSATIONS_ROUTES
from cueline.doors.background_triggers.listing import LINES, ListQuery
from cueline.doors.background_triggers.messages import MESSAGES_ROUTES
from cueline.doors.background_triggers.routes import ROUTES
from cueline.engine import sessions
from cueline.engine.append import Writer
from cueline.engine.marks import mark_event
from cueline.engine.ports import Ports
from cueline.engine.removal import remove_events
from cueline.errors import Unavailable
from cueline.log.events import (
    Answered,
    Compacted,
    CompactionAsked,
    Decision,
    Event,
    Finished,
    Input,
    InputsFailed,
    ModelCalled,
    PartlyAnswered,
    Posted,
    SkillLoaded,
    Spoke,
    StepChanged,
    Thinking,
    ToolInput,
    ToolOutput,
    TurnBegan,
    TurnFailed,
    TurnInterrupted,
    TurnSuspended,
    event_id,
)
from cueline.log.segment import Session
from cueline.log.triggers import Participant, Trigger
from tests.clock import FakeClock
from tests.functions.background import agents, ask4, background, made, refused, taken
from tests.functions.conftest import Ask
from tests.gateway import Answer

__all__ = ["agents", "ask4", "background"]

LIST = "/api/v1/conversation/list"
STREAM = {"accept": LINES}
MINUTE = 60_000


def new(ports: Ports, key: str, agent: str = "a", **fields: Any) -> Session:
    """A session of its own moment."""
    ports.clock.sleep(1)
    session = Session(agent, key, 0, fields.pop("name", key), 0, **fields)
    return sessions.create(ports, session, "trace")


def say(ports: Ports, session: Session, *events: Event) -> int:
    """Appends to the session; the offset of the first."""
    writer = Writer(ports.log, ports.clock, session.id, "trace")
    _, written = writer.append(ports.log.tail(session.id).head, lambda *_: events)
    assert written
    return written.at


def page(ask4: Ask, path: str, **query: Any) -> dict[str, Any]:
    answer = ask4("GET", path, query=query)
    assert answer.status == 200, answer.text
    return dict(answer.json)


def ids(ask4: Ask, path: str = LIST, **query: Any) -> list[str]:
    return [one["id"] for one in page(ask4, path, **query)["items"]]


def walked(ask4: Ask, path: str, take: int, **query: Any) -> Iterator[list[str]]:
    """Page by page, as a client goes on until one is empty."""
    cursor: dict[str, Any] = {}
    while items := (found := page(ask4, path, take=str(take), **query, **cursor))["items"]:
        assert found["cursor"] == items[-1]["id"]
        yield [one["id"] for one in items]
        cursor = {"cursor": found["cursor"]}
    assert found == {"items": []}


def lines(answer: Answer) -> list[dict[str, Any]]:
    assert answer.status == 200, answer.text
    assert answer.headers["content-type"] == LINES
    assert answer.text.isascii()
    assert answer.text == "" or answer.text.endswith("\n")
    return [json.loads(line) for line in answer.text.splitlines()]


@pytest.fixture
def session(ports: Ports, agents: None) -> Session:
    return new(ports, "s")


def messages(ask4: Ask, session: Session, **query: Any) -> list[dict[str, Any]]:
    return list(page(ask4, path_of(session), **query)["items"])


def path_of(session: Session) -> str:
    return f"/api/v1/conversation/{session.id}/message/list"


def told(ask4: Ask, session: Session, **query: Any) -> list[tuple[str, str]]:
    return [(one["type"], one["text"]) for one in messages(ask4, session, **query)]


# --- conversations -------------------------------------------------------------------------------


def test_a_session_is_a_conversation_with_its_times_and_all_that_describes_it(
    ask4: Ask, ports: Ports, clock: FakeClock
) -> None:
    made_at = clock.now() + 1000
    session = new(
        ports, "s", name="Orders", description="All.", customer="c1", metadata={"plan": {"x": 1}}
    )
    clock.sleep(5)
    say(ports, session, Input(texts=("Hi",)))
    expected = {
        "id": "a.s",
        "name": "Orders",
        "description": "All.",
        "botId": "a",
        "contactId": "c1",
        "meta": {"plan": {"x": 1}},
        "createdAt": made_at,
        "updatedAt": made_at + 5000,
    }
    assert page(ask4, LIST) == {"items": [expected], "cursor": "a.s"}
    for prefix in ("/v1", "/api/v1"):
        assert page(ask4, f"{prefix}/conversation/a.s/fetch") == expected


def test_a_conversation_has_no_contact_and_no_name_where_nobody_gave_one(
    ask4: Ask, ports: Ports
) -> None:
    new(ports, "s", answers="b")
    shown = page(ask4, "/v1/conversation/a.s/fetch")
    assert {*shown} == {"id", "botId", "meta", "createdAt", "updatedAt"}
    assert shown["botId"] == "b"


def test_sessions_of_every_door_are_conversations(ask4: Ask, ask: Ask, ask2: Ask) -> None:
    assert ask("POST", "/v2/agents/a/sessions", {"key": "one", "name": "One"}).status == 201
    second = ask2("POST", "/sessions", {"agent_id": "b", "title": "Two"}).json["id"]
    third = taken(ask4, made(ask4, name="Three"), {"text": "Hello"})["conversationId"]
    names = {one["id"]: one["name"] for one in page(ask4, LIST)["items"]}
    assert names == {"a.one": "One", second: "Two", third: "Three"}


@pytest.mark.parametrize(
    "path", ["a.x", "a", "x.y", "..", "a.s.t", "a%2Es%00", "%ff.%ff", "a." + "x" * 60]
)
def test_an_unknown_conversation_is_not_found(ask4: Ask, path: str, session: Session) -> None:
    for rest in ("fetch", "message/list", "message/m/fetch"):
        answer = ask4("GET", f"/v1/conversation/{path}/{rest}")
        assert refused(answer, 404, "NOT_FOUND").startswith("There is no conversation")


def test_the_newest_comes_first_unless_it_is_asked_for_otherwise(ask4: Ask, ports: Ports) -> None:
    for key in ("x", "z", "y"):
        new(ports, key)
    assert ids(ask4) == ids(ask4, order="desc") == ids(ask4, order="up") == ["a.y", "a.z", "a.x"]
    assert ids(ask4, order="asc") == ["a.x", "a.z", "a.y"]


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_pages_come_to_the_whole_list_and_the_last_one_is_empty(
    ask4: Ask, ports: Ports, order: str, clock: FakeClock
) -> None:
    for key in ("x", "z"):
        new(ports, key)
    now = clock.now()
    for key in ("c", "a", "b"):  # of one moment: their ids say who is first
        clock.ms = now
        new(ports, key)
    every = ["a.x", "a.z", "a.a", "a.b", "a.c"]
    for take in (1, 2, 5):
        pages = [*walked(ask4, LIST, take, order=order)]
        assert [len(one) for one in pages[:-1]] == [take] * (len(pages) - 1)
        assert [*chain(*pages)] == (every if order == "asc" else every[::-1])


@pytest.mark.parametrize("take", ["0", "-1", "", "many", "1e3", "101", "999999999999", "\u0662"])
def test_a_page_has_up_to_a_hundred_whatever_is_asked_for(
    ask4: Ask, ports: Ports, take: str
) -> None:
    for n in range(101):
        new(ports, f"s{n}")
    assert len(ids(ask4, take=take)) == 100


def test_deleted_and_expired_ones_and_those_being_built_are_left_out_and_pages_are_full(
    ask4: Ask, ports: Ports, clock: FakeClock
) -> None:
    for n in range(4):
        new(ports, f"s{n}")
    for n in range(4, 8):
        new(ports, f"s{n}", tti_minutes=1)
    new(ports, "built", building=True)
    sessions.delete(ports, "a", "s2", "trace")
    clock.sleep(61)
    assert [*walked(ask4, LIST, 2)] == [["a.s3", "a.s1"], ["a.s0"]]
    assert [*walked(ask4, LIST, 2, order="asc")] == [["a.s0", "a.s1"], ["a.s3"]]
    assert ask4("GET", "/v1/conversation/a.s7/fetch").status == 404


def test_a_list_goes_on_behind_what_has_been_deleted_since(ask4: Ask, ports: Ports) -> None:
    for n in range(5):
        new(ports, f"s{n}")
    seen: list[str] = []
    for found in walked(ask4, LIST, 2):
        for one in found:
            sessions.delete(ports, "a", one.removeprefix("a."), "trace")
        seen += found
    assert seen == ["a.s4", "a.s3", "a.s2", "a.s1", "a.s0"]


@pytest.mark.parametrize("cursor", ["a.x", "a", "x.y.z", "\u0000", "%"])
def test_a_cursor_that_this_list_never_gave_out_is_refused(
    ask4: Ask, cursor: str, session: Session
) -> None:
    why = refused(ask4("GET", LIST, query={"cursor": cursor}), 400, "BAD_REQUEST")
    assert "cursor: must be the id of an item of this list" in why
    where = path_of(session)
    refused(ask4("GET", where, query={"cursor": cursor}), 400, "BAD_REQUEST")


def test_filters_are_met_all_together(ask4: Ask, ports: Ports) -> None:
    new(ports, "x", customer="c1", metadata={"n": 1, "deep": {"flag": True}})
    new(ports, "y", agent="b", customer="c1", metadata={"n": "1", "deep.flag": "true"})
    new(ports, "z", customer="c2", answers="b", metadata={"n": None})
    assert ids(ask4, botId="a") == ["a.x"]
    assert ids(ask4, botId="b") == ["a.z", "b.y"]
    assert ids(ask4, botId="a, b,") == ids(ask4, botId=["a", "b"]) == ["a.z", "b.y", "a.x"]
    assert ids(ask4, contactId="c1", botId="b") == ["b.y"]
    assert ids(ask4, contactId="guest") == ids(ask4, taskId="t") == []
    assert ids(ask4, **{"meta.n": "1"}) == ["b.y", "a.x"]
    assert ids(ask4, **{"meta.deep.flag": "true"}) == ["b.y", "a.x"]
    assert ids(ask4, **{"meta[deep][flag]": "true", "meta.n": "1", "botId": "a"}) == ["a.x"]
    assert ids(ask4, **{"meta[deep.flag]": "true", "contactId": "c2"}) == []
    assert ids(ask4, **{"meta.n": "null"}) == ids(ask4, **{"meta.n.x": "1"}) == []
    assert ids(ask4, **{"meta.": "1", "meta": "1", "meta[]": "", "metadata.n": "2"}) == ids(ask4)


def test_the_conversations_of_a_trigger_are_found_by_its_id(ask4: Ask) -> None:
    one, other = made(ask4), made(ask4)
    answer = taken(ask4, one, {"text": "Hello"})
    taken(ask4, other, {"text": "Hello"})
    found = page(ask4, LIST, **{"meta.trigger.integrationId": one})["items"]
    assert [found[0]["id"]] == [answer["conversationId"]]
    assert found[0]["meta"] == {"app": "trigger", "trigger": {"integrationId": one}}
    where = f"/v1/conversation/{answer['conversationId']}/message/list"
    (message,) = page(ask4, where)["items"]
    assert (message["type"], message["text"]) == ("user", "Hello")
    assert message["meta"]["trigger"] == {"integrationId": one}


# --- lines ---------------------------------------------------------------------------------------


def test_a_stream_is_the_whole_list_line_by_line(ask4: Ask, ports: Ports) -> None:
    for n in range(103):
        new(ports, f"s{n}", name="Zoë\u2028\n")
    found = lines(ask4("GET", LIST, headers=STREAM))
    assert {one["type"] for one in found} == {"item"}
    assert [one["data"]["id"] for one in found] == [f"a.s{n}" for n in reversed(range(103))]
    assert found[0]["data"]["name"] == "Zoë\u2028\n"
    some = lines(ask4("GET", LIST, headers=STREAM, query={"take": "101", "cursor": "a.s102"}))
    assert [one["data"]["id"] for one in some] == [f"a.s{n}" for n in range(101, 0, -1)]


def test_a_stream_of_nothing_is_empty(ask4: Ask) -> None:
    assert lines(ask4("GET", LIST, headers=STREAM)) == []


@pytest.mark.parametrize("header", ["*/*", "application/json", "text/csv, */*", "", "x", ",;"])
def test_whoever_asks_for_no_lines_gets_json(ask4: Ask, header: str) -> None:
    assert ask4("GET", LIST, headers={"accept": header}).json == {"items": []}


def test_whoever_takes_both_gets_what_they_name_first(ask4: Ask) -> None:
    for header in ("application/jsonl, application/json", "Application/JSONL;q=1, */*"):
        assert lines(ask4("GET", LIST, headers={"accept": header})) == []
    both = {"accept": "application/json, application/jsonl"}
    assert ask4("GET", LIST, headers=both).json == {"items": []}


def test_a_stream_that_is_too_long_says_so_last_and_where_it_goes_on(
    ask4: Ask, ports: Ports, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(5):
        new(ports, f"s{n}")
    monkeypatch.setattr(listing, "MAX_PAGE_BYTES", 300)
    *items, last = lines(ask4("GET", LIST, headers=STREAM))
    assert 0 < len(items) < 5
    assert last["type"] == "error"
    assert last["data"]["code"] == "CONTENT_TOO_LARGE"
    assert last["data"]["cursor"] == items[-1]["data"]["id"]
    assert 0 < len(ids(ask4)) < 5
    assert [*chain(*walked(ask4, LIST, 5))] == [f"a.s{n}" for n in (4, 3, 2, 1, 0)]


def test_a_list_ends_in_time_with_what_it_has_and_never_seems_to_be_over(clock: FakeClock) -> None:
    def slowly(*items: Any) -> Iterator[Any]:
        for item in items:
            clock.sleep(10)
            yield item

    one = {"id": "1"}
    query = ListQuery(take=10, backwards=True, cursor=None)
    assert listing.listed(query, clock, slowly(one, None, one)) == Reply(
        {"items": [one], "cursor": "1"}
    )
    with pytest.raises(Unavailable):
        listing.listed(query, clock, slowly(None, None, one))


# --- messages ------------------------------------------------------------------------------------


def test_a_turn_is_told_message_by_message(
    ask4: Ask, ports: Ports, clock: FakeClock, session: Session
) -> None:
    asked = say(ports, session, Input(texts=("Where is", "order 7?"), metadata={"page": "/x"}))
    clock.sleep(2)
    say(
        ports,
        session,
        TurnBegan(turn="t", inputs=(asked,)),
        ModelCalled(turn="t", model="m"),
        Thinking(turn="t", text="Hm."),
        Spoke(turn="t", text="Let me look."),
        ToolInput(turn="t", call="c", tool="orders", arguments='{"id": 7}'),
    )
    say(
        ports,
        session,
        ToolOutput(turn="t", call="c", tool="orders", output='{"state": "sent"}'),
        Answered(turn="t", inputs=(asked,), text="On its way."),
    )
    found = messages(ask4, session)
    assert [(one["type"], one["text"]) for one in found] == [
        ("user", "Where is\n\norder 7?"),
        ("reasoning", "Hm."),
        ("bot", "Let me look."),
        ("activity", ""),
        ("activity", ""),
        ("bot", "On its way."),
    ]
    assert found[0] == {
        "id": event_id(session.id, session.incarnation, asked),
        "type": "user",
        "text": "Where is\n\norder 7?",
        "meta": {"page": "/x"},
        "createdAt": clock.now() - 2000,
        "updatedAt": clock.now() - 2000,
    }
    function = {"name": "orders", "arguments": {"id": 7}}
    assert found[3]["meta"]["activity"] == {"type": "request", "id": "c", "function": function}
    function = {"name": "orders", "result": {"state": "sent"}}
    assert found[4]["meta"]["activity"] == {"type": "response", "id": "c", "function": function}
    for one in found:
        assert page(ask4, f"/v1/conversation/a.s/message/{one['id']}/fetch") == one


def test_everything_else_that_is_to_be_seen_has_a_type_too(
    ask4: Ask, ports: Ports, session: Session
) -> None:
    zoe = Participant(id="z", display_name="Zoë")
    say(
        ports,
        session,
        Input(source="system", texts=("Context.",), policy="silent"),
        Posted(text="To people.", participant=zoe),
        Posted(source="person", text="Hello!", participant=zoe, metadata={"k": 1}),
        Posted(source="on_behalf", text="As it."),
        Posted(kind="status", source="ai_agent", data={"status": "typing"}),
        SkillLoaded(turn="t", skill="refunds", content="How to."),
        StepChanged(turn="t", from_step="one", to_step="two"),
        Compacted(turn="t", up_to=1, summary="In short."),
        TurnSuspended(turn="t", inputs=(), calls=("c",)),
    )
    assert [(one["type"], one["text"], one["meta"]) for one in messages(ask4, session)] == [
        ("context", "Context.", {}),
        ("user", "To people.", {"participant": zoe.model_dump()}),
        ("bot", "Hello!", {"k": 1, "author": "person", "participant": zoe.model_dump()}),
        ("bot", "As it.", {"author": "on_behalf"}),
        (
            "activity",
            "",
            {"activity": {"type": "status", "source": "ai_agent", "data": {"status": "typing"}}},
        ),
        ("instruction", "How to.", {"skill": "refunds"}),
        ("activity", "", {"activity": {"type": "step", "from": "one", "to": "two"}}),
        ("checkpoint", "In short.", {}),
        ("activity", "", {"activity": {"type": "approval", "calls": ["c"]}}),
    ]


def test_a_failure_is_told_with_its_reason_and_what_was_said_before(
    ask4: Ask, ports: Ports, session: Session
) -> None:
    failed = {"turn": "t", "inputs": (), "code": "model_timeout", "message": "Too slow."}
    say(
        ports,
        session,
        TurnFailed(**failed, retryable=True),
        TurnFailed(**failed, retryable=False, text="I was"),
        TurnInterrupted(turn="u", inputs=()),
        PartlyAnswered(turn="u", text="Half of"),
        InputsFailed(inputs=(), code="expired", message="Too late."),
        ToolOutput(turn="t", call="c", tool="x", configuration="own", output="Oops", error=True),
    )
    silent, half, partly, expired, tool = messages(ask4, session)
    error = {"code": "model_timeout", "message": "Too slow.", "retryable": True}
    assert (silent["type"], silent["text"], silent["meta"]) == ("activity", "", {"error": error})
    assert (half["type"], half["text"]) == ("bot", "I was")
    assert half["meta"]["error"]["retryable"] is False
    assert (partly["type"], partly["text"]) == ("bot", "Half of")
    assert expired["type"] == "activity"
    assert expired["meta"]["error"]["code"] == "expired"
    function = {"name": "own", "result": "Oops"}
    activity = {"type": "response", "id": "c", "function": function, "error": True}
    assert tool["meta"] == {"activity": activity}


def test_bookkeeping_and_what_says_nothing_is_no_message(
    ask4: Ask, ports: Ports, session: Session
) -> None:
    at = say(
        ports,
        session,
        Input(),
        Input(trigger=Trigger()),
        Input(compact=CompactionAsked(message="Shorter.")),
        Input(policy="decision", call="c", decision=Decision(verdict="approve", note="Fine.")),
        Answered(turn="t", inputs=(), text=" \n"),
        Spoke(turn="t", text=""),
        Finished(turn="t", inputs=()),
        ToolInput(turn="t", call="c", tool="invoke_skill", arguments="{}"),
        ToolOutput(turn="t", call="c", tool="invoke_skill", output="x"),
    )
    assert page(ask4, path_of(session)) == {"items": []}
    for offset in (*range(at, at + 9), 99):
        message = event_id(session.id, session.incarnation, offset)
        answer = ask4("GET", f"/v1/conversation/a.s/message/{message}/fetch")
        assert refused(answer, 404, "NOT_FOUND").startswith("There is no message")


def test_what_is_hidden_erased_or_removed_is_not_shown(
    ask4: Ask, ports: Ports, session: Session
) -> None:
    at = say(ports, session, *(Posted(text=f"m{n}", data=None) for n in range(5)))
    mark_event(ports, session, at + 1, "hidden", "trace")
    mark_event(ports, session, at + 2, "erased", "trace")
    remove_events(ports, session, at + 4, "trace")
    assert told(ask4, session) == [("user", "m0"), ("user", "m3")]
    assert told(ask4, session, order="desc") == [("user", "m3"), ("user", "m0")]
    for offset in (1, 2, 4):
        message = event_id(session.id, session.incarnation, at + offset)
        assert ask4("GET", f"/v1/conversation/a.s/message/{message}/fetch").status == 404


def test_what_somebody_has_noted_since_is_a_message_s_meta(
    ask4: Ask, ports: Ports, session: Session
) -> None:
    at = say(ports, session, Input(texts=("Hi",), metadata={"a": 1}))
    ports.log.annotate(session.id, session.incarnation, at, lambda old: {**old, "b": 2})
    assert messages(ask4, session)[0]["meta"] == {"a": 1, "b": 2}


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_messages_are_paged_in_both_directions(
    ask4: Ask, ports: Ports, session: Session, order: str
) -> None:
    for n in range(0, 60, 5):
        say(
            ports,
            session,
            *(Posted(text=f"m{n + i}") for i in range(5)),
            Finished(turn="t", inputs=()),
        )
    every = [one["id"] for one in messages(ask4, session)]
    assert [one["text"] for one in messages(ask4, session)] == [f"m{n}" for n in range(60)]
    for take in (7, 60, 100):
        found = [*chain(*walked(ask4, path_of(session), take, order=order))]
        assert found == (every if order == "asc" else every[::-1])


def test_long_conversations_are_read_to_their_end(
    ask4: Ask, ports: Ports, session: Session
) -> None:
    say(ports, session, Posted(text="first"))
    for _ in range(30):
        say(ports, session, *[Finished(turn="t", inputs=())] * 16)
    say(ports, session, Posted(text="last"))
    assert told(ask4, session, take="1") == [("user", "first")]
    assert [len(one) for one in walked(ask4, path_of(session), 1)] == [1, 1]
    assert [len(one) for one in walked(ask4, path_of(session), 1, order="desc")] == [1, 1]
    found = lines(ask4("GET", path_of(session), headers=STREAM))
    assert [one["data"]["text"] for one in found] == ["first", "last"]


def test_messages_are_found_by_their_meta(ask4: Ask, ports: Ports, session: Session) -> None:
    say(ports, session, *(Posted(text=f"m{n}", metadata={"n": n % 3}) for n in range(9)))
    assert told(ask4, session, **{"meta.n": "1"}) == [("user", f"m{n}") for n in (1, 4, 7)]
    assert [len(one) for one in walked(ask4, path_of(session), 2, **{"meta.n": "1"})] == [2, 1]


def test_a_message_of_another_conversation_is_no_message_and_no_cursor_here(
    ask4: Ask, ports: Ports, session: Session
) -> None:
    other = new(ports, "other")
    say(ports, session, Posted(text="Hi"))
    say(ports, other, Posted(text="Hi"))
    (message,) = messages(ask4, other)
    answer = ask4("GET", f"/v1/conversation/a.s/message/{message['id']}/fetch")
    refused(answer, 404, "NOT_FOUND")
    refused(ask4("GET", path_of(session), query={"cursor": message["id"]}), 400, "BAD_REQUEST")


def test_a_session_that_was_made_again_shows_nothing_of_the_one_before(
    ask4: Ask, ports: Ports, session: Session
) -> None:
    say(ports, session, Posted(text="Old"))
    (old,) = messages(ask4, session)
    sessions.delete(ports, "a", "s", "trace")
    assert ask4("GET", path_of(session)).status == 404
    new(ports, "s")
    assert messages(ask4, session) == []
    assert ask4("GET", f"/v1/conversation/a.s/message/{old['id']}/fetch").status == 404


def test_nothing_of_this_is_open_to_everybody() -> None:
    routes = (*CONVERSATIONS_ROUTES, *MESSAGES_ROUTES, *CONTACTS_ROUTES)
    assert {*routes} <= {*ROUTES}
    assert not [route.path for route in routes if route.open]
