"""The Vectara SDK is told how full an agent's context is, and where a limit has ended a turn."""

import pytest
from vectara.errors import UnprocessableEntityError
from vectara.types import AgentOutputParser_Default, AgentStep, NextStep

from tests.clients.talking import Practice, direct, practice
from tests.clients.working import BERLIN, CLOCK, Hire, calls, hire, types

__all__ = ["direct", "hire", "practice"]

PLAIN = AgentOutputParser_Default()


def test_streams_and_the_session_tell_how_full_the_context_is(hire: Hire) -> None:
    desk = hire()
    [consumed] = [e for e in desk.stream("Hello") if e.type == "context_consumed"]
    used = consumed.session_context_usage
    assert used.input_tokens.count > 0
    assert used.output_tokens.count > 0
    assert used.total_tokens == used.input_tokens.count + used.output_tokens.count
    session = desk.session()
    assert session.session_context_usage == used
    assert session.pending_approvals == []
    [later] = [e for e in desk.stream("Hello again") if e.type == "context_consumed"]
    assert later.session_context_usage.input_tokens.count > used.input_tokens.count


def test_a_limit_of_the_agent_ends_the_turn_by_its_name(hire: Hire, practice: Practice) -> None:
    limits = {"limits": {"model_calls": 2, "tool_calls": 1}}
    desk = hire(
        tool_configurations={"clock": CLOCK},
        request_options={"additional_body_parameters": limits},
    )
    practice.will(calls("clock", BERLIN), calls("clock", {}))
    with pytest.raises(UnprocessableEntityError) as stopped:
        desk.say("How late is it?")
    assert stopped.value.body.code == "turn_stopped"
    assert stopped.value.body.cause == "limit_turn_tool_calls"
    assert stopped.value.body.retryable is False
    assert "tool calls" in stopped.value.body.messages[0]

    desk.client.agents.update(
        desk.agent,
        request_options={"additional_body_parameters": {"limits": {"model_calls": 1}}},
    )
    practice.will(calls("clock", BERLIN))
    events = desk.stream("And now?")
    assert types(events)[-3:] == ["tool_output", "error", "end"]
    assert events[-2].cause == "limit_turn_model_calls"
    # Both are in the log, beside what was done.
    done = ["input_message", "tool_input", "tool_output", "agent_output"]
    assert types(desk.listed()) == 2 * done


def test_steps_in_circles_come_to_an_end(hire: Hire) -> None:
    round_and_round = {
        name: AgentStep(
            instructions=[], output_parser=PLAIN, next_steps=[NextStep(step_name=following)]
        )
        for name, following in (("ping", "pong"), ("pong", "ping"))
    }
    limits = {"limits": {"model_calls": 5}}
    desk = hire(
        first_step_name="ping",
        steps=round_and_round,
        request_options={"additional_body_parameters": limits},
    )
    with pytest.raises(UnprocessableEntityError) as stopped:
        desk.say("Go.")
    assert stopped.value.body.cause == "limit_turn_model_calls"
    assert len([e for e in desk.listed() if e.type == "step_transition"]) == 5
