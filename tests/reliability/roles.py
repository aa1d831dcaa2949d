"""What the processes of a stack are: a server, a door, a worker, the host of one turn."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import anyio.to_thread
import httpx
import uvicorn
from botocore.exceptions import BotoCoreError, ClientError
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from cueline import bootstrap
from cueline.adapters import aws as clients
from cueline.adapters.dynamodb import connections
from cueline.adapters.openai import chat, responses
from cueline.adapters.wake_ups import wake_up_from_json
from cueline.doors.agent_events.errors import error_answer
from cueline.doors.client_commands import speech
from cueline.engine import sessions
from cueline.engine.accept import Arrival, accept
from cueline.engine.append import Writer
from cueline.errors import CuelineError
from cueline.log.events import Input, Policy, event_id
from functions.agent_events import app as events
from functions.agents import app as resources
from functions.triggers import app as triggers
from functions.worker import app as work
from local.practice import server as practice
from tests import gateway
from tests.reliability import aws as fake_aws
from tests.reliability import gateway as fake_gateway
from tests.reliability.conditions import Given
from tests.reliability.living import live
from tests.reliability.poison import poison
from tests.reliability.steps import Steps, WatchedModel

__all__ = ["chat", "connections", "responses", "speech"]  # imported once, for all that are forked

TOKEN_MS = 8.0
POLL = 0.1
"""Seconds between two looks at an empty queue."""


def warm_up() -> None:
    """Loads what is loaded at the first use only."""
    clients.dynamodb_client().close()
    clients.sqs_client().close()
    clients.sockets_client("http://127.0.0.1:9").close()
    responses.responses_model(api_key="none", base_url="http://127.0.0.1:9")


def aws(_: dict[str, Any], listening: socket.socket) -> None:
    _serve(fake_aws.application(), listening)


def model(_: dict[str, Any], listening: socket.socket) -> None:
    practice.server(0, token_ms=TOKEN_MS).run([listening])


def sockets(_: dict[str, Any], listening: socket.socket) -> None:
    _serve(fake_gateway.application(), listening)


def door(told: dict[str, Any], listening: socket.socket) -> None:
    """The functions of doors 1 and 4 as one server."""
    live(Given.of(told))
    _serve(front, listening)


def _serve(app: ASGIApp, listening: socket.socket) -> None:
    config = uvicorn.Config(
        app, log_level="error", access_log=False, lifespan="off", timeout_graceful_shutdown=1
    )
    uvicorn.Server(config).run([listening])


async def front(scope: Scope, receive: Receive, send: Send) -> None:
    """Sends each request to the function that has its route."""
    if scope["method"] == "POST" and scope["path"].endswith("/events"):
        await events.app(scope, receive, send)
        return
    request = Request(scope, receive)
    body = (await request.body()).decode()
    if scope["path"] == "/send":
        await (await anyio.to_thread.run_sync(_sent, json.loads(body)))(scope, receive, send)
        return
    answer = await anyio.to_thread.run_sync(_resource, request, body)
    await Response(answer.text, answer.status, answer.headers)(scope, receive, send)


def _sent(asked: dict[str, Any]) -> Response:
    try:
        event = append(asked["session"], asked["text"], asked["policy"])
    except CuelineError as error:
        answer = error_answer(error, "")
        return JSONResponse(answer.body, answer.status)
    return PlainTextResponse(event, 201)


_one_at_a_time = threading.Lock()  # as a function of Lambda is called


def _resource(request: Request, body: str) -> gateway.Answer:
    event = gateway.event(
        request.method,
        request.url.path,
        body or None,
        query=request.query_params,
        headers=dict(request.headers),
    )
    with _one_at_a_time:
        if request.url.path.startswith("/v1/"):
            given = triggers.lambda_handler(event, gateway.Context())  # type: ignore[arg-type]
            return gateway.Answer(given["statusCode"], given["headers"], given["body"])
        return gateway.Answer.of(resources.lambda_handler(event, gateway.Context()))  # type: ignore[arg-type]


# --- the worker ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Invocation(gateway.Context):
    """Of a function that has half a minute left."""

    function_name: str = "worker"

    def get_remaining_time_in_millis(self) -> int:
        return 30_000


def worker(told: dict[str, Any]) -> None:
    """Hands what the queue delivers to the worker's function, as the platform does."""
    given = Given.of(told)
    steps = live(given)
    poison(given)
    queue = clients.sqs_client()
    while True:
        try:
            _work_off(queue, given.queue, steps)
        except (BotoCoreError, ClientError):  # the platform would ask again too
            time.sleep(POLL)


def _work_off(queue: Any, url: str, steps: Steps) -> None:
    messages = queue.receive_message(QueueUrl=url).get("Messages", [])
    if not messages:
        time.sleep(POLL)
    for message in messages:
        steps.begin(wake_up_from_json(message["Body"]).session)
        record = {
            "messageId": message["MessageId"],
            "receiptHandle": message["ReceiptHandle"],
            "body": message["Body"],
            "attributes": {},
            "messageAttributes": {},
            "eventSource": "aws:sqs",
        }
        answer = work.lambda_handler({"Records": [record]}, Invocation())  # type: ignore[arg-type]
        if not answer["batchItemFailures"]:
            steps.reach("queue.delete")
            queue.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        steps.reach("end")
        steps.end()


# --- the host of one turn ------------------------------------------------------------------------


def host(told: dict[str, Any]) -> None:
    """Posts one event to door 1 in this very process, and writes down what it was told."""
    post = told.pop("post")
    given = Given.of(told)
    steps = live(given)
    steps.begin(post["session"])
    if post.get("joined"):
        real = bootstrap.model

        def join(n: int) -> None:
            """While the model speaks, somebody else says something."""
            if n == 1:
                with steps.unseen():
                    append(post["session"], post["joined"])

        patch.object(bootstrap, "model", lambda: WatchedModel(real(), join)).start()

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app=events.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://door") as client:
            return await client.post(post["path"], json=post["body"], headers=post["headers"])

    answer = asyncio.run(ask())
    steps.reach("end")
    steps.end()
    kept = Path(given.folder) / f"answer-{post['session']}"
    kept.write_text(json.dumps({"status": answer.status_code, "body": answer.text}))


def append(session: str, text: str, policy: Policy = "enqueue") -> str:
    """Another door, at which nobody waits. The id of the event."""
    ports = bootstrap.ports()
    _, tail = sessions.find(ports, *session.split("."))
    writer = Writer(ports.log, ports.clock, session, "")
    arrival = Arrival(Input(texts=(text,), policy=policy))
    lease = bootstrap.settings().lease_seconds
    accepted = accept(ports, writer, tail, arrival, lease, hosts=False)
    return event_id(session, accepted.head.incarnation, accepted.offset)


SERVERS: dict[str, Callable[..., None]] = {
    "aws": aws,
    "model": model,
    "gateway": sockets,
    "door": door,
}
ROLES: dict[str, Callable[..., None]] = {**SERVERS, "worker": worker, "host": host}


def told(given: Given, **more: Any) -> dict[str, Any]:
    """What a role is started with."""
    return {**asdict(given), **more}
