"""The Parlant SDK where more than one speaks: people, interruptions, tools, the other door."""

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from parlant.client import AgentMessageGuideline, AsyncParlantClient, Participant
from vectara import Vectara
from vectara.types import AgentToolConfiguration_DynamicVectara as DynamicVectara

from tests.clients.chatting import TRIGGER, TURN, Chat, chat, parlant, told
from tests.clients.talking import Practice, direct, practice, until
from tests.clients.working import Desk, Hire, calls, hire, says, types

__all__ = ["chat", "direct", "hire", "parlant", "practice"]

WORDS = [f"word {n} " for n in range(40)]
SLOWLY = {"kind": "delay", "texts": WORDS, "token_ms": 250}
HOLD_ON = AgentMessageGuideline(action="Say that you are still at work", rationale="buy_time")


@pytest.fixture
def desk(hire: Hire, parlant: AsyncParlantClient) -> tuple[Desk, Chat]:
    """One session seen through both doors; its model does what it is told to."""
    made = hire()
    return made, Chat(parlant, f"{made.agent}.s")


# --- two doors -----------------------------------------------------------------------------------


async def test_a_conversation_begun_there_is_gone_on_with_here(
    desk: tuple[Desk, Chat], parlant: AsyncParlantClient
) -> None:
    there, here = desk
    asked, answer = await asyncio.to_thread(there.say, "Hello from there.")
    question, reply = await here.listed(kinds="message")
    assert (question.source, question.data["message"]) == ("customer", "Hello from there.")
    assert question.data["participant"]["id"] == "guest"
    assert (reply.source, reply.data["message"]) == ("ai_agent", answer.content)
    assert reply.data["participant"] == {"id": there.agent, "display_name": "Desk"}
    assert (question.id, reply.id) == (asked.id, answer.id)

    here.heard = await here.listed()
    said = await here.say("What was my first message?")
    assert await here.hear_out(said.trace_id) == TURN
    spoken = here.message(said.trace_id)
    assert "Hello from there." in spoken.data["message"]
    guided = await here.trigger(HOLD_ON)
    await here.hear_out(guided.trace_id)

    listed = await asyncio.to_thread(there.listed)
    assert [e.id for e in listed if e.type == "agent_output"] == [
        e.id for e in await here.listed(kinds="message", source="ai_agent")
    ]
    assert [e.id for e in listed if e.type == "input_message"] == [question.id, said.id]
    session = await parlant.sessions.retrieve(here.session)
    assert (session.id, session.agent_id) == (here.session, there.agent)
    assert there.agent in [agent.id for agent in await parlant.agents.list()]


async def test_a_conversation_begun_here_is_gone_on_with_there(direct: Vectara, chat: Chat) -> None:
    said = await chat.say("Hello from here.")
    await chat.hear_out(said.trace_id)
    agent, _, session = chat.session.partition(".")
    there = Desk(direct, agent)
    listed = await asyncio.to_thread(there.listed, session)
    assert types(listed) == ["input_message", "agent_output"]
    assert [e.id for e in listed] == [said.id, chat.message(said.trace_id).id]
    told_there = await asyncio.to_thread(
        lambda: there.say("What was my first message?", session=session)
    )
    assert "Hello from here." in told_there[-1].content
    await chat.hear(lambda: [e for e in chat.heard if e.id == told_there[-1].id])
    assert chat.heard == await chat.listed()


# --- a new message -------------------------------------------------------------------------------


async def test_a_new_message_interrupts_the_running_turn(
    desk: tuple[Desk, Chat], practice: Practice
) -> None:
    practice.will(SLOWLY)
    _, here = desk
    first = await here.say("Tell me about lamps.")
    await here.hear(lambda: "typing" in told(here.of(first.trace_id)))
    second = await here.say("Never mind; about tables.")
    assert await here.hear_out(second.trace_id) == TURN
    of_the_first = [e for e in told(here.of(first.trace_id)) if e != "message"]
    assert of_the_first == ["acknowledged", "processing", "typing", "cancelled", "ready"]
    cancelled = next(e for e in here.of(first.trace_id) if told([e]) == ["cancelled"])
    assert cancelled.data == {"status": "cancelled", "data": {}}
    # The old turn is over before the new one begins.
    [over] = [e for e in here.of(first.trace_id) if told([e]) == ["ready"]]
    [began] = [e for e in here.of(second.trace_id) if told([e]) == ["processing"]]
    assert over.offset < began.offset
    assert "about tables" in here.message(second.trace_id).data["message"]
    assert here.heard == await here.listed()


# --- nothing to say ------------------------------------------------------------------------------


async def test_a_trigger_may_end_in_silence(desk: tuple[Desk, Chat], practice: Practice) -> None:
    practice.will(says("[[silence]]"))
    _, here = desk
    trigger = await here.post(**TRIGGER, guidelines=[HOLD_ON])
    assert told([trigger]) == ["acknowledged"]
    assert await here.hear_out(trigger.trace_id) == ["acknowledged", "processing", "ready"]


async def test_an_agent_that_is_gone_or_fails_is_told(
    desk: tuple[Desk, Chat], parlant: AsyncParlantClient, practice: Practice
) -> None:
    practice.will({"kind": "status", "status": 401})
    _, here = desk
    said = await here.say("Hello")
    failed = await here.hear_out(said.trace_id)
    assert failed == ["acknowledged", "processing", "error", "ready"]
    assert here.of(said.trace_id)[-2].data["data"]["code"] == "model_unauthorized"

    agent = await parlant.agents.create(name="Leaver")
    left = Chat(parlant, (await parlant.sessions.create(agent_id=agent.id)).id)
    await parlant.agents.delete(agent.id)
    said = await left.say("Hello")
    assert await left.hear_out(said.trace_id) == failed
    assert left.of(said.trace_id)[-2].data["data"]["code"] == "agent_not_found"
    await parlant.sessions.delete(left.session)


# --- people --------------------------------------------------------------------------------------


async def test_in_manual_mode_people_answer(
    desk: tuple[Desk, Chat], parlant: AsyncParlantClient, practice: Practice
) -> None:
    there, here = desk
    assert (await parlant.sessions.update(here.session, mode="manual")).mode == "manual"
    await here.say("Is somebody there?")
    await here.post(
        kind="status", source="human_agent", status="typing", data={"since": "just now"}
    )
    spoke = await here.post(
        kind="message",
        source="human_agent",
        message="I am Carla.",
        participant=Participant(id="p1", display_name="Carla"),
    )
    assert spoke.data == {
        "message": "I am Carla.",
        "participant": {"id": "p1", "display_name": "Carla"},
    }
    in_its_name = await here.post(
        kind="message",
        source="human_agent_on_behalf_of_ai_agent",
        message="We are open until ten.",
    )
    agent = (await parlant.sessions.retrieve(here.session)).agent_id
    assert in_its_name.data == {
        "message": "We are open until ten.",
        "participant": {"id": agent, "display_name": "Desk"},
    }
    await here.post(kind="custom", source="customer_ui", data={"page": "/hours"})
    assert [(e.source, e.kind) for e in await here.listed()] == [
        ("customer", "message"),
        ("human_agent", "status"),
        ("human_agent", "message"),
        ("human_agent_on_behalf_of_ai_agent", "message"),
        ("customer_ui", "custom"),
    ]
    assert practice.asked() == []

    # The agent still says what it is told to say.
    practice.will(says("One of us is with you."))
    guided = await here.trigger(AgentMessageGuideline(action="Say that somebody is there"))
    assert guided.data["message"] == "One of us is with you."
    await here.hear_out(guided.trace_id)

    # The other door's clients are told what was said, in the types that they know.
    listed = await asyncio.to_thread(there.listed)
    assert [e.type for e in listed] == ["input_message", *["agent_output"] * 3]
    assert [e.content for e in listed[1:]] == [
        *("I am Carla.", "We are open until ten.", "One of us is with you.")
    ]

    # Handed back, it knows what was said.
    assert (await parlant.sessions.update(here.session, mode="auto")).mode == "auto"
    said = await here.say("Thank you.")
    assert await here.hear_out(said.trace_id) == TURN
    seen = json.dumps(practice.asked()[-1])
    for text in ("Is somebody there?", "I am Carla.", "We are open until ten.", "One of us is"):
        assert text in seen


# --- work that takes long ------------------------------------------------------------------------


class Till:
    """A service that a tool calls; it answers once it is `open`."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.asked = 0
        self.open = threading.Event()


@pytest.fixture
def till() -> Iterator[Till]:
    class Service(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.asked += 1
            made.open.wait(60)
            body = json.dumps({"paid": True}).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Service) as server:
        made = Till(server.server_port)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield made
        made.open.set()
        server.shutdown()
        thread.join()


async def test_time_is_bought_while_a_tool_runs(
    hire: Hire, parlant: AsyncParlantClient, practice: Practice, till: Till
) -> None:
    http: dict[str, Any] = {"method": "GET", "url": f"{till.url}/orders"}
    slow = DynamicVectara(tool_id="tol_http", timeout_seconds=60, http=http)
    here = Chat(parlant, f"{hire(tool_configurations={'till': slow}).agent}.s")
    practice.will(calls("till", {}), says("One moment, please."), says("It is paid."))
    asked = await here.say("Is order 7 paid?")
    await until(lambda: till.asked)
    aside = await here.trigger(HOLD_ON)
    assert (aside.kind, aside.data["message"]) == ("message", "One moment, please.")
    await here.hear(lambda: aside.id in [e.id for e in here.heard])
    assert "message" not in told(here.of(asked.trace_id))

    till.open.set()
    assert await here.hear_out(asked.trace_id) == [
        *("acknowledged", "processing", "tool", "typing", "message", "ready")
    ]
    await here.hear_out(aside.trace_id)
    assert here.message(asked.trace_id).data["message"] == "It is paid."
    [tool] = [e for e in here.heard if e.kind == "tool"]
    [called] = tool.data["tool_calls"]
    assert called["tool_id"].startswith("till:")
    assert called["result"]["data"] == {"paid": True}
    assert aside.offset < tool.offset
    assert till.asked == 1
    for trace in (asked.trace_id, aside.trace_id):
        statuses = [t for t in told(here.of(trace)) if t != "message"]
        assert len(statuses) == len(set(statuses))
    assert here.heard == await here.listed()
