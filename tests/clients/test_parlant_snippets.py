"""What users are shown first, word for word; only the session and the port are this stack's."""

import ast
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.clients.chatting import TURN, Chat, chat, parlant
from tests.clients.noding import run, run_module

__all__ = ["chat", "parlant"]

SNIPPETS = Path(__file__).parent / "snippets"


@pytest.fixture
def read(url: str) -> Any:
    def text(name: str) -> str:
        shown = (SNIPPETS / f"{name}.txt").read_text()
        return shown.replace("localhost:8800", f"localhost:{urlsplit(url).port}")

    return text


async def python(source: str, known: dict[str, Any]) -> None:
    """Runs it as at the top of an async main."""
    code = compile(source, "snippet", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    if (running := eval(code, known)) is not None:
        await running


async def spoken(chat: Chat) -> str:
    """The one message that came of it."""
    await chat.hear(lambda: chat.heard)
    assert await chat.hear_out(chat.heard[0].trace_id) == TURN
    [message] = await chat.listed(kinds="message")
    assert message.source == "ai_agent"
    return str(message.data["message"])


async def test_a_trigger_from_python(chat: Chat, read: Any) -> None:
    await python(read("trigger_python"), {"SESSION_ID": chat.session})
    assert await spoken(chat)


async def test_a_trigger_from_typescript(chat: Chat, read: Any) -> None:
    session = f"const SESSION_ID = {json.dumps(chat.session)};\n"
    await run_module(session + read("trigger_typescript"))
    assert await spoken(chat)


async def test_a_trigger_from_curl(chat: Chat, read: Any) -> None:
    answer = json.loads(await run("sh", source=read("trigger_curl"), SESSION_ID=chat.session))
    assert (answer["source"], answer["kind"]) == ("ai_agent", "status")
    assert await spoken(chat)


async def test_a_guided_trigger_from_python(chat: Chat, read: Any) -> None:
    """The snippet takes its client from the one before."""
    known: dict[str, Any] = {"SESSION_ID": chat.session}
    made, _, _ = read("trigger_python").partition("# Trigger")
    await python(made, known)
    await python(read("guided_python"), known)
    assert await spoken(chat)


async def test_a_guided_trigger_from_curl(chat: Chat, read: Any) -> None:
    answer = json.loads(await run("sh", source=read("guided_curl"), SESSION_ID=chat.session))
    said = await spoken(chat)
    # The answer has it, but where a machine is too busy to speak while its caller waits.
    assert answer["source"] == "ai_agent"
    assert answer["data"].get("message", said) == said
