"""events/ has one real sample for each route and trigger, and each handler takes its own."""

import base64
import importlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import boto3
import pytest
from botocore.model import OperationModel
from moto import mock_aws
from moto.apigatewaymanagementapi.models import apigatewaymanagementapi_backends
from starlette.testclient import TestClient

from cueline import bootstrap
from cueline.adapters import aws
from cueline.adapters.clock import SystemClock
from cueline.adapters.dynamodb.keys import DynamoKeys
from cueline.doors.access import hashed
from cueline.engine.append import Writer
from cueline.engine.ports import Key, Secret
from cueline.log.events import Input, InputsFailed, TurnBegan
from local import template
from local.practice.server import running
from local.template import ROOT

SOURCE = template.load()
FUNCTIONS = template.functions(SOURCE)
EVENTS = ROOT / "events"
REST = sorted((EVENTS / "agents").glob("*.json"))
TRIGGERED = sorted((EVENTS / "triggered_responses").glob("*.json"))
ALL = sorted(EVENTS.rglob("*.json"))
CONNECTED = sorted((EVENTS / "connections").glob("*.json"))
BACKGROUND = sorted((EVENTS / "triggers").glob("*.json"))
TAKEN_IN = sorted((EVENTS / "intake").glob("*.json"))
TOKEN = EVENTS / "access/post_oauth2_token.json"
PREFLIGHT = EVENTS / "access/options_v2_agents.json"
POST_EVENT = EVENTS / "agent_events/post_v2_agents_agent_key_sessions_session_key_events.json"
LIST_EVENTS = EVENTS / "agent_events/get_sessions_session_id_events.json"


def load(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def file_name(method: str, path: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", f"{method} {path}".lower()).strip("_") + ".json"


def test_each_route_of_the_expanded_template_has_a_sample(expanded: dict[str, Any]) -> None:
    wanted = set()
    for path, methods in expanded["Resources"]["Api"]["Properties"]["Body"]["paths"].items():
        for method, operation in methods.items():
            if method == "options" and path != "/v2/agents":
                continue  # one preflight is like the other
            uri = operation["x-amazon-apigateway-integration"]["uri"]["Fn::Sub"]
            function = re.search(r"\$\{(\w+)\.Arn\}", uri)
            assert function
            folder = Path(FUNCTIONS[function[1]]["Properties"]["CodeUri"]).name
            wanted.add(f"{folder}/{file_name(method, path)}")
    assert len(wanted) == 72
    triggers = {
        "worker/wake_up.json",
        "failures/wake_up_failed.json",
        "collector/meta_removed.json",
        "collector/ended.json",
        *(f"intake/{event}.json" for event in ("sent", "put_on_the_bus", "scheduled")),
        "broadcast/heard.json",
        *(f"commands/{event}.json" for event in ("connect", "default", "disconnect")),
    }
    assert {path.relative_to(EVENTS).as_posix() for path in ALL} == wanted | triggers


@pytest.mark.parametrize(
    "path",
    [*REST, *TRIGGERED, *CONNECTED, *BACKGROUND, POST_EVENT, LIST_EVENTS, PREFLIGHT],
    ids=lambda path: path.stem,
)
def test_a_sample_is_the_request_of_its_route(path: Path) -> None:
    event = load(path)
    assert path.name == file_name(event["httpMethod"], event["resource"])
    template = event["resource"].replace("+}", "}")
    assert event["path"] == template.format(**event["pathParameters"] or {})
    assert event["requestContext"]["resourcePath"] == event["resource"]
    if event["body"]:
        assert isinstance(json.loads(event["body"]), dict)


class Context:
    """Lambda's, as far as Powertools reads it."""

    function_name, memory_limit_in_mb, aws_request_id = "sample", 1024, "sample"
    invoked_function_arn = "arn:aws:lambda:us-east-1:123456789012:function:sample"

    def get_remaining_time_in_millis(self) -> int:
        return 30_000


def allowed(function: str) -> set[str]:
    """The actions that the template grants a function."""
    policies = FUNCTIONS[function]["Properties"]["Policies"]
    return {
        action
        for policy in policies
        for statement in policy.get("Statement", [])
        for action in statement["Action"]
    }


@dataclass
class Deployed:
    """The handlers on a table and a queue of their own."""

    dynamodb: Any
    table: str
    done: set[str] = field(default_factory=set)
    """The actions that the handlers needed."""

    def note(self, params: dict[str, Any], model: OperationModel, **_: Any) -> None:
        service, name = model.service_model.service_name, model.name
        if service == "apigatewaymanagementapi":
            service, name = "execute-api", "ManageConnections"
        parts = params.get("TransactItems")  # allowed if all its parts are
        names = [f"{kind}Item" for part in parts for kind in part] if parts else [name]
        self.done |= {f"{service}:{one}" for one in names}

    def invoke(self, function: str, event: dict[str, Any]) -> dict[str, Any]:
        handler = importlib.import_module(f"functions.{function}.app").lambda_handler
        answer: dict[str, Any] = handler(event, Context())
        return answer

    def rest(self, name: str) -> dict[str, Any]:
        return self.invoke("agents", load(EVENTS / "agents" / name))

    def triggered(self, name: str) -> dict[str, Any]:
        return self.invoke("triggered_responses", load(EVENTS / "triggered_responses" / name))

    def connections(self, name: str, **path: str) -> dict[str, Any]:
        event = load(EVENTS / "connections" / name)
        event["pathParameters"] = {**(event["pathParameters"] or {}), **path}
        event["path"] = event["resource"].format(**event["pathParameters"])
        return self.invoke("connections", event)

    def commands(self, name: str, **changed: Any) -> int:
        """The status that the gateway is told."""
        event = load(EVENTS / "commands" / name)
        status: int = self.invoke("commands", event | changed)["statusCode"]
        return status

    def streamed(self, session: str, sample_of: str, flag: str) -> dict[str, Any]:
        """What the stream has of the session for who tells what has this flag."""
        event = load(EVENTS / sample_of)
        [sample] = event["Records"]
        stored = [item for item in self.items(session) if flag in item]
        event["Records"] = [
            {**sample, "dynamodb": {"NewImage": item, "SequenceNumber": str(n)}}
            for n, item in enumerate(stored)
        ]
        return event

    def items(self, session: str) -> list[dict[str, Any]]:
        """The session's META and segments."""
        answer = self.dynamodb.query(
            TableName=self.table,
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues={":pk": {"S": session}},
        )
        found: list[dict[str, Any]] = answer["Items"]
        return found


@dataclass
class Trigger:
    id: str
    secret: str

    def sample(self, path: Path) -> dict[str, Any]:
        """As if it were for this trigger."""
        text = path.read_text().replace("trg-4k2j9x7m", self.id)
        content: dict[str, Any] = json.loads(text.replace("the-secret-of-the-trigger", self.secret))
        return content


def forget() -> None:
    """What an earlier test made; each cold start begins without it."""
    for module in (bootstrap, aws, importlib.import_module("functions.agents.app"),
                   importlib.import_module("functions.access.app"),
                   importlib.import_module("functions.agent_events.app"),
                   importlib.import_module("functions.triggered_responses.app"),
                   importlib.import_module("functions.worker.app"),
                   importlib.import_module("functions.failures.app"),
                   importlib.import_module("functions.collector.app"),
                   importlib.import_module("functions.connections.app"),
                   importlib.import_module("functions.commands.app"),
                   importlib.import_module("functions.broadcast.app"),
                   importlib.import_module("functions.triggers.app"),
                   importlib.import_module("functions.intake.app")):  # fmt: skip
        for value in vars(module).values():
            if isinstance(getattr(value, "cache_clear", None), Callable):  # type: ignore[arg-type]
                value.cache_clear()


@pytest.fixture
def deployed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Deployed]:
    table = dict(SOURCE["Resources"]["Table"]["Properties"])
    del table["TimeToLiveSpecification"], table["PointInTimeRecoverySpecification"]
    table["StreamSpecification"] = {"StreamEnabled": True, **table["StreamSpecification"]}
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.delenv("AUTH", raising=False)
    with mock_aws():
        forget()
        dynamodb = boto3.client("dynamodb")
        dynamodb.create_table(TableName="cueline", **table)
        queue = boto3.client("sqs").create_queue(QueueName="wake-ups")["QueueUrl"]
        monkeypatch.setenv("TABLE_NAME", "cueline")
        monkeypatch.setenv("WAKE_UPS_URL", queue)
        sockets = "a1b2c3d4e5.execute-api.us-east-1.amazonaws.com/v1"
        monkeypatch.setenv("CONNECTIONS_URL", f"wss://{sockets}")
        monkeypatch.setenv("SOCKETS_URL", f"https://{sockets}")
        key = Key("sample", "sample", (Secret(hashed("secret")),), 1)
        DynamoKeys(dynamodb, "cueline", SystemClock()).put(key)
        signing = boto3.client("secretsmanager").create_secret(Name="t", SecretString="s" * 64)
        monkeypatch.setenv("TOKEN_SECRET_ARN", signing["ARN"])
        made = Deployed(dynamodb, "cueline")
        aws._session().register("provide-client-params.*", made.note)  # type: ignore[arg-type]
        yield made
        forget()


@dataclass
class Offered:
    """A connection, and the query that opens it."""

    id: str
    session: str
    query: dict[str, str]


@pytest.fixture
def offered(deployed: Deployed, monkeypatch: pytest.MonkeyPatch) -> Offered:
    monkeypatch.setenv("ALLOWED_ORIGINS", "https://example.com")
    assert deployed.rest(CREATE_AGENT)["statusCode"] == 201
    deployed.done.clear()
    answer = deployed.connections(CREATE_CONNECTION)
    body = json.loads(answer["body"])
    assert answer["statusCode"] == 201, body
    assert deployed.done <= allowed("ConnectionsFunction")
    deployed.done.clear()
    dialled = json.loads(base64.b64decode(body["token"]))["url"]
    connection = body["connection"]
    return Offered(
        connection["id"], connection["sessionId"], dict(parse_qsl(urlsplit(dialled).query))
    )


@pytest.fixture
def schedules(deployed: Deployed, monkeypatch: pytest.MonkeyPatch) -> None:
    """The scheduler and the bus are there."""
    boto3.client("scheduler").create_schedule_group(Name="schedules")
    boto3.client("events").create_event_bus(Name="cueline")
    monkeypatch.setenv("BUS_NAME", "cueline")
    monkeypatch.setenv("SCHEDULE_GROUP", "schedules")
    monkeypatch.setenv("SCHEDULE_ROLE_ARN", "arn:aws:iam::123456789012:role/schedules")
    for name in ("WAKE_UPS_ARN", "INTAKE_ARN", "SCHEDULES_FAILED_ARN"):
        monkeypatch.setenv(name, f"arn:aws:sqs:us-east-1:123456789012:{name.lower()}")


@pytest.fixture
def trigger(deployed: Deployed, schedules: None) -> Trigger:
    """Made by its sample, which has a schedule."""
    assert deployed.rest(CREATE_AGENT)["statusCode"] == 201
    deployed.done.clear()
    answer = deployed.invoke("triggers", load(CREATE_TRIGGER))
    assert answer["statusCode"] == 200, answer["body"]
    made = json.loads(answer["body"])["id"]
    assert "scheduler:CreateSchedule" in deployed.done
    event = load(CREATE_TRIGGER)
    event |= {"httpMethod": "GET", "path": f"/api/v1/integration/trigger/{made}/fetch"}
    answer = deployed.invoke("triggers", event)
    assert "secretsmanager:GetSecretValue" in deployed.done
    assert deployed.done <= allowed("TriggersFunction")
    deployed.done.clear()
    return Trigger(made, json.loads(answer["body"])["secret"])


CREATE_AGENT = file_name("post", "/v2/agents")
CREATE_SESSION = file_name("post", "/v2/agents/{agent_key}/sessions")
CREATE_SCHEDULE = file_name("post", "/v2/agents/{agent_key}/schedules")
CREATE_CONNECTION = file_name("post", "/public/agents/{agent_id}/connections")
CREATE_TRIGGER = EVENTS / "triggers" / file_name("post", "/api/v1/{proxy+}")
DELETE_CONNECTION = file_name("delete", "/public/connections/{connection_id}")
GET_CONNECTED = file_name("get", "/public/sessions/{session_id}")

# What is documented but not built is refused by name.
NOT_BUILT = re.compile(r"identity|artifacts")
# The samples talk of an agent and a session, which must be there first, or must not be.
ALONE = {CREATE_AGENT: [], CREATE_SESSION: [CREATE_AGENT], CREATE_SCHEDULE: [CREATE_AGENT]}
ALONE[file_name("delete", "/v2/agents/{agent_key}")] = [CREATE_AGENT]


@pytest.mark.parametrize("path", REST, ids=lambda path: path.stem)
@pytest.mark.usefixtures("schedules")
def test_the_door_takes_its_samples(deployed: Deployed, path: Path) -> None:
    before = [CREATE_AGENT, CREATE_SCHEDULE if "schedules" in path.stem else CREATE_SESSION]
    for name in ALONE.get(path.name, before):
        assert deployed.rest(name)["statusCode"] == 201
    answer = deployed.rest(path.name)
    body = json.loads(answer["body"] or "null")
    if NOT_BUILT.search(path.stem):
        assert (answer["statusCode"], body["code"]) == (501, "not_implemented")
    elif "event_id" in path.stem:
        assert (answer["statusCode"], body["code"]) == (404, "event_not_found")
    else:
        expected = {"post": 201, "delete": 204}.get(path.stem.split("_")[0], 200)
        assert answer["statusCode"] == expected, body
    assert deployed.done
    assert deployed.done <= allowed("AgentsFunction")


# What the second door's samples talk of; its sessions are the first door's.
FIRST = {
    "customer": [file_name("post", "/customers")],
    "guideline": [CREATE_AGENT, file_name("post", "/guidelines")],
    "session": [CREATE_AGENT, CREATE_SESSION],
    "agent": [CREATE_AGENT],
}


@pytest.mark.parametrize("path", TRIGGERED, ids=lambda path: path.stem)
def test_the_second_door_takes_its_samples(deployed: Deployed, path: Path) -> None:
    method, kind = path.stem.split("_")[:2]
    first = FIRST[kind.removesuffix("s")]
    if path.stem in {"post_agents", "post_customers", "post_guidelines"}:
        first = first[:-1]  # it is what makes it
    for name in first:
        made = deployed.rest(name) if "v2" in name else deployed.triggered(name)
        assert made["statusCode"] == 201
    deployed.done.clear()
    answer = deployed.triggered(path.name)
    body = json.loads(answer["body"] or "null")
    expected = {"post": 201, "delete": 204}.get(method, 200)
    assert answer["statusCode"] == (404 if "event_id" in path.stem else expected), body
    assert deployed.done
    assert deployed.done <= allowed("TriggeredResponsesFunction")


def test_the_streaming_function_takes_the_second_door_s_sample(deployed: Deployed) -> None:
    deployed.rest(CREATE_AGENT)
    deployed.rest(CREATE_SESSION)
    deployed.done.clear()
    event = load(LIST_EVENTS)
    headers = event["headers"] | {"x-amzn-request-context": json.dumps(event["requestContext"])}
    app = importlib.import_module("functions.agent_events.app").app
    with TestClient(app) as client:
        query = event["queryStringParameters"]
        answer = client.get(event["path"], params=query, headers=headers)
    assert (answer.status_code, answer.json()) == (200, [])
    assert deployed.done
    assert deployed.done <= allowed("AgentEventsFunction")


def test_the_streaming_door_takes_its_sample(
    deployed: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the web adapter hands it on, and answered by the practice model."""
    event = load(POST_EVENT)
    headers = event["headers"] | {"x-amzn-request-context": json.dumps(event["requestContext"])}
    app = importlib.import_module("functions.agent_events.app").app
    with running(token_ms=0) as url:
        monkeypatch.setenv("OPENAI_BASE_URL", f"{url}/v1")
        assert deployed.rest(CREATE_AGENT)["statusCode"] == 201
        assert deployed.rest(CREATE_SESSION)["statusCode"] == 201
        deployed.done.clear()
        with TestClient(app) as client:
            answer = client.post(event["path"], content=event["body"], headers=headers)
    assert answer.status_code == 201, answer.text
    assert answer.headers["x-request-id"] == event["requestContext"]["requestId"]
    types = [one["type"] for one in answer.json()["events"]]
    assert (types[0], types[-1]) == ("input_message", "agent_output")
    assert deployed.done
    assert deployed.done <= allowed("AgentEventsFunction")


@pytest.mark.parametrize("path", [TOKEN, TOKEN.with_stem("post_oauth_token")], ids=lambda p: p.stem)
def test_a_token_for_the_sample_s_key_opens_both_doors(
    deployed: Deployed, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = deployed.invoke("access", load(path))
    assert answer["statusCode"] == 200
    assert deployed.done == {"dynamodb:GetItem", "secretsmanager:GetSecretValue"}
    assert deployed.done <= allowed("AccessFunction")
    bearer = {"authorization": f"Bearer {json.loads(answer['body'])['access_token']}"}

    for name in (CREATE_AGENT, CREATE_SESSION):
        forget_keys()
        deployed.done.clear()
        event = load(EVENTS / "agents" / name)
        event["headers"] = {"content-type": "application/json", **bearer}
        assert deployed.invoke("agents", event)["statusCode"] == 201
        assert "secretsmanager:GetSecretValue" in deployed.done
        assert deployed.done <= allowed("AgentsFunction")

    event = load(POST_EVENT)
    app = importlib.import_module("functions.agent_events.app").app
    with running(token_ms=0) as url, TestClient(app) as client:
        monkeypatch.setenv("OPENAI_BASE_URL", f"{url}/v1")
        forget_keys()
        deployed.done.clear()
        bearer["content-type"] = "application/json"
        answered = client.post(event["path"], content=event["body"], headers=bearer)
    assert answered.status_code == 201, answered.text
    assert "secretsmanager:GetSecretValue" in deployed.done
    assert deployed.done <= allowed("AgentEventsFunction")


def forget_keys() -> None:
    """A function that starts cold has no key and no secret in mind. The session of the clients
    stays, since it notes what is done."""
    for made in (
        bootstrap.settings, bootstrap.ports, bootstrap.hosting, bootstrap._read_signing_secret
    ):  # fmt: skip
        made.cache_clear()


def test_a_browser_s_question_is_answered_for_a_named_origin(
    deployed: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALLOWED_ORIGINS", "https://example.com")
    answer = deployed.invoke("access", load(PREFLIGHT))
    assert answer["statusCode"] == 204
    assert answer["headers"]["access-control-allow-origin"] == "https://example.com"
    assert not deployed.done


def test_the_third_door_takes_its_samples(deployed: Deployed, offered: Offered) -> None:
    assert deployed.commands("connect.json", queryStringParameters=offered.query) == 200
    deployed.done.clear()
    for name, path, status in (
        (CREATE_CONNECTION, {}, 201),
        (GET_CONNECTED, {"session_id": offered.session}, 200),
        (DELETE_CONNECTION, {"connection_id": offered.id}, 204),
        (DELETE_CONNECTION, {"connection_id": offered.id}, 404),
    ):
        answer = deployed.connections(name, **path)
        assert answer["statusCode"] == status, answer["body"]
    # What it may do besides, it does where a session that is old goes on.
    rare = {"sqs:SendMessage", "secretsmanager:GetSecretValue"}
    assert deployed.done == allowed("ConnectionsFunction") - rare


def test_a_websocket_takes_its_samples(deployed: Deployed, offered: Offered) -> None:
    """Each of what the gateway tells, in the order of a conversation."""
    connect = {"queryStringParameters": offered.query}
    assert deployed.commands("connect.json", **connect) == 200
    again = load(EVENTS / "commands/connect.json")["requestContext"] | {"connectionId": "another="}
    assert deployed.commands("connect.json", **connect, requestContext=again) == 403
    assert deployed.commands("default.json") == 200
    assert deployed.commands("disconnect.json") == 200
    assert deployed.done == allowed("CommandsFunction")


def test_a_client_that_offers_a_protocol_is_told_that_it_is_spoken(
    deployed: Deployed, offered: Offered
) -> None:
    event = load(EVENTS / "commands/connect.json") | {"queryStringParameters": offered.query}
    event["headers"]["Sec-WebSocket-Protocol"] = "other, cueline"
    answer = deployed.invoke("commands", event)
    assert answer == {"statusCode": 200, "headers": {"Sec-WebSocket-Protocol": "cueline"}}


def test_what_is_written_is_told_to_who_has_connected(deployed: Deployed, offered: Offered) -> None:
    deployed.commands("connect.json", queryStringParameters=offered.query)
    deployed.done.clear()
    event = deployed.streamed(offered.session, "broadcast/heard.json", "heard")
    assert deployed.invoke("broadcast", event) == {"batchItemFailures": []}
    sent = apigatewaymanagementapi_backends["123456789012"]["us-east-1"].connections
    [frames] = [connection.data for connection in sent.values()]
    assert f'"connection_id":"{offered.id}"'.encode() in frames
    # It forgets connections that have gone, which this one has not.
    assert deployed.done == allowed("BroadcastFunction") - {"dynamodb:DeleteItem"}


def test_who_tells_what_is_written_takes_its_sample(deployed: Deployed) -> None:
    """A connection that is not there any more."""
    assert deployed.invoke("broadcast", load(EVENTS / "broadcast/heard.json")) == {
        "batchItemFailures": []
    }
    assert deployed.done
    assert deployed.done <= allowed("BroadcastFunction")


def test_the_worker_takes_its_sample(deployed: Deployed) -> None:
    event = load(EVENTS / "worker/wake_up.json")
    assert deployed.invoke("worker", event) == {"batchItemFailures": []}
    assert deployed.done
    assert deployed.done <= allowed("WorkerFunction")


def test_the_failures_function_takes_its_sample(deployed: Deployed) -> None:
    """Twice, as far as it goes: one more wake-up for the session, then the end of its inputs."""
    deployed.rest(CREATE_AGENT)
    deployed.rest(CREATE_SESSION)
    log, session = bootstrap.ports().log, "support.order-42"
    waiting = Writer(log, bootstrap.ports().clock, session, "")
    assert waiting.append_once(log.tail(session).head, Input(texts=("x",)))
    incarnation = log.tail(session).head.incarnation
    assert waiting.append_once(log.tail(session).head, TurnBegan(turn="t1", inputs=(0,)))
    deployed.done.clear()
    event = load(EVENTS / "failures/wake_up_failed.json")
    assert deployed.invoke("failures", event) == {"batchItemFailures": []}
    again = {"session": session, "look": {"t1": 0}, "waited": [incarnation, 2]}
    event["Records"][0]["body"] = json.dumps(again)
    assert deployed.invoke("failures", event) == {"batchItemFailures": []}
    last = log.read(session, incarnation, 2, 9)[-1].event
    assert isinstance(last, InputsFailed)
    assert (last.code, last.inputs) == ("not_worked_off", (0,))
    assert deployed.done == allowed("FailuresFunction")


def test_the_failures_function_lets_go_of_what_is_no_wake_up(deployed: Deployed) -> None:
    event = load(EVENTS / "failures/wake_up_failed.json")
    event["Records"][0]["body"] = "my PIN is 1234"
    assert deployed.invoke("failures", event) == {"batchItemFailures": []}
    assert not deployed.done


def test_the_collector_takes_its_sample(deployed: Deployed) -> None:
    """The session's META is gone and nothing was ever said in it: its log is closed."""
    event = load(EVENTS / "collector/meta_removed.json")
    assert deployed.invoke("collector", event) == {"batchItemFailures": []}
    assert [item["sk"]["S"][:2] for item in deployed.items("support.order-42")] == ["E#"]
    assert deployed.done
    assert deployed.done <= allowed("CollectorFunction")


@pytest.mark.parametrize("path", BACKGROUND, ids=lambda path: path.stem)
def test_the_fourth_door_takes_its_samples(
    deployed: Deployed, trigger: Trigger, path: Path
) -> None:
    answer = deployed.invoke("triggers", trigger.sample(path))
    body = json.loads(answer["body"])
    assert answer["statusCode"] == 200, body
    if path.stem.startswith("head"):
        assert body == {}
    elif path.stem not in {"get_api_v1_proxy", "post_api_v1_proxy"}:
        assert (body["ok"], body["status"]) == (True, "queued")
        assert "sqs:SendMessage" in deployed.done
    assert deployed.done <= allowed("TriggersFunction")


def test_the_fourth_door_may_do_all_that_it_offers(deployed: Deployed, trigger: Trigger) -> None:
    def ask(method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        event = load(CREATE_TRIGGER) | {"httpMethod": method, "path": f"/api/v1/{path}"}
        answer = deployed.invoke("triggers", event | {"body": json.dumps(body) if body else None})
        assert answer["statusCode"] == 200, (path, answer["body"])
        told: dict[str, Any] = json.loads(answer["body"])
        return told

    of_it = f"integration/trigger/{trigger.id}"
    ask("POST", f"{of_it}/update", {"schedule": "hourly"})
    run = ask("POST", f"{of_it}/invoke", {"text": "Now", "contact": {"email": "a@b.c"}})["runId"]
    ask("GET", f"{of_it}/execution/list")
    ask("POST", f"{of_it}/execution/{run}/cancel")
    ask("POST", f"{of_it}/execution/{run}/redrive")
    conversation = ask("GET", f"{of_it}/execution/{run}/fetch")["conversationId"]
    ask("GET", f"conversation/{conversation}/fetch")
    ask("GET", f"conversation/{conversation}/message/list")
    contact = ask("POST", "contact/create", {"name": "Alice", "email": "alice@example.com"})["id"]
    ask("GET", "contact/list")
    ask("POST", f"contact/{contact}/update", {"name": "Alice B."})
    ask("POST", f"contact/{contact}/delete")
    ask("GET", "integration/trigger/list")
    ask("POST", f"{of_it}/delete")
    # The scheduler's role is passed with a schedule; the secret is remembered by now; no session is
    # about to expire.
    silent = {"iam:PassRole", "secretsmanager:GetSecretValue", "dynamodb:UpdateItem"}
    assert deployed.done == allowed("TriggersFunction") - silent


@pytest.mark.parametrize("function", ["TriggersFunction", "IntakeFunction"])
def test_who_takes_events_in_may_keep_the_sessions_that_they_are_for(function: str) -> None:
    assert "dynamodb:UpdateItem" in allowed(function)


def test_an_event_by_options_is_no_question_of_a_browser(
    deployed: Deployed, trigger: Trigger, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = trigger.sample(EVENTS / "triggers" / file_name("head", "/v1/{proxy+}"))
    event |= {"httpMethod": "OPTIONS"}
    assert deployed.invoke("triggers", event)["body"] == "{}"
    monkeypatch.setenv("ALLOWED_ORIGINS", "https://example.com")
    forget()
    event["headers"] |= {"Origin": "https://example.com", "Access-Control-Request-Method": "POST"}
    deployed.done.clear()
    answer = deployed.invoke("triggers", event)
    assert (answer["statusCode"], answer["body"]) == (204, "")
    assert answer["headers"]["access-control-allow-origin"] == "https://example.com"
    assert "POST" in answer["headers"]["access-control-allow-methods"]
    assert not deployed.done


@pytest.mark.parametrize("path", TAKEN_IN, ids=lambda path: path.stem)
def test_the_intake_takes_its_samples(deployed: Deployed, trigger: Trigger, path: Path) -> None:
    assert deployed.invoke("intake", trigger.sample(path)) == {"batchItemFailures": []}
    assert len(bootstrap.background().runs.list(trigger.id, 9, None)) == 1
    assert deployed.done <= allowed("IntakeFunction")


def test_the_intake_ends_the_schedule_of_a_trigger_that_is_gone(
    deployed: Deployed, trigger: Trigger
) -> None:
    bootstrap.background().triggers.remove(trigger.id)
    deployed.done.clear()
    event = trigger.sample(EVENTS / "intake/scheduled.json")
    assert deployed.invoke("intake", event) == {"batchItemFailures": []}
    assert "scheduler:DeleteSchedule" in deployed.done
    assert deployed.done <= allowed("IntakeFunction")


def test_a_schedule_whose_time_is_not_said_fires_when_it_was_sent(
    deployed: Deployed, trigger: Trigger
) -> None:
    """The emulator's scheduler does not say it."""
    event = trigger.sample(EVENTS / "intake/scheduled.json")
    [record] = event["Records"]
    unsaid = "<aws.scheduler.scheduled-time>"
    record["body"] = json.dumps(json.loads(record["body"]) | {"at": unsaid})
    assert deployed.invoke("intake", event) == {"batchItemFailures": []}
    fired = bootstrap.background().triggers.get(trigger.id)
    assert fired
    assert fired.last_at == int(record["attributes"]["SentTimestamp"])


def test_what_a_run_came_to_is_announced(deployed: Deployed, trigger: Trigger) -> None:
    deployed.invoke("intake", trigger.sample(EVENTS / "intake/sent.json"))
    [run] = bootstrap.background().runs.list(trigger.id, 9, None)
    log = bootstrap.ports().log
    failed = InputsFailed(inputs=(run.offset,), code="not_worked_off", message="It was not.")
    writer = Writer(log, bootstrap.ports().clock, run.session, "")
    assert writer.append_once(log.tail(run.session).head, failed)
    deployed.done.clear()
    event = deployed.streamed(run.session, "collector/ended.json", "ended")
    assert len(event["Records"]) == 1
    assert deployed.invoke("collector", event) == {"batchItemFailures": []}
    counted = bootstrap.background().triggers.get(trigger.id)
    assert counted
    assert counted.failures == 1
    assert "events:PutEvents" in deployed.done
    assert deployed.done <= allowed("CollectorFunction")


def test_who_announces_takes_the_sample(deployed: Deployed) -> None:
    """Of a session that is not there any more, for a bus that is not there either."""
    event = load(EVENTS / "collector/ended.json")
    assert deployed.invoke("collector", event) == {"batchItemFailures": []}
    assert deployed.done
    assert deployed.done <= allowed("CollectorFunction")


def test_the_worker_may_do_all_that_a_removed_session_needs(deployed: Deployed) -> None:
    """Blanking, then clearing, which its queue brings it to much later."""
    deployed.rest(CREATE_AGENT)
    deployed.rest(CREATE_SESSION)
    deployed.rest(file_name("delete", "/v2/agents/{agent_key}/sessions/{session_key}"))
    deployed.done.clear()
    for sweep_round in (1, 2):
        event = load(EVENTS / "worker/wake_up.json")
        body = {"session": "support.order-42", "sweep": [9_999_999_999_999, sweep_round]}
        event["Records"][0]["body"] = json.dumps(body)
        assert deployed.invoke("worker", event) == {"batchItemFailures": []}
    assert deployed.done
    assert deployed.done <= allowed("WorkerFunction")
