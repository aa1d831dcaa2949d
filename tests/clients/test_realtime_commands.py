"""The commands as they are published, from a program with Node's WebSocket."""

import base64
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.clients.guiding import agent, made, transcript
from tests.clients.noding import run_module

__all__ = ["agent", "made"]

SNIPPETS = Path(__file__).parent / "snippets"
COMMANDS = [json.loads(text) for text in (SNIPPETS / "commands.jsonl").read_text().splitlines()]


def socket_url(made: dict[str, Any]) -> str:
    return str(json.loads(base64.b64decode(made["token"]))["url"])


async def test_the_published_snippet_is_answered(url: str, made: dict[str, Any]) -> None:
    snippet = (SNIPPETS / "command_websocket.txt").read_text()
    source = f"""
        const ws = new WebSocket({json.dumps(socket_url(made))})
        const over = new Promise((resolve) => ws.addEventListener("message", (e) => {{
          const {{event, data: {{message: m = {{}}}}}} = JSON.parse(e.data)
          if (m.role === "assistant" && m.action === "completed") resolve(m.content)
        }}))
        await new Promise((resolve) => ws.addEventListener("open", resolve))
        {snippet}
        console.log(await over)
        ws.close()
    """
    said = (await run_module(source)).strip()
    assert "You said “Hello”" in said
    assert transcript(url, made) == [("user", "Hello"), ("agent", said)]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command["type"])
async def test_each_published_command_is_taken(
    url: str, made: dict[str, Any], command: dict[str, Any]
) -> None:
    source = f"""
        const ws = new WebSocket({json.dumps(socket_url(made))})
        const answered = new Promise((resolve) => ws.addEventListener("message", (e) => {{
          if (JSON.parse(e.data).event.startsWith("command_")) resolve(e.data)
        }}))
        await new Promise((resolve) => ws.addEventListener("open", resolve))
        ws.send(JSON.stringify({json.dumps(command)}))
        console.log(await answered)
        ws.close()
    """
    answer = json.loads(await run_module(source))
    assert answer["event"] == "command_ack", answer
    data = command["data"]
    wanted = "accepted" if data.get("trigger_response") else "applied"
    assert (answer["data"]["type"], answer["data"]["status"]) == (command["type"], wanted)
    if command["type"] == "set_settings":
        shown = httpx.get(f"{url}/public/sessions/{made['connection']['id']}", timeout=60).json()
        assert shown["settings"] == data
