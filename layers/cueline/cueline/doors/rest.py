"""What a door's REST function is made of: routes on API Gateway's events, checked and logged."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response
from aws_lambda_powertools.event_handler.exceptions import NotFoundError
from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEvent
from aws_lambda_powertools.utilities.typing import LambdaContext

from cueline.doors.access import Access, caller_of
from cueline.doors.cors import Cors
from cueline.doors.shared import ErrorAnswer
from cueline.errors import CuelineError, RouteNotFound, unexpected

JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Asked:
    """A request of somebody who was let in. Path parameters are as they stand in the path."""

    event: APIGatewayProxyEvent
    path: Mapping[str, str]
    caller: str
    request_id: str


@dataclass(frozen=True, slots=True)
class Told:
    """What is answered: JSON, or nothing where `body` is None; or `text` of another type."""

    status: int
    body: Any = None
    text: str | None = None
    content_type: str = JSON

    def response(self, headers: dict[str, str]) -> Response[str]:
        if self.text is not None:
            return Response(self.status, self.content_type, self.text, headers)
        if self.body is None:
            # The emulator trips over a null body.
            return Response(self.status, body="", headers=headers)
        return Response(self.status, JSON, json.dumps(self.body), headers)


class Rest:
    """One function. Adapters come when they are first asked for: `access` and `cors` get them."""

    def __init__(
        self,
        logger: Logger,
        access: Callable[[], Access | None],
        cors: Callable[[], Cors],
        error_answer: Callable[[Exception, str], ErrorAnswer],
    ) -> None:
        self._logger, self._access, self._cors = logger, access, cors
        self._error_answer = error_answer
        self._app = app = APIGatewayRestResolver()
        app.exception_handler(Exception)(self._failed)
        app.not_found(self._nowhere)

    def add(self, method: str, path: str, answer: Callable[[Asked], Told]) -> None:
        """`path` is as in the template: `/agents/{agent_id}`."""

        def serve(**parameters: str) -> Response[str]:
            event = self._app.current_event
            if event.path.endswith("/"):
                # An id that is empty: what is at the path before it is not what was meant.
                raise self._missing()
            caller = caller_of(event.headers, self._access())
            asked = Asked(event, parameters, caller, self.request_id)
            return answer(asked).response({"x-request-id": self.request_id})

        self._app.route(path.replace("{", "<").replace("}", ">"), method=method)(serve)

    def add_health(self) -> None:
        def healthz() -> Response[str]:
            return Told(200, {"status": "ok"}).response({"x-request-id": self.request_id})

        self._app.get("/healthz")(healthz)

    def handle(self, event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
        response = self._app.resolve(event, context)
        cors = self._cors().headers(self._app.current_event.headers.get("origin"))
        for name, value in cors.items():
            response["multiValueHeaders"][name] = [value]
        self._logger.info(
            "answered",
            route=f"{event['httpMethod']} {event.get('resource', '')}",
            status=response["statusCode"],
            request_id=self.request_id,
        )
        return response

    @property
    def request_id(self) -> str:
        """API Gateway's own: what a caller sends along proves nothing."""
        context = self._app.current_event.get("requestContext") or {}
        return str(context.get("requestId") or self._app.lambda_context.aws_request_id)

    def _failed(self, error: Exception) -> Response[str]:
        answer = self._error_answer(error, self.request_id)
        if not isinstance(error, CuelineError):
            self._logger.error("unexpected error", extra=unexpected(error))
        return Response(answer.status, JSON, json.dumps(answer.body), answer.headers)

    def _nowhere(self, _: NotFoundError) -> Response[str]:
        return self._failed(self._missing())

    def _missing(self) -> RouteNotFound:
        event = self._app.current_event
        return RouteNotFound(f"{event.http_method} {event.path}"[:100])
