"""What may be posted through door 2, and what that is to the engine."""

from typing import Any

import pytest

from cueline.doors.triggered_responses.errors import Unprocessable
from cueline.doors.triggered_responses.event_wire import A_YEAR, PostEvent, PostQuery
from cueline.doors.triggered_responses.posted import check, due, to_input, to_posted
from cueline.doors.triggered_responses.wire import parse, parse_query
from cueline.errors import InvalidMessageContent, InvalidRequest
from cueline.log.events import Input, Posted
from cueline.log.triggers import Guideline, Participant, Trigger

AGENT = Participant(id="a", display_name="Support")
ALICE = Participant(id="c1", display_name="Alice")
EVE = {"display_name": "Eve"}
NOW = 1_750_000_000_000
ON_BEHALF = "human_agent_on_behalf_of_ai_agent"
SOURCES = ("customer", "customer_ui", "human_agent", ON_BEHALF, "ai_agent", "system")


def posted(kind: str, source: str, **fields: Any) -> PostEvent:
    made = parse(PostEvent, {"kind": kind, "source": source, **fields})
    check(made)
    return made


def read(kind: str, source: str, **fields: Any) -> Input:
    made = posted(kind, source, **fields)
    return to_input(made, ALICE, caller="k", digest="d", trace="t")


# --- what is accepted ----------------------------------------------------------------------------


def test_what_the_customer_says_interrupts() -> None:
    assert read("message", "customer", message="Hello", metadata={"m": 1}) == Input(
        policy="interrupt",
        texts=("Hello",),
        participant=ALICE,
        metadata={"m": 1},
        caller="k",
        digest="d",
        trace="t",
    )


def test_a_participant_stands_for_the_customer_without_an_id_too() -> None:
    said = read("message", "customer", message="Hello", participant={"display_name": "Bob"})
    assert said.participant == Participant(id=None, display_name="Bob")


@pytest.mark.parametrize(
    "guidelines", [{}, {"guidelines": None}, {"guidelines": []}, {"message": None}, {"message": ""}]
)
def test_a_trigger_without_guidelines_waits_its_turn(guidelines: dict[str, Any]) -> None:
    trigger = read("message", "ai_agent", metadata={"m": 1}, **guidelines)
    assert (trigger.policy, trigger.trigger, trigger.texts) == ("enqueue", Trigger(), ())
    assert (trigger.metadata, trigger.trace, trigger.caller) == ({"m": 1}, "t", "k")


@pytest.mark.parametrize(
    ("rationales", "policy"),
    [
        ([None], "enqueue"),
        (["unspecified", "follow_up"], "enqueue"),
        (["buy_time"], "aside"),
        (["follow_up", "buy_time"], "aside"),
    ],
)
def test_only_who_buys_time_speaks_beside_a_running_turn(
    rationales: list[Any], policy: str
) -> None:
    guidelines = [{"action": "Say hi.", "rationale": one} for one in rationales]
    trigger = read("message", "ai_agent", guidelines=guidelines)
    assert trigger.policy == policy
    assert trigger.trigger == Trigger(
        guidelines=tuple(
            Guideline(action="Say hi.", rationale=one or "unspecified") for one in rationales
        )
    )


@pytest.mark.parametrize(
    ("source", "fields", "event"),
    [
        (
            "human_agent",
            {"participant": {"id": "e", **EVE}},
            Posted(
                source="person", text="I help.", participant=Participant(id="e", display_name="Eve")
            ),
        ),
        (ON_BEHALF, {}, Posted(source="on_behalf", text="I help.", participant=AGENT)),
        (
            ON_BEHALF,
            {"participant": EVE},
            Posted(source="on_behalf", text="I help.", participant=AGENT),
        ),
    ],
)
def test_what_people_say_is_stored_as_it_is(
    source: str, fields: dict[str, Any], event: Posted
) -> None:
    made = posted("message", source, message="I help.", metadata={"m": 1}, **fields)
    assert to_posted(made, AGENT) == event.model_copy(update={"metadata": {"m": 1}})


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("data", [{}, {"data": None}, {"data": {}}])
def test_a_status_of_anybody_is_stored(source: str, data: dict[str, Any]) -> None:
    made = posted("status", source, status="typing", **data)
    assert to_posted(made, None) == Posted(
        kind="status", source=source, data={"status": "typing", "data": {}}
    )


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("data", [{"a": None}, "text", [0], 1, True])
def test_custom_data_of_anybody_is_stored_as_it_is(source: str, data: Any) -> None:
    made = posted("custom", source, data=data)
    assert to_posted(made, None) == Posted(kind="custom", source=source, data=data)


# --- what is not ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({}, ["kind"]),
        ({"kind": "zzz", "source": "customer"}, ["kind"]),
        ({"kind": "message", "source": "zzz"}, ["source"]),
        ({"kind": "message"}, ["source"]),
        ({"kind": "message", "source": "customer", "message": 5}, ["message"]),
        ({"kind": "message", "source": "customer", "metadata": [1]}, ["metadata"]),
        ({"kind": "status", "source": "system", "status": "zzz"}, ["status"]),
        (
            {"kind": "message", "source": "human_agent", "message": "x", "participant": {}},
            ["participant", "display_name"],
        ),
        (
            {"kind": "message", "source": "human_agent", "participant": {"display_name": " "}},
            ["participant", "display_name"],
        ),
        ({"kind": "message", "source": "ai_agent", "guidelines": "x"}, ["guidelines"]),
        (
            {"kind": "message", "source": "ai_agent", "guidelines": [{}]},
            ["guidelines", 0, "action"],
        ),
        (
            {"kind": "message", "source": "ai_agent", "guidelines": [{"action": ""}]},
            ["guidelines", 0, "action"],
        ),
        (
            {
                "kind": "message",
                "source": "ai_agent",
                "guidelines": [{"action": "x", "rationale": "zzz"}],
            },
            ["guidelines", 0, "rationale"],
        ),
        (
            {"kind": "message", "source": "ai_agent", "guidelines": [{"action": "x"}] * 21},
            ["guidelines"],
        ),
        ({"kind": "message", "source": "ai_agent", "delay_seconds": 0}, ["delay_seconds"]),
        ({"kind": "message", "source": "ai_agent", "delay_seconds": True}, ["delay_seconds"]),
        ({"kind": "message", "source": "ai_agent", "delay_seconds": A_YEAR + 1}, ["delay_seconds"]),
        ({"kind": "message", "source": "ai_agent", "at": "soon"}, ["at"]),
        ({"kind": "message", "source": "ai_agent", "at": 1_900_000_000}, ["at"]),
        ({"kind": "message", "source": "ai_agent", "at": "1900000000"}, ["at"]),
        ({"kind": "message", "source": "ai_agent", "at": "2030-01-01T00:00:00"}, ["at"]),
    ],
)
def test_what_does_not_fit_the_schema_is_named(
    fields: dict[str, Any], place: list[str | int]
) -> None:
    with pytest.raises(Unprocessable) as raised:
        parse(PostEvent, fields)
    assert raised.value.problems[0]["loc"] == ["body", *place]


EMPTY: tuple[Any, ...] = (None, {}, [], "", 0, False)
REFUSED: list[tuple[str, str, dict[str, Any]]] = [
    ("message", "customer", {}),
    ("message", "customer", {"message": ""}),
    ("message", "customer", {"message": " \n"}),
    ("message", "customer", {"message": "a\0b"}),
    ("message", "customer", {"message": 100_001 * "x"}),
    ("message", "customer", {"message": "x", "delay_seconds": 5}),
    ("message", "customer_ui", {"message": "x"}),
    ("message", "system", {"message": "x"}),
    ("message", "ai_agent", {"message": "x"}),
    ("message", "ai_agent", {"at": "2030-01-01T00:00:00Z", "delay_seconds": 5}),
    ("message", "human_agent", {"participant": EVE}),
    ("message", "human_agent", {"message": "", "participant": EVE}),
    ("message", "human_agent", {"message": "x"}),
    ("message", ON_BEHALF, {}),
    ("message", ON_BEHALF, {"message": ""}),
    *(("tool", source, {"data": {"tool_calls": []}}) for source in SOURCES),
    ("status", "customer", {}),
    ("status", "customer", {"status": "typing", "data": [1]}),
    ("status", "customer", {"status": "typing", "data": "x"}),
    ("status", "ai_agent", {"status": "typing", "delay_seconds": 5}),
    *(("custom", "system", {"data": data}) for data in EMPTY),
    ("custom", "system", {}),
    ("custom", "system", {"data": 1, "metadata": {"m": 20_000 * "x"}}),
]


@pytest.mark.parametrize(("kind", "source", "fields"), REFUSED)
def test_what_cannot_be_posted_is_refused(kind: str, source: str, fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        posted(kind, source, **fields)


def test_a_message_that_is_too_long_is_its_own_kind_of_error() -> None:
    with pytest.raises(InvalidMessageContent):
        posted("message", "customer", message=100_001 * "x")
    assert posted("message", "customer", message=100_000 * "x").message


@pytest.mark.parametrize("moderation", ["auto", "paranoid", "none"])
def test_moderations_are_known(moderation: str) -> None:
    assert parse_query(PostQuery, {"moderation": [moderation]}).moderation == moderation


def test_an_unknown_moderation_is_named() -> None:
    with pytest.raises(Unprocessable) as raised:
        parse_query(PostQuery, {"moderation": ["zzz"]})
    assert raised.value.problems[0]["loc"] == ["query", "moderation"]


# --- later ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "at"),
    [
        ({}, None),
        ({"delay_seconds": 1}, NOW + 1000),
        ({"delay_seconds": A_YEAR}, NOW + 1000 * A_YEAR),
        ({"at": "2025-06-15T15:06:41Z"}, NOW + 1000),
        ({"at": "2025-06-15T17:06:41.250+02:00"}, NOW + 1250),
    ],
)
def test_a_trigger_may_come_later(fields: dict[str, Any], at: int | None) -> None:
    assert due(posted("message", "ai_agent", **fields), NOW) == at


@pytest.mark.parametrize(
    "at", ["2025-06-15T15:06:40Z", "2020-01-01T00:00:00Z", "2026-06-16T00:00Z"]
)
def test_but_not_in_the_past_nor_after_a_year(at: str) -> None:
    with pytest.raises(InvalidRequest):
        due(posted("message", "ai_agent", at=at), NOW)
