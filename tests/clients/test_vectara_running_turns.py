"""The Vectara SDK while a turn runs: `since` and `behavior`."""

import asyncio

import pytest
from vectara import Vectara
from vectara.errors import ConflictError

from tests.clients.running import (
    BOTH,
    SLOW,
    SLOW_TEXT,
    STUCK,
    Meet,
    answers,
    direct,
    is_text,
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

PACED = {"kind": "delay", "token_ms": 60}


async def test_since_start_tells_all_earlier_events_and_ones_own(meet: Meet) -> None:
    ada, bob = meet(), meet()
    first = await ada.say("one")
    second = await ada.say("two")
    told = await bob.say("three", since="start")
    assert [e.id for e in told[:4]] == [e.id for e in first + second]
    assert messages(told) == ["one", "two", "three"]
    assert types(told) == ["input_message", "agent_output"] * 3

    heard = await bob.stream("four", since="start")
    assert messages(heard) == ["one", "two", "three", "four"]
    assert heard[-1].type == "end"
    assert streamed(heard).startswith("".join(answers(told)))


async def test_since_the_last_seen_event_tells_only_later_ones(meet: Meet) -> None:
    ada, bob = meet(), meet()
    seen = (await bob.say("one"))[-1].id
    await ada.say("two")
    told = await bob.say("three", since=seen)
    assert messages(told) == ["two", "three"]
    heard = await bob.stream("four", since=told[-1].id)
    assert messages(heard) == ["four"]
    assert "I can see 4 user messages" in streamed(heard)


async def test_who_goes_on_from_the_last_seen_event_knows_the_whole_log(
    meet: Meet, direct: Vectara, talker: str
) -> None:
    ada, bob, known = meet(), meet(), Transcript()

    known.hear(await ada.say("one", since=known.last))
    known.hear(await ada.stream("think: two", since=known.last, leave=is_text))
    half = known.last
    known.hear(await ada.stream("three", since=known.last))
    assert known.last != half
    await bob.say("four")
    known.hear(
        await ada.stream("five", since=known.last, leave=lambda e: e.type == "input_message")
    )
    known.hear(await ada.say("think: six", since=known.last))
    await bob.stream("seven")
    known.hear(await ada.stream("eight", since=known.last))

    everything = listed(direct, talker)
    assert known.known == everything.known
    assert [text for kind, _, text in known.known if kind == "input_message"] == [
        *("one", "think: two", "three", "four", "five", "think: six", "seven", "eight")
    ]
    assert len({event_id for _, event_id, _ in known.known}) == len(known.known) == 16


@BOTH
async def test_a_turn_whose_stream_was_left_is_told_whole_by_the_next_since(
    meet: Meet, practice: Practice, direct: Vectara, talker: str
) -> None:
    practice.will(SLOW)
    ada, known = meet(), Transcript()
    known.hear(await ada.stream("one", since="start", leave=is_text))
    assert types(ada.heard) == ["input_message", "streaming_agent_output"]
    assert streamed(ada.heard) != SLOW_TEXT
    known.hear(await ada.stream("two", since=known.last))
    assert [text for _, _, text in known.known][:3] == ["one", "two", SLOW_TEXT]
    assert known.known == listed(direct, talker).known


@BOTH
async def test_a_follow_up_hears_the_running_turn_and_then_its_own_answer_as_it_is_made(
    meet: Meet, practice: Practice, direct: Vectara, talker: str
) -> None:
    practice.will(SLOW, PACED)
    ada, bob = meet(), meet()
    running = asyncio.create_task(ada.stream("one"))
    await until(lambda: streamed(ada.heard))
    heard = await bob.stream("two", since="start", behavior="follow_up")
    first = await running

    assert streamed(first) == SLOW_TEXT
    assert types(first)[-2:] == ["streaming_agent_output_end", "end"]
    ends = [n for n, e in enumerate(heard) if e.type == "streaming_agent_output_end"]
    assert len(ends) == 2
    assert heard[ends[0]].event_id == first[-2].event_id
    assert messages(heard[: ends[0]]) == ["one", "two"]
    assert streamed(heard[: ends[0]]) == SLOW_TEXT
    own = heard[ends[0] + 1 : ends[1]]
    assert "You said “two”. I can see 2 user messages." in streamed(own)
    assert len(own) >= 3

    known = Transcript()
    known.hear(heard)
    assert known.known == listed(direct, talker).known


@BOTH
async def test_a_follow_up_in_json_waits_for_its_own_answer(meet: Meet, practice: Practice) -> None:
    practice.will(SLOW)
    ada, bob = meet(), meet()
    running = asyncio.create_task(ada.stream("one"))
    await until(lambda: streamed(ada.heard))
    told = await bob.say("two", since="start", behavior="follow_up")
    assert messages(told) == ["one", "two"]
    assert answers(told)[0] == streamed(await running) == SLOW_TEXT
    assert "You said “two”. I can see 2 user messages." in answers(told)[1]


@BOTH
async def test_steering_joins_the_running_turn(
    meet: Meet, practice: Practice, direct: Vectara, talker: str
) -> None:
    practice.will({"kind": "status", "status": 503, "retry_after": "4"})
    ada, bob = meet(), meet()
    running = asyncio.create_task(ada.stream("one"))
    await until(practice.asked)
    told = await bob.say("and in French, please", since="start", behavior="steer")
    heard = await running
    assert messages(told) == messages(heard) == ["one", "and in French, please"]
    assert len(answers(told)) == 1
    assert "“and in French, please”. I can see 2 user messages." in answers(told)[0]
    assert streamed(heard) == answers(told)[0]
    assert heard[-2].event_id == told[-1].id
    assert len(listed(direct, talker).known) == 3


@BOTH
async def test_steering_that_comes_too_late_is_answered_next(
    meet: Meet, practice: Practice
) -> None:
    practice.will(SLOW)
    ada, bob = meet(), meet()
    running = asyncio.create_task(ada.stream("one"))
    await until(lambda: streamed(ada.heard))
    heard = await bob.stream("two", since="start", behavior="steer")
    assert streamed(await running) == SLOW_TEXT
    assert messages(heard) == ["one", "two"]
    assert "You said “two”" in streamed(heard)
    assert [e.type for e in heard].count("streaming_agent_output_end") == 2


@BOTH
async def test_without_since_a_busy_session_refuses(meet: Meet, practice: Practice) -> None:
    practice.will(STUCK)
    ada, bob = meet(), meet()
    running = asyncio.create_task(ada.stream("one"))
    await until(lambda: streamed(ada.heard))
    for busy in (bob.say("two"), bob.stream("two")):
        with pytest.raises(ConflictError) as refused:
            await busy
        assert refused.value.body.code == "turn_running"
        assert refused.value.body.running_turn_id
        assert int(refused.value.headers["retry-after"]) > 0
    # The client's own retries of a post in JSON come when the turn is over.
    patient = asyncio.create_task(bob.say("two", retries=True))
    await asyncio.sleep(0.5)
    await ada.interrupt()
    assert messages(await patient) == ["two"]
    assert "session_interrupted" in types(await running)
