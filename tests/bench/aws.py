"""DynamoDB and SQS for the measured processes, which can be asked whether they are there."""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route

from tests.reliability import aws


async def healthz(_: Request) -> Response:
    return PlainTextResponse("ok")


def application() -> Starlette:
    return Starlette(routes=[Route("/healthz", healthz), Mount("/", aws.application())])
