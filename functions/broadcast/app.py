"""Tells who holds a connection what was written to the log of its session."""

from typing import Any

from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.typing import LambdaContext

from cueline import bootstrap
from cueline.doors.client_commands.broadcast import Heard
from cueline.doors.logs import function_logger
from cueline.errors import unexpected

logger = function_logger()


class BatchFailedError(Exception):
    """Lambda halves the batch and tries again, so that what fails is in the end alone."""


def tell(records: list[dict[str, Any]]) -> PartialItemFailureResponse:
    heard = [Heard(*bootstrap.heard_segment(one["dynamodb"]["NewImage"])) for one in records]
    again = sorted(bootstrap.broadcast().tell(heard))
    logger.info("told", records=len(records), again=len(again))
    numbers = [records[index]["dynamodb"]["SequenceNumber"] for index in again]
    return {"batchItemFailures": [{"itemIdentifier": number} for number in numbers]}


@logger.inject_lambda_context(clear_state=True, log_event=False)
def lambda_handler(event: dict[str, Any], _: LambdaContext) -> PartialItemFailureResponse:
    try:
        return tell(event["Records"])
    except Exception as error:
        logger.error("A batch failed and comes again", extra=unexpected(error))  # noqa: TRY400
    # Lambda logs what is raised: not the error itself, which may say what was talked about.
    raise BatchFailedError
