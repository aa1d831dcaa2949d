"""The Vectara SDK talks to agents that use tools, answer in forms, and go from step to step."""

import json

import pytest
from vectara import AsyncVectara
from vectara.environment import VectaraEnvironment
from vectara.errors import BadRequestError, UnprocessableEntityError
from vectara.types import (
    AgentEvent_SkillLoad,
    AgentEvent_StepTransition,
    AgentEvent_StructuredOutput,
    AgentEvent_ToolInput,
    AgentEvent_ToolOutput,
    AgentInput_Skill,
    AgentOutputParser_Default,
    AgentOutputParser_Structured,
    AgentSkill,
    AgentStep,
    FirstAgentStep,
    JsonSchemaDefinition,
    JsonSchemaSpec,
    NextStep,
)
from vectara.types import AgentStepInstruction_Inline as Inline

from tests.clients.talking import Practice, direct, practice, said, streamed
from tests.clients.working import BERLIN, CLOCK, Desk, Hire, calls, hire, says, types

__all__ = ["direct", "hire", "practice"]

INTENT = AgentOutputParser_Structured(
    json_schema=JsonSchemaSpec(
        name="intent",
        strict=True,
        schema=JsonSchemaDefinition(
            type="object",
            properties={"intent": JsonSchemaDefinition(type="string", enum=["sales", "support"])},
            required=["intent"],
            additionalProperties=False,
        ),
    )
)
PLAIN = AgentOutputParser_Default()
SORTS = FirstAgentStep(name="sort", instructions=[], output_parser=INTENT)
STEPS = {
    "sort": AgentStep(
        instructions=[],
        output_parser=INTENT,
        next_steps=[
            NextStep(condition="get('$.output.intent') == 'sales'", step_name="sell"),
            NextStep(step_name="help"),
        ],
    ),
    "sell": AgentStep(
        instructions=[Inline(name="tone", template="Sell something.")], output_parser=PLAIN
    ),
    "help": AgentStep(
        instructions=[Inline(name="tone", template="Help them.")],
        output_parser=PLAIN,
        reentry_step="sort",
    ),
}
SKILLS = {"tax": AgentSkill(description="How to tax.", content="Take 19 %. 日本語 🎈")}


# --- tools ---------------------------------------------------------------------------------------


@pytest.fixture
def clerk(hire: Hire) -> Desk:
    return hire(tool_configurations={"clock": CLOCK})


def test_json_has_the_call_and_its_output_between_question_and_answer(
    clerk: Desk, practice: Practice
) -> None:
    practice.will(calls("clock", BERLIN, text="Let me see."))
    events = clerk.say("How late is it?")
    assert types(events) == [
        "input_message",
        "agent_output",
        "tool_input",
        "tool_output",
        "agent_output",
    ]
    _, spoke, asked, told, answer = events
    assert spoke.content == "Let me see."
    assert isinstance(asked, AgentEvent_ToolInput)
    assert (asked.tool_configuration_name, asked.tool_name) == ("clock", "current_time")
    assert asked.tool_input == BERLIN
    assert isinstance(told, AgentEvent_ToolOutput)
    assert told.tool_call_id == asked.tool_call_id
    assert (told.tool_output["timezone"], told.error) == ("Europe/Berlin", False)
    assert told.tool_output["time"] in answer.content
    assert clerk.listed() == events
    assert clerk.client.agent_events.get(clerk.agent, "s", told.id) == told


def test_a_stream_has_them_between_what_is_said(clerk: Desk, practice: Practice) -> None:
    practice.will(calls("clock", BERLIN, text="Let me see."))
    events = clerk.stream("How late is it?")
    assert types(events) == [
        "input_message",
        "streaming_agent_output",
        "streaming_agent_output_end",
        "context_consumed",
        "tool_input",
        "tool_output",
        "streaming_agent_output",
        "streaming_agent_output_end",
        "context_consumed",
        "end",
    ]
    [told] = [e for e in events if e.type == "tool_output"]
    assert told.tool_output["timezone"] == "Europe/Berlin"
    assert streamed(events).startswith("Let me see.I am the practice model")
    listed = clerk.listed()
    assert [e.id for e in listed if e.type.startswith("tool_")] == [
        e.id for e in events if e.type.startswith("tool_")
    ]
    assert [e.id for e in listed if e.type == "agent_output"] == [
        e.event_id for e in events if e.type == "streaming_agent_output_end"
    ]


def test_a_tool_that_fails_is_told_to_the_model(clerk: Desk, practice: Practice) -> None:
    practice.will(
        calls("clock", {"timezone": "Mars/Olympus"}), calls("clock", {"zone": 1}), says("No idea.")
    )
    events = clerk.say("How late is it on Mars?")
    failed, refused = [e for e in events if e.type == "tool_output"]
    assert (failed.error, refused.error) == (True, True)
    assert "Mars/Olympus" in failed.tool_output["output"]
    assert "do not fit" in refused.tool_output["output"]
    assert events[-1].content == "No idea."


def test_the_model_calls_tools_by_itself(clerk: Desk) -> None:
    assert types(clerk.say("Please look at the clock."))[1:3] == ["tool_input", "tool_output"]


# --- forms ---------------------------------------------------------------------------------------


def test_an_answer_in_a_form_is_a_structured_output_in_json_and_on_a_stream(hire: Hire) -> None:
    desk = hire(first_step=SORTS)
    asked, answer = desk.say("I need support.")
    assert asked.type == "input_message"
    assert isinstance(answer, AgentEvent_StructuredOutput)
    assert (answer.schema_name, answer.content) == ("intent", {"intent": "support"})

    events = desk.stream("I want to talk to sales.")
    # Whole, and not in pieces.
    assert types(events) == ["input_message", "structured_output", "context_consumed", "end"]
    assert (events[1].schema_name, events[1].content) == ("intent", {"intent": "sales"})
    assert desk.listed()[-1].id == events[1].id


def test_an_answer_that_does_not_fit_its_form_is_given_back_to_the_model(
    hire: Hire, practice: Practice
) -> None:
    desk = hire(first_step=SORTS)
    practice.will(says("Well."), says('{"intent": "other"}'), says('{"intent": "support"}'))
    assert types(events := desk.say("I need support.")) == ["input_message", "structured_output"]
    assert events[-1].content == {"intent": "support"}

    practice.will(*[says("Well.")] * 3)
    with pytest.raises(UnprocessableEntityError) as failed:
        desk.say("And now?")
    assert failed.value.body.cause == "output_invalid"


# --- steps ---------------------------------------------------------------------------------------


def test_a_turn_goes_on_in_the_next_step_and_the_session_stays_there(hire: Hire) -> None:
    desk = hire(first_step_name="sort", steps=STEPS)
    assert desk.session().current_step_name is None
    events = desk.say("I want to talk to sales.")
    assert types(events) == [
        "input_message",
        "structured_output",
        "step_transition",
        "agent_output",
    ]
    changed = events[2]
    assert isinstance(changed, AgentEvent_StepTransition)
    assert (changed.from_step, changed.to_step) == ("sort", "sell")
    assert changed.content
    assert "Sell something." in events[-1].content
    assert desk.session().current_step_name == "sell"
    assert types(desk.say("Go on.")) == ["input_message", "agent_output"]


def test_a_step_says_where_the_next_message_begins(hire: Hire) -> None:
    desk = hire(first_step_name="sort", steps=STEPS)
    for text in ("I need support.", "I need support again."):
        events = desk.stream(text)
        assert types(events)[:3] == ["input_message", "structured_output", "context_consumed"]
        [changed] = [e for e in events if e.type == "step_transition"]
        assert (changed.from_step, changed.to_step) == ("sort", "help")
        assert "Help them." in streamed(events)
        assert desk.session().current_step_name == "sort"


# --- skills --------------------------------------------------------------------------------------


def test_a_message_brings_a_skill(hire: Hire) -> None:
    desk = hire(skills=SKILLS)
    events = desk.say(AgentInput_Skill(skill_name="tax"), "What do I owe?")
    assert types(events) == ["input_message", "skill_load", "agent_output"]
    assert [m.type for m in events[0].messages] == ["skill", "text"]
    loaded = events[1]
    assert isinstance(loaded, AgentEvent_SkillLoad)
    assert (loaded.skill_name, loaded.content) == ("tax", SKILLS["tax"].content)
    assert "I have the skill “tax”." in events[-1].content

    with pytest.raises(BadRequestError) as refused:
        desk.say(AgentInput_Skill(skill_name="law"))
    assert "law" in refused.value.body["messages"][0]
    assert desk.listed() == events


def test_the_model_loads_a_skill_that_it_needs(hire: Hire, practice: Practice) -> None:
    desk = hire(skills=SKILLS)
    practice.will(calls("invoke_skill", {"skill_name": "tax"}))
    events = desk.stream("What do I owe?")
    [loaded] = [e for e in events if e.type == "skill_load"]
    assert (loaded.skill_name, loaded.content) == ("tax", SKILLS["tax"].content)
    assert not [e for e in events if e.type.startswith("tool_")]
    assert SKILLS["tax"].content in json.dumps(practice.asked()[-1], ensure_ascii=False)


# --- the async client ----------------------------------------------------------------------------


async def test_the_async_client_does_the_same(hire: Hire, url: str, practice: Practice) -> None:
    agent = hire(
        tool_configurations={"clock": CLOCK}, first_step_name="sort", steps=STEPS, skills=SKILLS
    ).agent
    client = AsyncVectara(environment=VectaraEnvironment(default=url, auth=url), api_key="k")
    practice.will(calls("clock", BERLIN))
    created = await client.agent_events.create(
        agent, "s", request={"messages": [{"type": "skill", "skill_name": "tax"}, *said("Support")]}
    )
    expected = [
        *("input_message", "skill_load", "tool_input", "tool_output", "structured_output"),
        *("step_transition", "agent_output"),
    ]
    assert types(created.events) == expected
    stream = client.agent_events.create_stream(
        agent, "s", request={"messages": said("Sales, this time"), "stream_response": True}
    )
    events = [e async for e in stream if e.type != "context_consumed"]
    assert types(events) == [
        *("input_message", "structured_output", "step_transition", "streaming_agent_output"),
        *("streaming_agent_output_end", "end"),
    ]
    assert (await client.agent_sessions.get(agent, "s")).current_step_name == "sell"
