"""The Vectara SDK sends messages with a key, and loses answers."""

import pytest
from vectara import Vectara
from vectara.errors import UnprocessableEntityError

from tests.clients.lossy import losing_answers
from tests.clients.running import (
    SLOW,
    SLOW_TEXT,
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
from tests.clients.talking import Person, Practice, listed, streamed

__all__ = ["direct", "kind", "meet", "network", "practice", "talker"]


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
