"""The Parlant SDK from Python, from the making of an agent to its end."""

import time
from typing import Any

import pytest
from parlant.client import (
    AgentMessageGuideline,
    AsyncParlantClient,
    ConsumptionOffsetsUpdateParams,
    CustomerMetadataUpdateParams,
    GatewayTimeoutError,
    GuidelineTagsUpdateParams,
    NotFoundError,
    SessionLabelsUpdateParams,
    SessionMetadataUpdateParams,
    UnprocessableEntityError,
)
from parlant.client.core.api_error import ApiError

from tests.clients.chatting import CUSTOMER, TRIGGER, TURN, Chat, chat, client, parlant, told

__all__ = ["chat", "client", "parlant"]

ASK = AgentMessageGuideline(action="Ask if the customer needs any more help", rationale="follow_up")


async def test_a_conversation_from_its_beginning_to_its_end(client: Any) -> None:
    agent = await client.agents.create(name="Rest Agent", description="d")
    assert (agent.name, agent.description, agent.max_engine_iterations) == ("Rest Agent", "d", 3)
    assert (agent.composition_mode, agent.message_output_mode, agent.tags) == ("fluid", "block", [])
    customer = await client.customers.create(name="Alice", metadata={"k": "v"})
    assert (customer.name, customer.metadata, customer.tags) == ("Alice", {"k": "v"}, [])
    session = await client.sessions.create(
        agent_id=agent.id,
        customer_id=customer.id,
        title="T",
        metadata={"x": 1, "n": None},
        labels=["l1", "l2"],
    )
    assert (session.agent_id, session.customer_id) == (agent.id, customer.id)
    assert (session.title, session.mode, session.metadata) == ("T", "auto", {"x": 1, "n": None})
    assert (set(session.labels), session.consumption_offsets.client) == ({"l1", "l2"}, 0)

    # A message, and the polls that bring its answer.
    talk = Chat(client, session.id)
    said = await talk.post(**CUSTOMER, message="Hello", metadata={"m": 1})
    assert (said.offset, said.source, said.kind) == (0, "customer", "message")
    assert said.data == {
        "message": "Hello",
        "participant": {"id": customer.id, "display_name": "Alice"},
        "flagged": False,
        "tags": [],
    }
    assert (said.metadata, said.deleted) == ({"m": 1}, False)
    assert await talk.hear_out(said.trace_id) == TURN
    assert talk.heard[0] == said
    processing, ready = talk.of(said.trace_id)[2], talk.of(said.trace_id)[-1]
    assert processing.data["data"] == {"stage": "Thinking"}
    assert ready.data["data"] == {
        "stage": "completed",
        "matched_guidelines": [],
        "matched_journeys": [],
        "matched_journey_states": [],
    }
    answer = talk.message(said.trace_id)
    assert "You said “Hello”." in answer.data["message"]
    assert answer.data["participant"] == {"id": agent.id, "display_name": "Rest Agent"}

    # The agent speaks first: as it likes, and as it is told to.
    triggered = await talk.post(**TRIGGER)
    assert (triggered.kind, triggered.source) == ("status", "ai_agent")
    assert triggered.data == {"status": "acknowledged", "data": {}}
    assert await talk.hear_out(triggered.trace_id) == TURN
    assert talk.message(triggered.trace_id).data["message"]
    guided = await talk.trigger(ASK)
    assert (guided.kind, guided.source) == ("message", "ai_agent")
    assert guided.data["message"]
    assert await talk.hear_out(guided.trace_id) == TURN
    assert talk.message(guided.trace_id) == guided
    assert len({said.trace_id, triggered.trace_id, guided.trace_id}) == 3

    # Whoever polls misses nothing, and hears nothing twice.
    everything = await talk.listed()
    assert talk.heard == everything
    assert len({event.offset for event in everything} | {event.id for event in everything}) == (
        2 * len(everything)
    )

    # Filters, alone and together.
    messages = await talk.listed(kinds="message")
    assert [e.id for e in messages] == [e.id for e in everything if e.kind == "message"]
    assert await talk.listed(kinds="message,status") == everything
    assert await talk.listed(source="customer") == [said]
    assert await talk.listed(trace_id=guided.trace_id, kinds="message") == [guided]
    assert await talk.listed(min_offset=guided.offset, source="ai_agent", kinds="message") == [
        guided
    ]
    assert await talk.listed(kinds="custom,tool") == []
    assert await client.sessions.read_event(session.id, guided.id) == guided

    # What is changed.
    changed = await client.sessions.update(
        session.id,
        title="T2",
        consumption_offsets=ConsumptionOffsetsUpdateParams(client=5),
        metadata=SessionMetadataUpdateParams(set_={"y": [2]}, unset=["x"]),
        labels=SessionLabelsUpdateParams(upsert=["l3"], remove=["l1"]),
    )
    assert (changed.title, changed.consumption_offsets.client) == ("T2", 5)
    assert (changed.metadata, set(changed.labels)) == ({"n": None, "y": [2]}, {"l2", "l3"})
    assert await client.sessions.retrieve(session.id) == changed
    assert await client.sessions.list(agent_id=agent.id, labels=["l2", "l3"]) == [changed]
    assert await client.sessions.list(customer_id=customer.id, labels=["l1"]) == []
    page = await client.sessions.list(agent_id=agent.id, limit=10)
    assert (page.items, page.total_count, page.has_more) == ([changed], 1, False)
    noted = await client.sessions.update_event(
        session.id,
        said.id,
        metadata=SessionMetadataUpdateParams(set_={"seen": True}, unset=["m"]),
    )
    assert noted == said.model_copy(update={"metadata": {"seen": True}})
    assert (await talk.listed(source="customer")) == [noted]
    renamed = await client.agents.update(agent.id, name="Other", description="e")
    assert (renamed.name, renamed.description) == ("Other", "e")
    assert await client.agents.retrieve(agent.id) == renamed
    assert renamed in await client.agents.list()
    moved = await client.customers.update(
        customer.id, name="Bob", metadata=CustomerMetadataUpdateParams(set_={"c": "d"}, unset=["k"])
    )
    assert (moved.name, moved.metadata) == ("Bob", {"c": "d"})
    assert await client.customers.retrieve(customer.id) == moved

    # What is removed: the last turn, then all.
    first = min(event.offset for event in talk.of(guided.trace_id))
    await client.sessions.delete_events(session.id, min_offset=first)
    assert [e.id for e in await talk.listed()] == [e.id for e in everything if e.offset < first]
    await client.sessions.delete(session.id)
    with pytest.raises(NotFoundError):
        await client.sessions.retrieve(session.id)
    await client.customers.delete(customer.id)
    with pytest.raises(NotFoundError):
        await client.customers.retrieve(customer.id)
    await client.agents.delete(agent.id)
    with pytest.raises(NotFoundError):
        await client.agents.retrieve(agent.id)


async def test_guidelines_of_an_agent(client: Any) -> None:
    agent = await client.agents.create(name="Rest Agent")
    mine = f"agent:{agent.id}"
    made = await client.guidelines.create(
        condition="the customer greets you", action="Greet them back", tags=[mine]
    )
    assert (made.condition, made.action) == ("the customer greets you", "Greet them back")
    assert (made.enabled, made.tags) == (True, [mine])
    assert await client.guidelines.list(tag_id=mine) == [made]
    changed = (
        await client.guidelines.update(
            made.id, action="Say ahoy", tags=GuidelineTagsUpdateParams(add=[mine])
        )
    ).guideline
    assert (changed.condition, changed.action) == (made.condition, "Say ahoy")
    assert (await client.guidelines.retrieve(made.id)).guideline == changed
    await client.guidelines.delete(made.id)
    assert await client.guidelines.list(tag_id=mine) == []
    with pytest.raises(NotFoundError):
        await client.guidelines.retrieve(made.id)
    await client.agents.delete(agent.id)


async def test_customers_in_pages(client: Any, unique: str) -> None:
    names = [f"{unique}-{n}" for n in range(3)]
    made = [await client.customers.create(name=name) for name in names]
    listed = await client.customers.list()
    assert listed[0].id == "guest"
    assert [c for c in listed if c.name in names] == made
    seen, cursor = [], None
    while True:
        page = await client.customers.list(limit=100, cursor=cursor)
        seen += page.items
        if not page.has_more:
            break
        cursor = page.next_cursor
    assert [c.id for c in seen] == [c.id for c in listed]
    for customer in made:
        await client.customers.delete(customer.id)


# --- what goes wrong -----------------------------------------------------------------------------


async def test_what_is_not_there_is_a_not_found_error(client: Any, unique: str) -> None:
    for asked in (
        client.sessions.retrieve(unique),
        client.sessions.update(unique, title="T"),
        client.sessions.list_events(unique),
        client.sessions.create_event(unique, **CUSTOMER, message="Hello"),
        client.sessions.create_event(unique, **TRIGGER),
        client.agents.retrieve(unique),
        client.agents.update(unique, name="N"),
        client.customers.update(unique, name="N"),
        client.guidelines.retrieve(unique),
    ):
        with pytest.raises(NotFoundError) as missing:
            await asked
        assert isinstance(missing.value.body["detail"], str)
    with pytest.raises(ApiError) as untyped:
        await client.sessions.create(agent_id=unique)
    assert (untyped.value.status_code, set(untyped.value.body)) == (404, {"detail"})


async def test_what_makes_no_sense_is_an_unprocessable_entity_error(
    client: Any, chat: Chat
) -> None:
    create = client.sessions.create_event
    for wrong in (
        create(chat.session, **CUSTOMER),
        create(chat.session, **CUSTOMER, message=""),
        create(chat.session, **TRIGGER, message="Hello"),
        create(chat.session, kind="message", source="human_agent", message="Hi"),
        create(chat.session, kind="message", source="system", message="Hi"),
        create(chat.session, kind="status", source="ai_agent"),
        create(chat.session, kind="custom", source="system"),
        create(chat.session, kind="tool", source="system", data={"a": 1}),
        create(chat.session, kind="nonsense", source="customer", message="Hello"),
        create(chat.session, **TRIGGER, guidelines=[{"action": "a", "rationale": "boredom"}]),
        client.sessions.list_events(chat.session, kinds="message,nonsense"),
        client.sessions.list_events(chat.session, source="nobody"),
        client.agents.create(name=""),
    ):
        with pytest.raises(UnprocessableEntityError) as refused:
            await wrong
        assert refused.value.body["detail"]
    assert await chat.listed() == []
    with pytest.raises(UnprocessableEntityError) as refused:
        await create(chat.session, kind="nonsense", source="customer", message="Hello")
    [told] = refused.value.body["detail"]
    assert (told["loc"], told["input"]) == (["body", "kind"], "nonsense")


async def test_an_idle_session_is_a_gateway_timeout_error(
    parlant: AsyncParlantClient, chat: Chat
) -> None:
    began = time.monotonic()
    with pytest.raises(GatewayTimeoutError) as idle:
        await parlant.sessions.list_events(chat.session, wait_for_data=1)
    assert 0.9 < time.monotonic() - began < 5
    assert idle.value.body == {"detail": "Request timed out"}


async def test_an_agent_that_greets(parlant: AsyncParlantClient, chat: Chat) -> None:
    agent = (await parlant.sessions.retrieve(chat.session)).agent_id
    session = await parlant.sessions.create(agent_id=agent, allow_greeting=True)
    assert session.customer_id == "guest"
    greeted = Chat(parlant, session.id)
    await greeted.hear(lambda: greeted.heard)
    assert await greeted.hear_out(greeted.heard[0].trace_id) == TURN
    assert told(greeted.heard) == TURN
