"""What no worker could work off is seen by who reads the session, on the deployed stack."""

import json
import time

import httpx

from cueline.adapters.clock import SystemClock
from cueline.adapters.dynamodb.log import DynamoLog
from cueline.engine.append import Writer
from cueline.log.events import Input
from local import deployment, template
from tests.e2e.conftest import Running
from tests.e2e.test_local_stack import events, types

__all__ = ["events"]


def test_inputs_that_waited_in_vain_fail_where_all_can_see_it(
    stack: Running, api: httpx.Client, events: str
) -> None:
    """The wake-up goes to the queue for failed ones at once: there, after 52 minutes on AWS."""
    endpoint = (
        f"http://127.0.0.1:{json.loads((stack.state / 'ports.json').read_text())['emulator']}"
    )
    deployed = deployment.describe(endpoint, template.load())
    assert deployed
    log = DynamoLog(deployment.client("dynamodb", endpoint), deployed.table, SystemClock())
    session = ".".join(events.split("/")[3:6:2])
    head = log.tail(session).head
    writer = Writer(log, SystemClock(), session, "")
    assert writer.append_once(head, Input(texts=("Hello?",)))  # and no wake-up that works

    queues = deployment.client("sqs", endpoint)
    [failed] = queues.list_queues(QueueNamePrefix="cueline-WakeUpsFailed")["QueueUrls"]
    body = {"session": session, "waited": [head.incarnation, head.at + 1]}
    queues.send_message(QueueUrl=failed, MessageBody=json.dumps(body))

    deadline = time.monotonic() + 60
    while (found := types(api, events)) == ["input_message"]:
        assert time.monotonic() < deadline, "nobody told the session"
        time.sleep(0.2)
    assert found == ["input_message", "agent_output"]
    told = api.get(events, params={"limit": 100}).json()["events"][-1]
    assert told["error"]["code"] == "not_worked_off"
