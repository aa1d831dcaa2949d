"""The published SDK of background triggers, and the curl command that its users are shown first."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.clients.guiding import AGENT
from tests.clients.noding import run, run_module

HERE = Path(__file__).parent


@pytest.fixture
def agent(url: str, unique: str) -> str:
    httpx.post(f"{url}/v2/agents", json={**AGENT, "key": unique}, timeout=60).raise_for_status()
    return unique


@pytest.fixture
def trigger(url: str, agent: str) -> dict[str, Any]:
    made = httpx.post(
        f"{url}/v1/integration/trigger/create", json={"name": "T", "botId": agent}, timeout=60
    )
    path = f"{url}/v1/integration/trigger/{made.raise_for_status().json()['id']}"
    return dict(httpx.get(f"{path}/fetch", timeout=60).raise_for_status().json())


async def test_a_trigger_from_its_making_to_its_end(url: str, agent: str) -> None:
    source = (HERE / "node/background.mjs").read_text()
    assert (await run_module(source, CUELINE_URL=url, AGENT=agent)).endswith("done\n")


@pytest.mark.parametrize("content_type", ["-H 'Content-Type: application/json'", ""])
async def test_an_event_from_curl(url: str, trigger: dict[str, Any], content_type: str) -> None:
    command = (
        f"curl -s '{url}/v1/integration/trigger/{trigger['id']}/event'"
        f" -H 'Authorization: Bearer {trigger['secret']}' {content_type}"
        """ --data '{"text":"Hello there"}'"""
    )
    answer = json.loads(await run("sh", source=command))
    assert answer["ok"] is True
    messages = f"{url}/v1/conversation/{answer['conversationId']}/message/list"
    items = httpx.get(messages, timeout=60).raise_for_status().json()["items"]
    assert "Hello there" in [item["text"] for item in items if item["type"] == "user"]
