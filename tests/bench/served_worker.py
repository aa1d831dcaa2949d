"""The worker's handler behind a port: POST /work takes what SQS would hand to it, one message."""

import json
import time
import uuid
from dataclasses import dataclass

import anyio.to_thread
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from functions.worker.app import lambda_handler
from local.template import ROOT
from tests.bench.probe import probed
from tests.gateway import Context

SAMPLE = ROOT / "events/worker/wake_up.json"


@dataclass(frozen=True)
class WorkerContext(Context):
    function_name: str = "worker"

    def get_remaining_time_in_millis(self) -> int:
        return 300_000


async def work(request: Request) -> Response:
    """What failed, and the seconds of CPU that the process used meanwhile."""
    event = json.loads(SAMPLE.read_text())
    event["Records"][0] |= {"messageId": str(uuid.uuid4()), "body": (await request.body()).decode()}
    began = time.process_time()
    answer = await anyio.to_thread.run_sync(lambda_handler, event, WorkerContext())  # type: ignore[arg-type]
    used = time.process_time() - began
    return JSONResponse({"failed": answer["batchItemFailures"], "cpu": used})


async def healthz(_: Request) -> Response:
    return PlainTextResponse("ok")


app = probed(Starlette(routes=[Route("/healthz", healthz), Route("/work", work, methods=["POST"])]))
