"""An agent that the practice model serves, and connections to it."""

from typing import Any

import httpx
import pytest

AGENT = {
    "name": "Guide",
    "tool_configurations": {},
    "model": {"name": "practice"},
    "first_step": {
        "name": "main",
        "instructions": [{"type": "inline", "name": "main", "template": "You are a kind guide."}],
        "output_parser": {"type": "default"},
    },
}


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


def transcript(url: str, made: dict[str, Any]) -> list[tuple[str, str]]:
    """By the connection's id, as it is published."""
    found = httpx.get(f"{url}/public/sessions/{made['connection']['id']}", timeout=60)
    items = found.raise_for_status().json()["conversation"]["items"]
    return [(item["role"], item["text"]) for item in items]
