"""Turns with tools that others join, ask for again, interrupt or come to later, by the SDK."""

import asyncio

import pytest
from vectara.types import AgentToolConfiguration_DynamicVectara as DynamicVectara

from tests.clients.talking import Person, Practice, direct, kind, practice, streamed, until
from tests.clients.working import BERLIN, CLOCK, Desk, Hire, calls, hire, types

__all__ = ["direct", "hire", "kind", "practice"]

WORDS = [f"word {n} " for n in range(20)]


@pytest.fixture
def clerk(hire: Hire) -> Desk:
    return hire(tool_configurations={"clock": CLOCK})


async def test_steering_is_heard_after_the_tool_and_before_the_next_answer(
    clerk: Desk, practice: Practice, kind: str, url: str
) -> None:
    practice.will({**calls("clock", BERLIN), "texts": WORDS, "token_ms": 150})
    ada, bob = Person(kind, url, clerk.agent), Person(kind, url, clerk.agent)
    running = asyncio.create_task(ada.stream("How late is it?"))
    await until(lambda: streamed(ada.heard))
    told = await bob.say("And in French, please.", since="start", behavior="steer")
    assert types(told) == [
        *("input_message", "agent_output", "tool_input", "tool_output", "agent_output")
    ]
    assert "You said “And in French, please.”" in told[-1].content

    heard = await running
    assert types(heard) == [
        *("input_message", "streaming_agent_output", "streaming_agent_output_end"),
        *("tool_input", "tool_output", "input_message"),
        *("streaming_agent_output", "streaming_agent_output_end", "end"),
    ]
    assert heard[-2].event_id == told[-1].id
    sent = practice.asked()[-1]["input"]
    assert [item.get("role") or item["type"] for item in sent] == [
        *("user", "assistant", "function_call", "function_call_output", "user")
    ]


async def test_who_comes_later_is_told_what_was_done(
    clerk: Desk, practice: Practice, kind: str, url: str
) -> None:
    practice.will(calls("clock", BERLIN))
    done = clerk.say("How late is it?")
    bob = Person(kind, url, clerk.agent)
    told = await bob.say("Thanks.", since="start")
    assert told[: len(done)] == done
    heard = await bob.stream("Bye.", since="start")
    assert [e.id for e in heard if e.type in {"tool_input", "tool_output"}] == [
        e.id for e in done if e.type in {"tool_input", "tool_output"}
    ]
    assert [e.event_id for e in heard if e.type == "streaming_agent_output_end"] == [
        e.id for e in clerk.listed() if e.type == "agent_output"
    ]


async def test_under_a_key_a_question_is_told_to_wait_again_and_asked_once(
    hire: Hire, practice: Practice, kind: str, url: str, unique: str
) -> None:
    practice.will(calls("clock", BERLIN))
    asks_first = DynamicVectara(tool_id="tol_current_time", approval="required")
    desk = hire(tool_configurations={"clock": asks_first})
    ada = Person(kind, url, desk.agent)
    waits = await ada.say("How late is it?", key=unique)
    assert types(waits) == ["input_message", "tool_input", "agent_output"]
    assert await ada.say("How late is it?", key=unique) == waits
    desk.decide(waits[1].tool_call_id, "approve")
    heard = await ada.stream("How late is it?", key=unique)
    assert heard[-2].event_id == waits[2].id
    outputs = [e for e in desk.listed() if e.type == "tool_output"]
    assert (len(outputs), len(practice.asked())) == (1, 2)


async def test_an_interrupted_turn_keeps_what_its_tool_said(
    clerk: Desk, practice: Practice, kind: str, url: str
) -> None:
    practice.will(
        calls("clock", BERLIN), {"kind": "hang_midstream", "texts": ["So ", "far"], "after": 1}
    )
    ada = Person(kind, url, clerk.agent)
    running = asyncio.create_task(ada.stream("How late is it?"))
    await until(lambda: streamed(ada.heard))
    await ada.interrupt()
    heard = await running
    assert types(heard)[:3] == ["input_message", "tool_input", "tool_output"]
    assert "session_interrupted" in types(heard)
    # The next turn knows it, in a history that the provider takes.
    assert types(await ada.say("Go on.")) == ["input_message", "agent_output"]
    sent = practice.asked()[-1]["input"]
    assert [item.get("role") or item["type"] for item in sent] == [
        *("user", "function_call", "function_call_output", "assistant", "user")
    ]
