"""Works off what the worker failed at five times: no session waits in silence."""

from typing import Any

from aws_lambda_powertools.utilities.batch import EventType, process_partial_response
from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from cueline import bootstrap
from cueline.doors.batches import LoggedBatch
from cueline.doors.logs import function_logger
from cueline.errors import InvalidRequest

logger = function_logger()
processor = LoggedBatch(EventType.SQS, raise_on_entire_batch_failure=False)


def work(record: SQSRecord, lambda_context: LambdaContext) -> None:
    try:
        wake_up = bootstrap.wake_up_from_json(record.body)
    except InvalidRequest:
        # It names no session, so there is nobody to tell. Its body may say anything: not logged.
        logger.warning("a message was no wake-up", message_id=record.message_id)
        return
    logger.append_keys(session=wake_up.session)
    bootstrap.failures().handle(wake_up, trace_id=lambda_context.aws_request_id)
    logger.info("failed wake-up done", sweep=wake_up.sweep)


@logger.inject_lambda_context(clear_state=True)
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    return process_partial_response(event, work, processor, context)
