"""The Vectara SDK interrupts what another began; and many who follow up at once."""

import asyncio

import pytest
from vectara import Vectara

from tests.clients.running import (
    BOTH,
    STUCK,
    STUCK_TEXT,
    Meet,
    answers,
    direct,
    kind,
    meet,
    messages,
    network,
    practice,
    talker,
    types,
)
from tests.clients.talking import Practice, Transcript, listed, streamed, until

__all__ = ["direct", "kind", "meet", "network", "practice", "talker"]

MANY = 50


@BOTH
@pytest.mark.parametrize("streams", [False, True])
async def test_an_interrupt_ends_the_stream_of_another_and_keeps_what_was_said(
    meet: Meet, practice: Practice, direct: Vectara, talker: str, streams: bool
) -> None:
    practice.will(STUCK)
    ada, bob = meet(), meet()
    running = asyncio.create_task(ada.stream("one"))
    await until(lambda: streamed(ada.heard) == STUCK_TEXT)
    if streams:
        told = await bob.interrupt_on_a_stream()
        assert types(told) == ["session_interrupted", "end"]
    else:
        told = await bob.interrupt()
        assert types(told) == ["session_interrupted"]
    heard = await running
    assert types(heard) == [
        "input_message",
        "streaming_agent_output",
        "session_interrupted",
        "streaming_agent_output_end",
        "end",
    ]
    assert streamed(heard) == STUCK_TEXT

    log = list(direct.agent_events.list(talker, "s"))
    assert [e.type for e in log] == ["input_message", "agent_output"]
    assert (log[1].id, log[1].content) == (heard[-2].event_id, STUCK_TEXT)
    assert log[1].interrupted

    later = await bob.say("two", since=told[0].id)
    assert answers(later)[0] == STUCK_TEXT
    assert "I can see 2 user messages" in answers(later)[1]
    sent = practice.asked()[-1]["input"]
    assert [item["role"] for item in sent] == ["user", "assistant", "user"]
    assert STUCK_TEXT in str(sent[1])


@BOTH
async def test_who_waits_for_json_gets_what_was_said_before_the_interrupt(
    meet: Meet, practice: Practice
) -> None:
    practice.will(STUCK)
    ada, bob = meet(), meet()
    running = asyncio.create_task(ada.say("one"))
    await until(practice.asked)
    await asyncio.sleep(2)  # nobody hears what is said meanwhile
    await bob.interrupt()
    told = await running
    assert types(told) == ["input_message", "session_interrupted", "agent_output"]
    assert (told[-1].content, told[-1].interrupted) == (STUCK_TEXT, True)


async def test_an_interrupt_of_an_idle_session_does_nothing(
    meet: Meet, direct: Vectara, talker: str
) -> None:
    ada = meet()
    await ada.say("one")
    assert await ada.interrupt() == []
    assert types(await ada.interrupt_on_a_stream()) == ["end"]
    assert len(listed(direct, talker).known) == 2


@BOTH
async def test_what_queues_is_answered_after_an_interrupt(
    meet: Meet, practice: Practice, direct: Vectara, talker: str
) -> None:
    practice.will(STUCK)
    ada, bob, cem = meet(), meet(), meet()
    running = asyncio.create_task(ada.stream("one"))
    await until(lambda: streamed(ada.heard) == STUCK_TEXT)
    queued = asyncio.create_task(bob.stream("two", since="start"))
    await until(lambda: messages(bob.heard) == ["one", "two"])
    await cem.interrupt()
    assert "session_interrupted" in types(await running)
    heard = await queued
    assert streamed(heard).startswith(STUCK_TEXT)
    assert "You said “two”. I can see 2 user messages." in streamed(heard)
    known = Transcript()
    known.hear(heard)
    assert known.known == listed(direct, talker).known
    assert len(known.known) == 4


@pytest.mark.parametrize(("kind", "network"), [("async", "whole")], indirect=True)
async def test_many_follow_ups_at_once_get_one_answer_each_in_the_order_of_acceptance(
    meet: Meet, practice: Practice, direct: Vectara, talker: str
) -> None:
    practice.will({"kind": "delay", "token_ms": 0, "times": 0})
    texts = [f"message {n:02}" for n in range(MANY)]
    heard = await asyncio.gather(
        *(meet().stream(text, since="start", behavior="follow_up") for text in texts)
    )
    everything = listed(direct, talker).known
    accepted = [text for kind, _, text in everything if kind == "input_message"]
    assert sorted(accepted) == texts
    told = [text for kind, _, text in everything if kind == "agent_output"]
    assert len(told) == MANY
    for n, (text, answer) in enumerate(zip(accepted, told, strict=True), 1):
        assert f"You said “{text}”. I can see {n} user message" in answer

    for text, events in zip(texts, heard, strict=True):
        known = Transcript()
        known.hear(events)
        # All of the log, up to its own answer.
        assert known.known == everything[: len(known.known)]
        assert f"You said “{text}”." in known.known[-1][2]
