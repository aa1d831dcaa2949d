"""The Parlant SDK from JavaScript, which repeats by itself whatever comes back as a 5xx."""

import json
from pathlib import Path
from typing import Any

import pytest
from parlant.client import AsyncParlantClient

from tests.clients.chatting import CUSTOMER, TRIGGER, TURN, Chat, chat, parlant, told
from tests.clients.lossy import losing_answers
from tests.clients.noding import NODE, PACKAGES, run, run_module
from tests.clients.talking import Practice, direct, practice
from tests.clients.working import Hire, hire

__all__ = ["chat", "direct", "hire", "parlant", "practice"]

SCRIPTS = Path(__file__).parent / "node"
GUIDED = {**TRIGGER, "guidelines": [{"action": "Say hello", "rationale": "follow_up"}]}


async def script(name: str, url: str, **environment: str) -> str:
    return await run_module((SCRIPTS / name).read_text(), CUELINE_URL=url, **environment)


async def test_node_and_the_sdk_are_the_pinned_ones() -> None:
    assert (await run(NODE, "--version")).startswith("v24.")
    wanted = json.loads((SCRIPTS / "package.json").read_text())["dependencies"]["parlant-client"]
    installed = json.loads((PACKAGES / "node_modules/parlant-client/package.json").read_text())
    assert installed["version"] == wanted
    # Whichever registry a machine uses serves the packages; what they contain is fixed.
    packages = json.loads((SCRIPTS / "package-lock.json").read_text())["packages"]
    assert all("integrity" in told for path, told in packages.items() if path)
    assert not any("resolved" in told for told in packages.values())


async def test_a_conversation_from_its_beginning_to_its_end(url: str) -> None:
    assert (await script("conversation.mjs", url)).endswith("done\n")


async def test_typed_errors(url: str) -> None:
    assert (await script("errors.mjs", url)).endswith("done\n")


@pytest.mark.parametrize(
    ("event", "times"), [(TRIGGER, 1), (GUIDED, 2)], ids=["as it likes", "as it is told"]
)
async def test_a_trigger_whose_answers_are_lost_speaks_once(
    chat: Chat, url: str, unique: str, event: dict[str, Any], times: int
) -> None:
    with losing_answers(url) as network:
        network.lose, network.instead = times, 502
        answer = json.loads(
            await script("post.mjs", network.url, SESSION=chat.session, EVENT=json.dumps(event))
        )
    assert network.lost == [201] * times
    assert await chat.hear_out(answer["traceId"]) == TURN
    assert told(await chat.listed()) == TURN

    # Who means another one says so by a key.
    under_a_key = {"additional_headers": {"Idempotency-Key": unique}}
    again = await chat.post(**event, request_options=under_a_key)
    assert await chat.hear_out(again.trace_id) == TURN
    assert again.trace_id != answer["traceId"]
    repeated = await chat.post(**event, request_options=under_a_key)
    assert repeated.trace_id == again.trace_id
    assert told(await chat.listed()) == [*TURN, *TURN]


async def test_a_message_whose_answer_is_lost_is_said_once_while_it_is_answered(
    hire: Hire, parlant: AsyncParlantClient, practice: Practice, url: str
) -> None:
    here = Chat(parlant, f"{hire().agent}.s")
    practice.will({"kind": "delay", "texts": ["Well, "] * 8, "token_ms": 500})
    event = json.dumps({**CUSTOMER, "message": "Hello"})
    with losing_answers(url) as network:
        network.lose, network.instead = 1, 502
        answer = json.loads(
            await script("post.mjs", network.url, SESSION=here.session, EVENT=event)
        )
    assert network.lost == [201]
    assert await here.hear_out(answer["traceId"]) == TURN
    assert [e.source for e in await here.listed(kinds="message")] == ["customer", "ai_agent"]
