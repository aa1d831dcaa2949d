"""How the log looks through door 1, event by event."""

from typing import Any

import pytest

from cueline.doors.agent_events.events import to_wire, told
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
    ModeChanged,
    ModelCalled,
    Posted,
    Recorded,
    SessionDeleted,
    SkillLoaded,
    Spoke,
    StepChanged,
    ToolInput,
    ToolOutput,
    TriggerScheduled,
    TurnBegan,
    TurnFailed,
    TurnInterrupted,
    TurnPostponed,
    TurnReady,
    TurnSuspended,
    TurnTyping,
    event_id,
)
from cueline.log.segment import Session
from cueline.log.triggers import Guideline, Participant, Trigger

SESSION = Session("a", "s", 5, "S", 0)
ID = event_id("a.s", 5, 7)
EVE = Participant(display_name="Eve")
CALL: dict[str, Any] = {"turn": "t", "call": "c", "tool": "shop_pay"}
OWN = {"configuration": "shop", "own_name": "pay"}


def shown(event: Event) -> dict[str, Any] | None:
    """What is particular to it."""
    wired = to_wire(SESSION, Recorded(7, 0, "", event))
    return wired and {
        name: value
        for name, value in wired.items()
        if name not in ("id", "session_key", "created_at", "offset", "turn_id")
    }


def said(text: str) -> dict[str, str]:
    return {"type": "text", "content": text}


@pytest.mark.parametrize(
    ("event", "wired"),
    [
        (Spoke(turn="t", text="I look."), {"type": "agent_output", "content": "I look."}),
        (
            Spoke(turn="t", text='{"a":[1]}', schema_name="plan"),
            {"type": "structured_output", "schema_name": "plan", "content": {"a": [1]}},
        ),
        (
            Answered(turn="t", inputs=(), text="[1]", schema_name="plan"),
            {"type": "structured_output", "schema_name": "plan", "content": [1]},
        ),
        (
            Answered(turn="t", inputs=(), text='{"a', schema_name="plan", cut=True),
            {
                "type": "structured_output",
                "schema_name": "plan",
                "content": '{"a',
                "truncated": True,
            },
        ),
        (
            ToolInput(**CALL, **OWN, arguments='{"x":1}', approval=True),
            {
                "type": "tool_input",
                "tool_call_id": "c",
                "tool_configuration_name": "shop",
                "tool_name": "pay",
                "tool_input": {"x": 1},
                "approval_required": True,
            },
        ),
        (
            ToolOutput(**CALL, output="No.", error=True, refused=True),
            {
                "type": "tool_output",
                "tool_call_id": "c",
                "tool_configuration_name": "shop_pay",
                "tool_name": "shop_pay",
                "tool_output": {"output": "No."},
                "error": True,
                "refused": True,
            },
        ),
        (
            SkillLoaded(turn="t", skill="tax", content="Pay it.", call="c"),
            {"type": "skill_load", "skill_name": "tax", "content": "Pay it."},
        ),
        (
            StepChanged(turn="t", from_step="a", to_step="b"),
            {
                "type": "step_transition",
                "from_step": "a",
                "to_step": "b",
                "content": "[Step `a` is done. Go on with step `b`.]",
            },
        ),
        (
            Compacted(turn="t", up_to=5, kept=(3,), summary="All good.", turns=2, events=4),
            {
                "type": "compaction",
                "turns_compacted": 2,
                "events_compacted": 4,
                "summary_text": "All good.",
                "summary_key": ID,
            },
        ),
        (
            TurnSuspended(turn="t", inputs=(1,), calls=("c",), tools=("pay",)),
            {
                "type": "agent_output",
                "content": "Waiting for a person's approval of a call of pay.",
                "approvals": [{"tool_call_id": "c", "tool_configuration_name": "pay"}],
            },
        ),
        (
            TurnSuspended(turn="t", inputs=(1,), calls=("c", "d"), tools=("pay", "ship")),
            {
                "type": "agent_output",
                "content": "Waiting for a person's approval of calls of pay, ship.",
                "approvals": [
                    {"tool_call_id": "c", "tool_configuration_name": "pay"},
                    {"tool_call_id": "d", "tool_configuration_name": "ship"},
                ],
            },
        ),
        (
            Input(texts=("Help me.",), skills=("tax", "law")),
            {
                "type": "input_message",
                "messages": [
                    {"type": "skill", "skill_name": "tax"},
                    {"type": "skill", "skill_name": "law"},
                    said("Help me."),
                ],
            },
        ),
        (
            Input(policy="decision", call="c", decision=Decision(verdict="approve")),
            {
                "type": "input_message",
                "messages": [said("The tool call c is approved.")],
                "decision": {"tool_call_id": "c", "verdict": "approve"},
            },
        ),
        (
            Input(
                policy="decision",
                call="c",
                decision=Decision(verdict="edit", arguments='{"x":2}', note="Less."),
            ),
            {
                "type": "input_message",
                "messages": [said("The tool call c is approved with other arguments. Less.")],
                "decision": {
                    "tool_call_id": "c",
                    "verdict": "edit",
                    "arguments": {"x": 2},
                    "note": "Less.",
                },
            },
        ),
        (
            Input(policy="decision", call="c", decision=Decision(verdict="reject", note="No!")),
            {
                "type": "input_message",
                "messages": [said("The tool call c is rejected. No!")],
                "decision": {"tool_call_id": "c", "verdict": "reject", "note": "No!"},
            },
        ),
        (Posted(text="Help me."), {"type": "input_message", "messages": [said("Help me.")]}),
        (
            Posted(source="person", text="I help.", participant=EVE),
            {
                "type": "agent_output",
                "content": "I help.",
                "participant": {"id": None, "display_name": "Eve"},
            },
        ),
        (
            Posted(source="on_behalf", text="I help."),
            {"type": "agent_output", "content": "I help."},
        ),
        (
            InputsFailed(inputs=(1,), code="customer_not_found", message="Who?"),
            {
                "type": "agent_output",
                "content": "Who?",
                "error": {"code": "customer_not_found", "message": "Who?", "retryable": False},
            },
        ),
    ],
)
def test_an_event_is_shown_as(event: Event, wired: dict[str, Any]) -> None:
    assert shown(event) == wired
    assert told(SESSION, Recorded(7, 0, "", event)) == to_wire(SESSION, Recorded(7, 0, "", event))


@pytest.mark.parametrize(
    "event",
    [
        Finished(turn="t", inputs=()),
        ModelCalled(turn="t", model="m"),
        EventMarked(offset=1, mark="hidden"),
        Input(compact=CompactionAsked()),
        Input(source="system", texts=("context",)),
        ToolInput(turn="t", call="c", tool="invoke_skill", arguments='{"skill_name":"tax"}'),
        ToolOutput(turn="t", call="c", tool="invoke_skill", output="No such skill.", refused=True),
        TurnInterrupted(turn="t", inputs=(), trace="tr"),
        Input(trigger=Trigger(guidelines=(Guideline(action="Say hi."),)), trace="tr"),
        Input(source="system", trigger=Trigger(follows=3)),
        Acknowledged(input=1),
        Posted(kind="status", source="customer", data={"status": "typing", "data": {}}),
        Posted(kind="custom", source="system", data={"a": 1}),
        TurnBegan(turn="t", inputs=(1,), trace="tr"),
        AsideBegan(turn="t", inputs=(1,), trace="tr"),
        TurnTyping(turn="t"),
        TurnReady(turn="t", trace="tr"),
        ModeChanged(mode="manual"),
        TurnPostponed(turn="t", until=1, code="model_unavailable", message="Away."),
        TriggerScheduled(due=5, trigger=Trigger()),
        EventsRemoved(first=1),
        SessionDeleted(),
    ],
)
def test_bookkeeping_is_not_shown(event: Event) -> None:
    assert shown(event) is None


def test_a_tool_of_the_agent_s_own_may_have_the_name_of_a_built_in_one() -> None:
    own = ToolInput(turn="t", call="c", tool="invoke_skill", arguments="{}", configuration="mine")
    assert shown(own)


@pytest.mark.parametrize("code", ["context_limit_exceeded", "step_transition_limit_exceeded"])
def test_some_failures_have_a_type_only_for_who_waits(code: str) -> None:
    failed = TurnFailed(turn="t", inputs=(), code=code, message="Too much.", retryable=False)
    waiting = told(SESSION, Recorded(7, 0, "", failed))
    assert waiting
    assert (waiting["type"], waiting["message"]) == (code, "Too much.")
    assert shown(failed) == {
        "type": "agent_output",
        "content": "Too much.",
        "error": {"code": code, "message": "Too much.", "retryable": False},
    }


def test_what_is_hidden_says_so_and_is_told_to_nobody() -> None:
    hidden = Recorded(7, 0, "", Spoke(turn="t", text="I look."), "hidden")
    wired = to_wire(SESSION, hidden)
    assert wired
    assert wired["hide_reason"] == "manual"
    assert told(SESSION, hidden) is None


def test_of_what_is_erased_nothing_is_shown() -> None:
    gone = Recorded(7, 0, "", Spoke(turn="t", text=""), "erased")
    assert to_wire(SESSION, gone) is None
    assert told(SESSION, gone) is None
