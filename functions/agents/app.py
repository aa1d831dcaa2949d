"""Door 1, all that never streams: agents, sessions, and reading events."""

from collections.abc import Callable
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from cueline import bootstrap
from cueline.doors.agent_events.errors import error_answer
from cueline.doors.agent_events.routes import ROUTES, Call, Route
from cueline.doors.logs import function_logger
from cueline.doors.rest import Asked, Rest, Told

logger = function_logger()
rest = Rest(logger, lambda: bootstrap.rest().access, lambda: bootstrap.cors(), error_answer)


def serve(route: Route) -> Callable[[Asked], Told]:
    def answer(asked: Asked) -> Told:
        event = asked.event
        call = Call(
            ports=bootstrap.rest().ports,
            background=lambda: bootstrap.background(),
            request_id=asked.request_id,
            caller=asked.caller,
            path=asked.path,
            query=event.query_string_parameters,
            headers=event.headers,
            body=event.body,
            is_base64=bool(event.is_base64_encoded),
        )
        return Told(route.status, route.answer(call))

    return answer


rest.add_health()
for route in ROUTES:
    rest.add(route.method, route.path, serve(route))


@logger.inject_lambda_context(clear_state=True)
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    return rest.handle(event, context)
