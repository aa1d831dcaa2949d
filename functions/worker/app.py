"""Works off wake-ups: each names a session to look at."""

from typing import Any

from aws_lambda_powertools.utilities.batch import EventType, process_partial_response
from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from cueline import bootstrap
from cueline.doors.batches import LoggedBatch
from cueline.doors.logs import function_logger

HAND_OVER = 10.0
"""Seconds before the platform's own end by which a turn has ended."""

logger = function_logger()
processor = LoggedBatch(EventType.SQS, raise_on_entire_batch_failure=False)


def work(record: SQSRecord, lambda_context: LambdaContext) -> None:
    wake_up = bootstrap.wake_up_from_json(record.body)
    logger.append_keys(session=wake_up.session)
    remaining = lambda_context.get_remaining_time_in_millis() / 1000 - HAND_OVER
    bootstrap.worker().handle(wake_up, remaining, trace_id=lambda_context.aws_request_id)
    logger.info("wake-up done", sweep=wake_up.sweep)


@logger.inject_lambda_context(clear_state=True)
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    return process_partial_response(event, work, processor, context)
