"""Takes in events of triggers that come by the queue: sent there, by the bus, or by a schedule."""

from datetime import UTC, datetime
from typing import Any

from aws_lambda_powertools.utilities.batch import EventType, process_partial_response
from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from cueline import bootstrap
from cueline.doors.background_triggers.messages_in import work_off
from cueline.doors.batches import LoggedBatch
from cueline.doors.logs import function_logger

NOT_SAID = '"at": "<aws.scheduler.scheduled-time>"'
"""The scheduler puts the time there; the emulator's leaves it as it is."""

logger = function_logger()
processor = LoggedBatch(EventType.SQS, raise_on_entire_batch_failure=False)


def body_of(record: SQSRecord) -> str:
    if NOT_SAID not in record.body:
        return record.body
    sent = datetime.fromtimestamp(int(record.attributes.sent_timestamp) // 1000, UTC)
    return record.body.replace(NOT_SAID, f'"at": "{sent.isoformat()}"')


def work(record: SQSRecord, lambda_context: LambdaContext) -> None:
    door, trace_id = bootstrap.rest(), lambda_context.aws_request_id
    background = bootstrap.background()
    work_off(door.ports, background, body_of(record), record.message_id, door.lease, trace_id)
    logger.info("message worked off", message_id=record.message_id)


@logger.inject_lambda_context(clear_state=True)
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    return process_partial_response(event, work, processor, context)
