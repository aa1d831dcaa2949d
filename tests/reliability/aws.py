"""DynamoDB and SQS for several processes: moto over HTTP.

One event loop answers one request after the other, so that a conditional write is atomic, which
moto's own threaded server does not promise.
"""

from botocore.awsrequest import AWSPreparedRequest
from botocore.compat import HTTPHeaders
from moto import mock_aws
from moto.core.botocore_stubber import BotocoreStubber
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

REGION = "eu-central-1"
SERVICES = {"DynamoDB_20120810": "dynamodb", "AmazonSQS": "sqs"}


def application() -> Starlette:
    """Must be made in the process that serves it."""
    mock_aws().start()
    moto = BotocoreStubber()

    async def answer(request: Request) -> Response:
        service = SERVICES[request.headers["x-amz-target"].partition(".")[0]]
        headers = HTTPHeaders()
        for name, value in request.headers.items():
            headers[name] = value
        answered = moto.process_request(
            AWSPreparedRequest(
                method=request.method,
                url=f"https://{service}.{REGION}.amazonaws.com/",
                headers=headers,
                body=await request.body(),
                stream_output=False,
            )
        )
        assert answered
        status, given, body = answered
        return Response(body, status, {name: str(value) for name, value in given.items()})

    return Starlette(routes=[Route("/", answer, methods=["POST"])])
