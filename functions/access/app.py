"""Access: tokens for client credentials, and what browsers ask before they call any door.

A function of its own: with a permission for each of these routes too, the agents' function would
come near to what Lambda takes of them (20 KB).
"""

import json
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from cueline import bootstrap
from cueline.doors.logs import function_logger
from cueline.doors.oauth import token_answer

logger = function_logger()


def preflight(origin: str | None) -> dict[str, Any]:
    return {"statusCode": 204, "headers": bootstrap.cors().preflight(origin), "body": ""}


def token(event: dict[str, Any], headers: dict[str, str]) -> dict[str, Any]:
    encoded = bool(event.get("isBase64Encoded"))
    answer = token_answer(headers, event.get("body"), encoded, bootstrap.access)
    told = {"content-type": "application/json", **answer.headers}
    told |= bootstrap.cors().headers(headers.get("origin"))
    return {"statusCode": answer.status, "headers": told, "body": json.dumps(answer.body)}


@logger.inject_lambda_context(clear_state=True)
def lambda_handler(event: dict[str, Any], _: LambdaContext) -> dict[str, Any]:
    headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
    asked = event["httpMethod"] == "OPTIONS"
    response = preflight(headers.get("origin")) if asked else token(event, headers)
    request_id = event["requestContext"]["requestId"]
    response["headers"]["x-request-id"] = request_id
    route = f"{event['httpMethod']} {event.get('resource', '')}"
    logger.info("answered", route=route, status=response["statusCode"], request_id=request_id)
    return response
