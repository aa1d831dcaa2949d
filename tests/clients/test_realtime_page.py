"""What a page sends and hears over a WebSocket: the commands as they are published, and the page
that the README shows, in Node's own WebSocket, which is a browser's."""

import base64
import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.clients.guiding import AGENT
from tests.clients.noding import run_module

ROOT = Path(__file__).parent.parent.parent
SNIPPETS = Path(__file__).parent / "snippets"
COMMANDS = [json.loads(text) for text in (SNIPPETS / "commands.jsonl").read_text().splitlines()]


@pytest.fixture
def agent(url: str, unique: str) -> str:
    httpx.post(f"{url}/v2/agents", json={**AGENT, "key": unique}).raise_for_status()
    return unique


@pytest.fixture
def made(url: str, agent: str) -> dict[str, Any]:
    asked = {"channelType": "websocket", "modality": "text"}
    answer = httpx.post(f"{url}/public/agents/{agent}/connections", json=asked, timeout=60)
    answer.raise_for_status()
    return dict(answer.json())


def socket_url(made: dict[str, Any]) -> str:
    return str(json.loads(base64.b64decode(made["token"]))["url"])


def transcript(url: str, made: dict[str, Any]) -> list[tuple[str, str]]:
    """By the connection's id, as it is published."""
    found = httpx.get(f"{url}/public/sessions/{made['connection']['id']}", timeout=60)
    items = found.raise_for_status().json()["conversation"]["items"]
    return [(item["role"], item["text"]) for item in items]


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


async def test_the_page_of_the_readme_has_the_whole_conversation_though_it_is_cut_off(
    url: str, agent: str, made: dict[str, Any]
) -> None:
    [page] = re.findall(r"```js\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    source = f"""
        const base = {json.dumps(url)}, path = "/public/agents/{agent}/connections"
        const document = {{ body: {{ innerText: "" }} }}
        const headers = {{ "content-type": "application/json" }}
        let made = {json.dumps(made)}, connections = 1
        const sessionId = made.connection.sessionId
        async function again(after) {{
          const body = JSON.stringify({{ sessionId, after }})
          made = await (await fetch(base + path, {{ method: "POST", headers, body }})).json()
          connections += 1
          return made.token
        }}
        const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))
        const sent = async (text) => {{
          for (;;) try {{ return say(text) }} catch {{ await sleep(50) }}
        }}
        const until = async (what) => {{ while (!what()) await sleep(20) }}
        {page}
        talk(made.token, again)
        await sent("Hello!")
        await until(() => Object.keys(over).length === 2)
        await sent("And now?")
        await until(() => Object.keys(texts).length === 4)
        await fetch(`${{base}}/public/connections/${{made.connection.id}}`, {{ method: "DELETE" }})
        await until(() => connections === 2 && Object.keys(over).length === 4)
        await sent("And then?")
        await until(() => Object.keys(over).length === 6)
        console.log(JSON.stringify(document.body.innerText))
        process.exit(0)
    """
    shown = json.loads(await run_module(source))
    assert shown == "\n\n".join(text for _, text in transcript(url, made))
