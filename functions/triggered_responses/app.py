"""Door 2, all but listing events, which may stream."""

import json
from collections.abc import Callable
from typing import Any

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response
from aws_lambda_powertools.event_handler.exceptions import NotFoundError
from aws_lambda_powertools.event_handler.middlewares import NextMiddleware
from aws_lambda_powertools.utilities.typing import LambdaContext

from cueline import bootstrap
from cueline.doors.access import caller_of
from cueline.doors.logs import function_logger
from cueline.doors.triggered_responses.calls import Call, Route
from cueline.doors.triggered_responses.errors import error_answer
from cueline.doors.triggered_responses.event_routes import EVENT_ROUTES
from cueline.doors.triggered_responses.events import EventStream
from cueline.doors.triggered_responses.routes import ROUTES
from cueline.errors import CuelineError, RouteNotFound, unexpected

JSON = "application/json"

logger = function_logger()
app = APIGatewayRestResolver()


def request_id() -> str:
    """API Gateway's own: what a caller sends along proves nothing."""
    context = app.current_event.get("requestContext") or {}
    return str(context.get("requestId") or app.lambda_context.aws_request_id)


def check_access(app: APIGatewayRestResolver, next_middleware: NextMiddleware) -> Response[str]:
    if app.current_event.path.endswith("/"):
        # An id that is empty: the list at the path before it is not what was meant.
        raise RouteNotFound(f"{app.current_event.http_method} {app.current_event.path}"[:100])
    app.context["door"] = bootstrap.rest()
    app.context["caller"] = caller_of(app.current_event.headers, app.context["door"].access)
    return next_middleware(app)


def answered(status: int, body: Any, headers: dict[str, str]) -> Response[str]:
    if status == 204:
        return Response(status, body="", headers=headers)  # the emulator trips over a null body
    if isinstance(body, EventStream):
        return Response(status, "text/event-stream", body.text, headers)
    return Response(status, JSON, json.dumps(body), headers)


def serve(route: Route) -> Callable[..., Response[str]]:
    def handle(**path: str) -> Response[str]:
        event, door = app.current_event, app.context["door"]
        call = Call(
            ports=door.ports,
            request_id=request_id(),
            caller=app.context["caller"],
            path=path,
            query=event.get("multiValueQueryStringParameters") or {},
            headers=event.headers,
            body=event.body,
            is_base64=bool(event.is_base64_encoded),
            lease=door.lease,
        )
        return answered(route.status, route.answer(call), {"x-request-id": call.request_id})

    return handle


app.use(middlewares=[check_access])
for route in (*ROUTES, *EVENT_ROUTES):
    app.route(route.path.replace("{", "<").replace("}", ">"), method=route.method)(serve(route))


def failed(error: Exception) -> Response[str]:
    answer = error_answer(error, request_id())
    if not isinstance(error, CuelineError):
        logger.error("unexpected error", extra=unexpected(error))
    return answered(answer.status, answer.body, answer.headers)


def nowhere(_: NotFoundError) -> Response[str]:
    event = app.current_event
    return failed(RouteNotFound(f"{event.http_method} {event.path}"[:100]))


app.exception_handler(Exception)(failed)
app.not_found(nowhere)


@logger.inject_lambda_context(clear_state=True)
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    response = app.resolve(event, context)
    for name, value in bootstrap.cors().headers(app.current_event.headers.get("origin")).items():
        response["multiValueHeaders"][name] = [value]
    route = f"{event['httpMethod']} {event.get('resource', '')}"
    logger.info("answered", route=route, status=response["statusCode"], request_id=request_id())
    return response
