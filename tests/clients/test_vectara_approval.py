"""The Vectara SDK meets tool calls that wait for a person, and says what a person decides."""

import pytest
from vectara.errors import BadRequestError, NotFoundError
from vectara.types import AgentEvent_ToolInput
from vectara.types import AgentToolConfiguration_DynamicVectara as DynamicVectara

from tests.clients.talking import Practice, direct, practice, streamed
from tests.clients.working import BERLIN, Desk, Hire, calls, hire, types

__all__ = ["direct", "hire", "practice"]

CLOCK = DynamicVectara(tool_id="tol_current_time", approval="required")
TOKYO = {"timezone": "Asia/Tokyo"}


@pytest.fixture
def clerk(hire: Hire, practice: Practice) -> Desk:
    """Somebody who asks a person before it looks at the clock, which it does at once."""
    practice.will(calls("clock", BERLIN))
    return hire(tool_configurations={"clock": CLOCK})


def waiting(desk: Desk) -> str:
    """The call that waits once somebody has asked."""
    events = desk.say("How late is it?")
    assert types(events) == ["input_message", "tool_input", "agent_output"]
    asked = events[1]
    assert isinstance(asked, AgentEvent_ToolInput)
    assert asked.approval_required is True
    [waits] = events[2].approvals
    assert waits["tool_call_id"] == asked.tool_call_id
    assert "approval of a call of clock" in events[2].content
    return asked.tool_call_id


def test_an_approved_call_runs_and_its_question_is_answered(clerk: Desk) -> None:
    call = waiting(clerk)
    assert clerk.session().pending_approvals == [call]
    events = clerk.decide(call, "approve", message="Go on.")
    assert types(events) == ["input_message", "tool_input", "tool_output", "agent_output"]
    decided, asked, told, answer = events
    assert decided.decision == {"tool_call_id": call, "verdict": "approve", "note": "Go on."}
    assert asked.tool_call_id == told.tool_call_id == call
    assert told.tool_output["timezone"] == "Europe/Berlin"
    assert told.tool_output["time"] in answer.content
    assert clerk.session().pending_approvals == []
    assert len([e for e in clerk.listed() if e.type == "tool_output"]) == 1


def test_an_edited_call_runs_with_other_arguments(clerk: Desk) -> None:
    call = waiting(clerk)
    events = clerk.decide(call, "edit", arguments=TOKYO)
    assert events[0].decision == {"tool_call_id": call, "verdict": "edit", "arguments": TOKYO}
    assert events[1].tool_input == TOKYO
    assert events[2].tool_output["timezone"] == "Asia/Tokyo"


def test_a_rejected_call_does_not_run_and_the_model_is_told_why(clerk: Desk) -> None:
    events = clerk.decide(waiting(clerk), "reject", message="It is too late.")
    [told] = [e for e in events if e.type == "tool_output"]
    assert told.error is True
    assert "It is too late." in told.tool_output["output"]
    assert "A person did not allow clock: “It is too late.”" in events[-1].content
    assert clerk.session().pending_approvals == []


def test_a_decision_on_a_stream_is_answered_as_it_is_made(clerk: Desk) -> None:
    told = clerk.stream("How late is it?")
    assert [kind for kind in types(told) if kind != "context_consumed"] == [
        *("input_message", "tool_input", "streaming_agent_output", "streaming_agent_output_end"),
        "end",
    ]
    assert "approval" in streamed(told)
    [call] = [e.tool_call_id for e in told if e.type == "tool_input"]
    decision = {"type": "tool_decision", "tool_call_id": call, "decision": "approve"}
    events = clerk.hear({**decision, "stream_response": True})
    assert types(events)[:4] == [
        *("input_message", "tool_input", "tool_output", "streaming_agent_output")
    ]
    assert types(events)[-1] == "end"


def test_others_are_answered_while_a_call_waits(clerk: Desk) -> None:
    call = waiting(clerk)
    assert types(clerk.say("Hello?")) == ["input_message", "agent_output"]
    assert clerk.session().pending_approvals == [call]
    assert clerk.decide(call, "approve")[-1].type == "agent_output"


def test_a_call_is_decided_on_once(clerk: Desk) -> None:
    call = waiting(clerk)
    clerk.decide(call, "reject")
    for other in (call, "call_unknown"):
        with pytest.raises(NotFoundError) as refused:
            clerk.decide(other, "approve")
        assert refused.value.body["code"] == "tool_call_not_found"
    assert not [e for e in clerk.listed() if e.type == "tool_output" and not e.error]


def test_a_decision_that_is_none_is_refused(clerk: Desk) -> None:
    call = waiting(clerk)
    for wrong in (
        {"decision": "maybe"},
        {"decision": "approve", "arguments": TOKYO},
        {"decision": "edit"},
    ):
        with pytest.raises(BadRequestError) as refused:
            clerk.decide(call, **wrong)
        assert refused.value.body["field_errors"]
    assert clerk.session().pending_approvals == [call]
