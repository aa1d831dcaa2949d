"""Door 4: triggers and their events, runs, conversations and contacts.

Two routes of the API lead here, one a prefix; which of the door's it is, its own table says.
"""

import json
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from cueline import bootstrap
from cueline.doors.access import caller_of
from cueline.doors.background_triggers.calls import Call, Reply
from cueline.doors.background_triggers.errors import error_answer
from cueline.doors.background_triggers.routes import route_of
from cueline.doors.logs import function_logger
from cueline.errors import CuelineError, unexpected

logger = function_logger()


def answer(event: dict[str, Any], headers: dict[str, str], request_id: str) -> Reply:
    route, path = route_of(event["httpMethod"], event["path"])
    logger.append_keys(route=f"{route.method} {route.path}")
    door = bootstrap.rest()
    call = Call(
        ports=door.ports,
        background=bootstrap.background(),
        signing=bootstrap.signing_secret,
        request_id=request_id,
        caller="" if route.open else caller_of(headers, door.access),
        method=event["httpMethod"],
        path=path,
        query=event.get("multiValueQueryStringParameters") or {},
        headers=headers,
        body=event.get("body"),
        is_base64=bool(event.get("isBase64Encoded")),
        lease=door.lease,
    )
    told = route.answer(call)
    return told if isinstance(told, Reply) else Reply(told)


def answered(event: dict[str, Any], headers: dict[str, str], request_id: str) -> Reply:
    """Whatever happens: the gateway's own words for a failure say less."""
    try:
        return answer(event, headers, request_id)
    except Exception as error:
        if not isinstance(error, CuelineError):
            logger.error("unexpected error", extra=unexpected(error))  # noqa: TRY400
        told = error_answer(error, request_id)
        return Reply(told.body, told.status, headers=told.headers)


def response(reply: Reply, more: dict[str, str]) -> dict[str, Any]:
    body = json.dumps(reply.body) if reply.text is None else reply.text
    headers = {"content-type": reply.content_type, **reply.headers, **more}
    return {"statusCode": reply.status, "headers": headers, "body": body}


@logger.inject_lambda_context(clear_state=True)
def lambda_handler(event: dict[str, Any], _: LambdaContext) -> dict[str, Any]:
    headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
    origin, request_id = headers.get("origin"), event["requestContext"]["requestId"]
    told = {"x-request-id": request_id}
    if event["httpMethod"] == "OPTIONS" and "access-control-request-method" in headers:
        preflight = {**bootstrap.cors().preflight(origin), **told}
        given = {"statusCode": 204, "headers": preflight, "body": ""}
    else:
        cors = bootstrap.cors().headers(origin)
        given = response(answered(event, headers, request_id), {**cors, **told})
    method, status = event["httpMethod"], given["statusCode"]
    logger.info("answered", method=method, status=status, request_id=request_id)
    return given
