"""Door 3's REST: connections to sessions, and what was said in them."""

from collections.abc import Callable
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from cueline import bootstrap
from cueline.doors.client_commands.calls import Call, Route
from cueline.doors.client_commands.errors import error_answer
from cueline.doors.client_commands.routes import ROUTES
from cueline.doors.logs import function_logger
from cueline.doors.rest import Asked, Rest, Told

logger = function_logger()
rest = Rest(logger, lambda: bootstrap.realtime().access, lambda: bootstrap.cors(), error_answer)


def serve(route: Route) -> Callable[[Asked], Told]:
    def answer(asked: Asked) -> Told:
        event = asked.event
        call = Call(
            realtime=bootstrap.realtime(),
            request_id=asked.request_id,
            caller=asked.caller,
            path=asked.path,
            query=event.get("multiValueQueryStringParameters") or {},
            headers=event.headers,
            body=event.body,
            is_base64=bool(event.is_base64_encoded),
        )
        body = route.answer(call)
        return Told(route.status, None if route.status == 204 else body)

    return answer


for route in ROUTES:
    rest.add(route.method, route.path, serve(route))


@logger.inject_lambda_context(clear_state=True)
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    return rest.handle(event, context)
