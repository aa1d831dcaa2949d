"""Door 3's WebSocket: who connects, what they send, who leaves.

The query of who connects has a ticket in it: neither that nor anything that is sent is ever logged.
"""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from cueline import bootstrap
from cueline.doors.client_commands.realtime import SocketEvent
from cueline.doors.client_commands.socket_events import command, connect, disconnect
from cueline.doors.logs import function_logger

PROTOCOL = "cueline"

logger = function_logger()


def come(event: SocketEvent) -> dict[str, Any]:
    """A client that offers protocols wants to hear which of them is spoken, or it hangs up."""
    answer: dict[str, Any] = {"statusCode": connect(bootstrap.realtime(), event)}
    offered = event.headers.get("sec-websocket-protocol", "").split(",")
    if PROTOCOL in map(str.strip, offered):
        answer["headers"] = {"Sec-WebSocket-Protocol": PROTOCOL}
    return answer


def said(event: SocketEvent) -> dict[str, Any]:
    """Answered over the WebSocket: what is returned here reaches nobody."""
    command(bootstrap.realtime(), event)
    return {"statusCode": 200}


def left(event: SocketEvent) -> dict[str, Any]:
    disconnect(bootstrap.realtime(), event)
    return {"statusCode": 200}


# Not by the route: which one a frame takes, its sender may have a say in.
EVENTS = {"CONNECT": come, "MESSAGE": said, "DISCONNECT": left}


def socket_event(event: dict[str, Any]) -> SocketEvent:
    context = event["requestContext"]
    return SocketEvent(
        gateway=context["connectionId"],
        request_id=context["requestId"],
        body=event.get("body") or "",
        is_base64=bool(event.get("isBase64Encoded")),
        query=event.get("queryStringParameters") or {},
        headers={name.lower(): value for name, value in (event.get("headers") or {}).items()},
    )


@logger.inject_lambda_context(clear_state=True, log_event=False)
def lambda_handler(event: dict[str, Any], _: LambdaContext) -> dict[str, Any]:
    came = socket_event(event)
    kind = event["requestContext"]["eventType"]
    answer = EVENTS[kind](came)
    logger.info("answered", event=kind, status=answer["statusCode"], request_id=came.request_id)
    return answer
