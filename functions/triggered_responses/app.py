"""Door 2, all but listing events, which may stream."""

from collections.abc import Callable
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from cueline import bootstrap
from cueline.doors.logs import function_logger
from cueline.doors.rest import Asked, Rest, Told
from cueline.doors.triggered_responses.calls import Call, Route
from cueline.doors.triggered_responses.errors import error_answer
from cueline.doors.triggered_responses.event_routes import EVENT_ROUTES
from cueline.doors.triggered_responses.events import EventStream
from cueline.doors.triggered_responses.routes import ROUTES

logger = function_logger()
rest = Rest(logger, lambda: bootstrap.rest().access, lambda: bootstrap.cors(), error_answer)


def serve(route: Route) -> Callable[[Asked], Told]:
    def answer(asked: Asked) -> Told:
        event, door = asked.event, bootstrap.rest()
        call = Call(
            ports=door.ports,
            request_id=asked.request_id,
            caller=asked.caller,
            path=asked.path,
            query=event.get("multiValueQueryStringParameters") or {},
            headers=event.headers,
            body=event.body,
            is_base64=bool(event.is_base64_encoded),
            lease=door.lease,
        )
        answer = route.answer(call)
        if isinstance(answer, EventStream):
            return Told(route.status, text=answer.text, content_type="text/event-stream")
        return Told(route.status, None if route.status == 204 else answer)

    return answer


for route in (*ROUTES, *EVENT_ROUTES):
    rest.add(route.method, route.path, serve(route))


@logger.inject_lambda_context(clear_state=True)
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    return rest.handle(event, context)
