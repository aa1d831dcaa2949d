"""The Vectara SDK has conversations summed up, and forks and hides what has been worked at."""

import json

import pytest
from vectara import AsyncVectara
from vectara.agent_events import (
    CreateAgentEventsRequestBody_Compact,
    CreateAgentEventsStreamRequestBody_Compact,
)
from vectara.agent_sessions import CreateAgentSessionRequestFromSession as FromSession
from vectara.core.api_error import ApiError
from vectara.environment import VectaraEnvironment
from vectara.errors import BadRequestError
from vectara.types import AgentEvent_Compaction, AgentSkill, AgentStep, CompactionConfig, NextStep
from vectara.types import AgentOutputParser_Default as Plain

from tests.clients.talking import Practice, direct, practice, streamed
from tests.clients.working import BERLIN, CLOCK, Desk, Hire, calls, hire, says, types

__all__ = ["direct", "hire", "practice"]


@pytest.fixture
def talked(hire: Hire) -> Desk:
    """Three messages are answered, of which a summary leaves one."""
    desk = hire(compaction=CompactionConfig(keep_recent_inputs=1))
    for text in ("My name is Ada.", "I like lamps.", "And tables."):
        desk.say(text)
    return desk


def ids(events: list) -> list[str]:
    return [event.id for event in events]


def told(events: list) -> list[dict]:
    """What they say, without what is each one's own."""
    own = ("id", "session_key", "created_at")
    return [{k: v for k, v in e.model_dump().items() if k not in own} for e in events]


# --- compaction ----------------------------------------------------------------------------------


def test_a_summary_takes_the_place_of_the_oldest_events(talked: Desk, practice: Practice) -> None:
    before = talked.listed()
    [summary] = talked.post(CreateAgentEventsRequestBody_Compact(compaction_message="Keep names."))
    assert isinstance(summary, AgentEvent_Compaction)
    assert (summary.turns_compacted, summary.events_compacted) == (2, 4)
    assert summary.summary_text.startswith("Practice summary of 2 user messages.")
    assert summary.summary_key
    assert "Keep names." in practice.asked()[-1]["instructions"]

    assert talked.listed() == [*before[4:], summary]
    everything = talked.listed(include_hidden=True)
    assert ids(everything) == [*ids(before), summary.id]
    assert [getattr(e, "hide_reason", None) for e in everything[:5]] == [*["compaction"] * 4, None]

    answer = talked.say("What was my first message?")[-1].content
    assert "A summary stands for 2 user messages before that." in answer
    assert "Your first message was “My name is Ada.”." in answer


def test_a_stream_tells_when_a_summary_is_begun(talked: Desk) -> None:
    events = talked.hear(CreateAgentEventsStreamRequestBody_Compact())
    assert types(events) == ["compaction_started", "compaction", "end"]
    started, summary, _ = events
    assert (started.session_key, bool(started.id)) == ("s", True)
    assert talked.client.agent_events.get(talked.agent, "s", summary.id).turns_compacted == 2


def test_a_summary_ends_where_it_is_told_to(talked: Desk) -> None:
    before = talked.listed()
    last = before[1].id
    [summary] = talked.post(CreateAgentEventsRequestBody_Compact(compact_up_to_event_id=last))
    assert (summary.turns_compacted, summary.events_compacted) == (1, 2)
    assert ids(talked.listed()) == [*ids(before[2:]), summary.id]


def test_a_summary_that_cannot_be_made_is_refused_and_changes_nothing(
    hire: Hire, practice: Practice
) -> None:
    desk = hire(compaction=CompactionConfig(keep_recent_inputs=1))
    desk.say("one")
    with pytest.raises(ApiError) as nothing:
        desk.post(CreateAgentEventsRequestBody_Compact())
    assert (nothing.value.status_code, nothing.value.body.cause) == (422, "nothing_to_compact")
    unknown = CreateAgentEventsRequestBody_Compact(compact_up_to_event_id="aev_unknown")
    with pytest.raises(BadRequestError):
        desk.post(unknown)

    desk.say("two")
    before = desk.listed()
    practice.will({"kind": "status", "status": 400})
    with pytest.raises(ApiError) as failed:
        desk.post(CreateAgentEventsRequestBody_Compact(compaction_message="Try."))
    assert (failed.value.status_code, failed.value.body.cause) == (422, "compaction_failed")
    practice.will({"kind": "status", "status": 400})
    events = desk.hear(CreateAgentEventsStreamRequestBody_Compact())
    assert types(events) == ["compaction_started", "error", "end"]
    assert events[1].cause == "compaction_failed"
    # What has failed is told, and nothing is hidden.
    assert ids(desk.listed())[: len(before)] == ids(before)


async def test_the_async_client_does_the_same(talked: Desk, url: str) -> None:
    client = AsyncVectara(environment=VectaraEnvironment(default=url, auth=url), api_key="k")
    body = CreateAgentEventsStreamRequestBody_Compact()
    stream = client.agent_events.create_stream(talked.agent, "s", request=body)
    assert [e.type async for e in stream] == ["compaction_started", "compaction", "end"]
    made = await client.agent_sessions.create(
        talked.agent, from_session=FromSession(session_key="s")
    )
    listed = [e.type async for e in await client.agent_events.list(talked.agent, made.key)]
    assert listed == types(talked.listed())


# --- forks of work -------------------------------------------------------------------------------


@pytest.fixture
def worked(hire: Hire, practice: Practice) -> Desk:
    """Has loaded a skill, called a tool, and gone on to another step."""
    desk = hire(
        tool_configurations={"clock": CLOCK},
        skills={"tax": AgentSkill(description="How to tax.", content="Take 19 %.")},
        first_step_name="ask",
        steps={
            "ask": AgentStep(
                instructions=[], output_parser=Plain(), next_steps=[NextStep(step_name="tell")]
            ),
            "tell": AgentStep(instructions=[], output_parser=Plain()),
        },
    )
    practice.will(
        calls("invoke_skill", {"skill_name": "tax"}), calls("clock", BERLIN), says("Soon.")
    )
    desk.say("When are my taxes due?")
    desk.say("Thanks.")
    return desk


def test_a_fork_has_all_that_was_done_and_goes_on_from_there(
    worked: Desk, practice: Practice
) -> None:
    source, before = worked.listed(), worked.session()
    assert types(source) == [
        *("input_message", "skill_load", "tool_input", "tool_output", "agent_output"),
        *("step_transition", "agent_output", "input_message", "agent_output"),
    ]
    made = worked.client.agent_sessions.create(
        worked.agent, key="f", from_session=FromSession(session_key="s")
    )
    copies = worked.listed("f")
    assert told(copies) == told(source)
    assert not {*ids(copies)} & {*ids(source)}
    assert made.current_step_name == before.current_step_name == "tell"
    assert made.session_context_usage == before.session_context_usage
    assert made.pending_approvals == []

    worked.say("And next year?", session="f")
    heard = json.dumps(practice.asked()[-1]["input"])
    assert all(text in heard for text in ("taxes due", "Take 19 %.", "Europe/Berlin", "next year"))
    assert len(worked.listed("f")) == len(source) + 2
    assert worked.listed() == source


def test_a_fork_is_summed_up_to_an_event(worked: Desk, practice: Practice) -> None:
    source = worked.listed()
    first = FromSession(session_key="s", compact_up_to_event_id=source[6].id)
    made = worked.client.agent_sessions.create(worked.agent, from_session=first)
    found = worked.listed(made.key)
    assert types(found) == ["input_message", "agent_output", "compaction"]
    assert found[-1].turns_compacted == 1
    assert told(found[:2]) == told(source[7:])
    worked.say("Thanks.", session=made.key)
    heard = json.dumps(practice.asked()[-1]["input"])
    assert found[-1].summary_text in json.loads(heard)[0]["content"]
    assert "Take 19 %." not in heard
    assert worked.listed() == source


def test_what_is_hidden_or_deleted_the_model_does_not_see(worked: Desk, practice: Practice) -> None:
    [output] = [e for e in worked.listed() if e.type == "tool_output"]
    thanks = worked.listed()[-2]

    def heard(text: str) -> tuple[bool, bool]:
        """Whether the model sees the output of the tool, and the thanks for it."""
        assert f"“{text}”" in streamed(worked.stream(text))
        items = practice.asked()[-1]["input"]
        users = [item["content"] for item in items if item.get("role") == "user"]
        return output.tool_output["time"] in json.dumps(items), "Thanks." in users

    assert heard("Hm?") == (True, True)
    worked.client.agent_events.hide(worked.agent, "s", output.id)
    assert heard("Hm, hm?") == (False, True)
    worked.client.agent_events.unhide(worked.agent, "s", output.id)
    worked.client.agent_events.delete(worked.agent, "s", thanks.id)
    assert heard("Hm, hm, hm?") == (True, False)
