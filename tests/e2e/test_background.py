"""Background triggers on the local stack: events that come from AWS itself, and by their time."""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from local.deployment import STACK, client
from tests.e2e.conftest import Running
from tests.e2e.test_local_stack import AGENT, unique

__all__ = ["unique"]

Make = Callable[..., str]


@pytest.fixture
def make(api: httpx.Client, unique: str) -> Make:
    """Makes a trigger of the test's own agent; gives its path."""
    api.post("/v2/agents", json={**AGENT, "key": unique}).raise_for_status()

    def trigger(**fields: Any) -> str:
        asked = {"name": "T", "botId": unique, **fields}
        made = api.post("/v1/integration/trigger/create", json=asked).raise_for_status().json()
        return f"/v1/integration/trigger/{made['id']}"

    return trigger


@pytest.fixture(scope="module")
def outputs(stack: Running) -> dict[str, str]:
    found = client("cloudformation", stack.endpoint).describe_stacks(StackName=STACK)["Stacks"]
    return {one["OutputKey"]: one["OutputValue"] for one in found[0]["Outputs"]}


def runs(api: httpx.Client, path: str, count: int, seconds: float = 90) -> list[dict[str, Any]]:
    """So many runs, once all of them are over."""
    deadline = time.monotonic() + seconds
    while True:
        found = api.get(f"{path}/execution/list").raise_for_status().json()["items"]
        over = [one for one in found if one["status"] not in ("queued", "running")]
        if len(over) >= count:
            return list(over)
        assert time.monotonic() < deadline, found
        time.sleep(0.5)


def test_a_message_of_the_intake_queue_is_worked_off_once(
    stack: Running, api: httpx.Client, make: Make, outputs: dict[str, str]
) -> None:
    path = make()
    body = {"trigger": path.rpartition("/")[2], "text": "From the queue.", "id": "once"}
    queue = client("sqs", stack.endpoint)
    for _ in range(2):
        queue.send_message(QueueUrl=outputs["IntakeQueueUrl"], MessageBody=json.dumps(body))
    [run] = runs(api, path, 1)
    assert run["status"] == "succeeded"
    assert "From the queue." in run["outcome"]
    time.sleep(3)
    assert len(runs(api, path, 1)) == 1


def test_an_event_of_the_bus_triggers_an_agent(
    stack: Running, api: httpx.Client, make: Make, outputs: dict[str, str]
) -> None:
    path = make()
    detail = {"trigger": path.rpartition("/")[2], "text": "From the bus.", "session": "s"}
    put = client("events", stack.endpoint).put_events(
        Entries=[
            {
                "EventBusName": outputs["BusName"],
                "Source": "shop",
                "DetailType": "Trigger Event",
                "Detail": json.dumps(detail),
            }
        ]
    )
    assert put["FailedEntryCount"] == 0
    [run] = runs(api, path, 1)
    assert "From the bus." in run["outcome"]


def test_a_schedule_fires_at_its_time_and_that_is_shown(api: httpx.Client, make: Make) -> None:
    due = datetime.now(UTC) + timedelta(seconds=8)
    path = make(schedule=f"{due:%Y-%m-%dT%H:%M:%SZ}", text="Say what the time is.")
    planned = api.get(f"{path}/fetch").raise_for_status().json()
    assert planned["nextTriggerAt"] == int(due.timestamp()) * 1000
    [run] = runs(api, path, 1)
    assert "Say what the time is." in run["outcome"]
    fired = api.get(f"{path}/fetch").raise_for_status().json()
    assert fired["lastTriggerAt"]
    assert not fired["nextTriggerAt"]


def test_a_run_that_fails_is_seen_and_can_be_worked_off_again(
    stack: Running, api: httpx.Client, make: Make, unique: str
) -> None:
    api.patch(f"/v2/agents/{unique}", json={"model": {"name": unique}}).raise_for_status()
    refuses = {"model": unique, "faults": [{"kind": "status", "status": 400}]}
    httpx.post(f"{stack.practice_url}/faults", json=refuses).raise_for_status()
    path = make()
    secret = api.get(f"{path}/fetch").json()["secret"]
    sent = api.post(
        f"{path}/event", json={"text": "Try."}, headers={"authorization": f"Bearer {secret}"}
    )
    run = sent.raise_for_status().json()["id"]
    [failed] = runs(api, path, 1)
    assert (failed["id"], failed["status"]) == (run, "failed")
    assert failed["error"]["code"]
    api.post(f"{path}/execution/{run}/redrive", json={}).raise_for_status()
    deadline = time.monotonic() + 60
    while (found := api.get(f"{path}/execution/{run}/fetch").json())["status"] != "succeeded":
        assert time.monotonic() < deadline, found
        time.sleep(0.5)
    assert "Try." in found["outcome"]
