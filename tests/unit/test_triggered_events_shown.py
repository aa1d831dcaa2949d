"""How the log looks through door 2, event by event."""

from typing import Any, get_args

import pytest

from cueline.doors.triggered_responses.shown import Names, to_wire
from cueline.log.events import (
    Acknowledged,
    Answered,
    AsideBegan,
    Compacted,
    CompactionAsked,
    Decision,
    Event,
    EventMarked,
    EventsRemoved,
    Finished,
    Input,
    InputsFailed,
    InputsOverran,
    InputsTaken,
    InputsWithdrawn,
    Listening,
    ModeChanged,
    ModelCalled,
    PartlyAnswered,
    Posted,
    Recorded,
    SessionDeleted,
    SettingsChanged,
    SkillLoaded,
    Spoke,
    StepChanged,
    Thinking,
    ToolInput,
    ToolOutput,
    TriggerScheduled,
    TurnAbandoned,
    TurnBegan,
    TurnFailed,
    TurnHandedOver,
    TurnInterrupted,
    TurnPostponed,
    TurnReady,
    TurnSuspended,
    TurnTyping,
    event_id,
)
from cueline.log.segment import Session
from cueline.log.settings import Settings
from cueline.log.triggers import Guideline, Participant, Trigger

SESSION = Session("a", "s", 5, "S", 0, customer="c1")
NAMES = Names(lambda _: "Support", lambda: "Alice")
AGENT = {"id": "a", "display_name": "Support"}
CALL: dict[str, Any] = {"turn": "t", "call": "c", "tool": "shop_pay"}
OWN = {"configuration": "shop", "own_name": "pay"}
EVERYTHING = get_args(get_args(Event)[0])

Wired = tuple[str, str, Any]


def shown(event: Event, **more: Any) -> dict[str, Any] | None:
    return to_wire(SESSION, NAMES, Recorded(7, 1_750_000_000_123, "segment", event), **more)


def status(name: str, **data: Any) -> Wired:
    return "ai_agent", "status", {"status": name, "data": data}


def said(source: str, message: str, participant: Any) -> Wired:
    return source, "message", {"message": message, "participant": participant}


def customer(message: str, participant: Any = None) -> Wired:
    who = participant or {"id": "c1", "display_name": "Alice"}
    data: dict[str, Any] = {"message": message, "participant": who, "flagged": False, "tags": []}
    return "customer", "message", data


def tool(arguments: Any, data: Any, name: str = "shop:pay", **metadata: Any) -> Wired:
    result = {
        "data": data,
        "metadata": metadata,
        "control": {},
        "canned_responses": [],
        "canned_response_fields": {},
    }
    call = {"tool_id": name, "arguments": arguments, "result": result}
    return "ai_agent", "tool", {"tool_calls": [call]}


SHOWN: list[tuple[Event, Wired]] = [
    (Input(texts=("Hello",)), customer("Hello")),
    (Input(texts=("one", "two")), customer("one\n\ntwo")),
    (Input(texts=("Hello",), skills=("tax",)), customer("Hello")),
    (
        Input(texts=("Hello",), participant=Participant(display_name="Bob")),
        customer("Hello", {"id": None, "display_name": "Bob"}),
    ),
    (Input(trigger=Trigger()), status("acknowledged")),
    (Input(source="system", trigger=Trigger(follows=3)), status("acknowledged")),
    (Acknowledged(input=6), status("acknowledged")),
    (Posted(text="Hello"), customer("Hello")),
    (
        Posted(source="person", text="I help.", participant=Participant(display_name="Eve")),
        said("human_agent", "I help.", {"id": None, "display_name": "Eve"}),
    ),
    (
        Posted(source="on_behalf", text="I help."),
        said("human_agent_on_behalf_of_ai_agent", "I help.", AGENT),
    ),
    (
        Posted(source="on_behalf", text="Hi.", participant=Participant(id="b", display_name="Old")),
        said("human_agent_on_behalf_of_ai_agent", "Hi.", {"id": "b", "display_name": "Old"}),
    ),
    (
        Posted(kind="status", source="customer", data={"status": "typing", "data": {"x": 1}}),
        ("customer", "status", {"status": "typing", "data": {"x": 1}}),
    ),
    (Posted(kind="custom", source="system", data="text"), ("system", "custom", "text")),
    (Posted(kind="custom", source="customer_ui", data=[1]), ("customer_ui", "custom", [1])),
    (TurnBegan(turn="t", inputs=(1,), trace="tr"), status("processing", stage="Thinking")),
    (AsideBegan(turn="t", inputs=(1,), trace="tr"), status("processing", stage="Thinking")),
    (TurnTyping(turn="t"), status("typing")),
    (Spoke(turn="t", text="I look."), said("ai_agent", "I look.", AGENT)),
    (Answered(turn="t", inputs=(1,), text="Done."), said("ai_agent", "Done.", AGENT)),
    (
        Answered(turn="t", inputs=(1,), text='{"a":1}', schema_name="plan"),
        said("ai_agent", '{"a":1}', AGENT),
    ),
    (ToolOutput(**CALL, **OWN, output='{"paid":true}'), tool({"x": 1}, {"paid": True})),
    (ToolOutput(**CALL, **OWN, output="Paid."), tool({"x": 1}, "Paid.")),
    (
        ToolOutput(**CALL, output="No.", error=True, refused=True),
        tool({"x": 1}, "No.", "shop_pay:shop_pay", error=True, refused=True),
    ),
    (TurnInterrupted(turn="t", inputs=(1,), trace="tr"), status("cancelled")),
    (
        TurnFailed(turn="t", inputs=(1,), code="model_timeout", message="Late.", retryable=True),
        status("error", exception="Late.", code="model_timeout", retryable=True),
    ),
    (
        InputsFailed(inputs=(1,), message="Stopped."),
        status("error", exception="Stopped.", code="turn_abandoned", retryable=True),
    ),
    (
        InputsFailed(inputs=(1,), code="customer_not_found", message="Who?"),
        status("error", exception="Who?", code="customer_not_found", retryable=False),
    ),
    (
        TurnReady(turn="t", trace="tr", matched=("g1", "g2")),
        status(
            "ready",
            stage="completed",
            matched_guidelines=[{"id": "g1"}, {"id": "g2"}],
            matched_journeys=[],
            matched_journey_states=[],
        ),
    ),
    (
        TriggerScheduled(due=1_750_000_000_000, trigger=Trigger()),
        status("acknowledged", scheduled_at="2025-06-15T15:06:40.000Z"),
    ),
]

HIDDEN: list[Event] = [
    Input(source="system", texts=("context",)),
    Input(skills=("tax",)),
    Input(compact=CompactionAsked()),
    Input(policy="decision", call="c", decision=Decision(verdict="approve")),
    TurnBegan(turn="t", inputs=(1,)),
    TurnBegan(turn="t", inputs=(1,), trace="tr", again=True),
    AsideBegan(turn="t", inputs=(1,)),
    AsideBegan(turn="t", inputs=(1,), trace="tr", again=True),
    InputsTaken(turn="t", inputs=(1,)),
    Thinking(turn="t", text="hm"),
    ModelCalled(turn="t"),
    Spoke(turn="t", text=""),
    ToolInput(**CALL, arguments="{}"),
    ToolOutput(turn="t", call="c", tool="invoke_skill", output="Loaded."),
    SkillLoaded(turn="t", skill="tax", content="Pay it."),
    StepChanged(turn="t", from_step="a", to_step="b"),
    Compacted(turn="t", up_to=5, summary="All good."),
    Answered(turn="t", inputs=(1,), text=""),
    Finished(turn="t", inputs=(1,)),
    TurnInterrupted(turn="t", inputs=(1,)),
    PartlyAnswered(turn="t", text="so f"),
    TurnAbandoned(turn="t"),
    TurnHandedOver(turn="t"),
    TurnSuspended(turn="t", inputs=(1,), calls=("c",)),
    InputsOverran(inputs=(1,)),
    InputsWithdrawn(inputs=(1,)),
    EventMarked(offset=1, mark="hidden"),
    ModeChanged(mode="manual"),
    SettingsChanged(settings=Settings(temperature=0.5)),
    Listening(connection="a.s.c", until=1),
    TurnPostponed(turn="t", until=1, code="model_unavailable", message="Away."),
    EventsRemoved(first=1),
    SessionDeleted(),
]


@pytest.mark.parametrize(("event", "wired"), SHOWN)
def test_an_event_is_shown_as(event: Event, wired: Wired) -> None:
    one = shown(event, arguments='{"x":1}')
    assert one
    assert (one["source"], one["kind"], one["data"]) == wired


@pytest.mark.parametrize("event", HIDDEN)
def test_the_rest_is_not_shown(event: Event) -> None:
    assert shown(event) is None


def test_it_is_decided_of_every_event_whether_it_is_shown() -> None:
    decided = {type(event) for event, _ in SHOWN} | set(map(type, HIDDEN))
    assert decided == set(EVERYTHING)


def test_every_key_is_always_there() -> None:
    own_id = event_id("a.s", 5, 7)
    assert shown(Posted(kind="custom", source="system", data={"a": 1})) == {
        "id": own_id,
        "source": "system",
        "kind": "custom",
        "offset": 7,
        "creation_utc": "2025-06-15T15:06:40.123Z",
        "trace_id": "segment",
        "correlation_id": "segment",
        "data": {"a": 1},
        "metadata": {},
        "deleted": False,
    }


@pytest.mark.parametrize(
    ("event", "trace"),
    [
        (Input(texts=("Hello",), trace="own"), "own"),
        (TurnInterrupted(turn="t", inputs=(1,), trace="own"), "own"),
        (InputsFailed(inputs=(1,), trace="own"), "own"),
        (InputsFailed(inputs=(1,)), "segment"),
        (Input(texts=("Hello",)), "segment"),
        (Answered(turn="t", inputs=(1,), text="Done."), "segment"),
    ],
)
def test_a_trace_is_the_event_s_own_or_that_of_who_wrote_it(event: Event, trace: str) -> None:
    one = shown(event)
    assert one
    assert one["trace_id"] == one["correlation_id"] == trace


def test_metadata_is_what_it_has_become() -> None:
    event = Input(trigger=Trigger(), metadata={"m": 1})
    for changed, seen in ((None, {"m": 1}), ({}, {}), ({"n": 2}, {"n": 2})):
        one = to_wire(SESSION, NAMES, Recorded(7, 0, "t", event, metadata=changed))
        assert one
        assert one["metadata"] == seen


@pytest.mark.parametrize("how", ["hidden", "erased", "removed"])
@pytest.mark.parametrize(("event", "wired"), SHOWN)
def test_what_is_deleted_says_so_and_nothing_else(how: str, event: Event, wired: Wired) -> None:
    marked: Any = {"mark": how} if how != "removed" else {}
    recorded = Recorded(7, 0, "t", event, metadata={"secret": "words"}, **marked)
    one = to_wire(SESSION, NAMES, recorded, arguments='{"x":1}', removed=how == "removed")
    assert one
    assert one["deleted"] is True
    assert one["metadata"] == {}
    assert one["data"] is not None
    assert (one["source"], one["kind"]) == wired[:2]
    for word in ("Hello", "I help.", "I look.", "Done.", "Paid", "Bob", "Eve", "Old", "'x'"):
        assert word not in str(one["data"])


def test_guidelines_of_a_trigger_are_not_shown() -> None:
    one = shown(Input(trigger=Trigger(guidelines=(Guideline(action="Ask about Bob."),))))
    assert one
    assert "Bob" not in str(one)


@pytest.mark.parametrize(("output", "data"), [("NaN", "NaN"), ("", ""), ("[1", "[1")])
def test_what_is_no_json_is_shown_as_text(output: str, data: str) -> None:
    one = shown(ToolOutput(**CALL, **OWN, output=output))
    assert one
    assert one["data"] == tool({}, data)[2]
