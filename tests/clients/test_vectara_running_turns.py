"""The Vectara SDK while a turn runs: `since`, `behavior`, interrupts, and messages with a key."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from vectara import Vectara
from vectara.errors import ConflictError, UnprocessableEntityError

from tests.clients.lossy import losing_answers
from tests.clients.talking import (
    Person,
    Practice,
    Transcript,
    direct,
    kind,
    listed,
    network,
    practice,
    streamed,
    talker,
    until,
)

__all__ = ["direct", "kind", "network", "practice", "talker"]

MANY = 50
BOTH = pytest.mark.parametrize(
    ("kind", "network"), [("async", "whole"), ("sync", "one byte at a time")], indirect=True
)
"""For what takes long: each client once, and each network."""
SLOW = {"kind": "script", "texts": [f"word {n} " for n in range(20)], "token_ms": 150}
SLOW_TEXT = "".join(SLOW["texts"])
STUCK = {"kind": "hang_midstream", "texts": ["So ", "far, ", "so ", "good."], "after": 2}
STUCK_TEXT = "So far, "
PACED = {"kind": "delay", "token_ms": 60}

Meet = Callable[[], Person]


@pytest.fixture
def meet(kind: str, network: str, talker: str) -> Meet:
    """Another person who talks to the same session."""
    return lambda: Person(kind, network, talker)


def types(events: list[Any]) -> list[str]:
    """Runs of one type as one."""
    kinds = [e.type for e in events]
    return [one for n, one in enumerate(kinds) if n == 0 or kinds[n - 1] != one]


def messages(events: list[Any]) -> list[str]:
    return [e.messages[0].content for e in events if e.type == "input_message"]


def answers(events: list[Any]) -> list[str]:
    return [e.content for e in events if e.type == "agent_output"]


def is_text(event: Any) -> bool:
    return bool(event.type == "streaming_agent_output")


# --- since ---------------------------------------------------------------------------------------


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


# --- behavior ------------------------------------------------------------------------------------


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


# --- interrupt -----------------------------------------------------------------------------------


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


# --- keys ----------------------------------------------------------------------------------------


async def test_a_key_gives_the_same_events_and_refuses_another_body(
    meet: Meet, unique: str, direct: Vectara, talker: str
) -> None:
    ada = meet()
    first = await ada.say("one", key=unique)
    await ada.say("two")
    assert await ada.say("one", key=unique) == first
    heard = await ada.stream("one", key=unique)
    assert types(heard)[-2:] == ["streaming_agent_output_end", "end"]
    assert heard[-2].event_id == first[-1].id
    assert streamed(heard) == first[-1].content
    for other in (ada.say("three", key=unique), ada.stream("three", key=unique)):
        with pytest.raises(UnprocessableEntityError) as refused:
            await other
        assert refused.value.body.code == "idempotency_key_reused"
    assert len(listed(direct, talker).known) == 4


async def test_a_key_gives_the_same_events_since_one_however_much_follows(
    meet: Meet, unique: str
) -> None:
    ada = meet()
    known = (await ada.say("one"))[-1].id
    first = await ada.say("two", since=known, key=unique)
    await ada.say("three")
    assert await ada.say("two", since=known, key=unique) == first
    heard = await ada.stream("two", since=known, key=unique)
    assert messages(heard) == ["two"]
    assert heard[-2].event_id == first[-1].id


async def test_a_lost_answer_is_told_again_under_its_key(
    kind: str, url: str, unique: str, direct: Vectara, talker: str
) -> None:
    with losing_answers(url) as lossy:
        ada = Person(kind, lossy.url, talker)
        lossy.lose = 2
        told = await ada.say("one", key=unique, retries=True)
    assert lossy.lost == [201, 201]
    assert [e.id for e in told] == [event_id for _, event_id, _ in listed(direct, talker).known]
    assert types(told) == ["input_message", "agent_output"]


@pytest.mark.parametrize("keyed", [True, False])
async def test_a_connection_that_breaks_while_the_answer_is_made_gives_one_answer(
    kind: str,
    url: str,
    unique: str,
    practice: Practice,
    direct: Vectara,
    talker: str,
    keyed: bool,
) -> None:
    practice.will(SLOW)
    with losing_answers(url) as lossy:
        ada = Person(kind, lossy.url, talker)
        lossy.break_when = practice.asked
        told = await ada.say("one", key=unique if keyed else None, retries=True)
    assert lossy.broken == 1
    assert (messages(told), answers(told)) == (["one"], [SLOW_TEXT])
    assert [e.id for e in told] == [event_id for _, event_id, _ in listed(direct, talker).known]


# --- many ----------------------------------------------------------------------------------------


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
