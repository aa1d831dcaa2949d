"""Reads the table's stream: sees to sessions whose META has gone, and announces what turns and
runs came to."""

from typing import Any

from aws_lambda_powertools.utilities.batch import EventType, process_partial_response
from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.data_classes.dynamo_db_stream_event import DynamoDBRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from cueline import bootstrap
from cueline.doors.background_triggers.announcing import announce
from cueline.doors.batches import LoggedBatch
from cueline.doors.logs import function_logger
from cueline.engine.collector import collect

logger = function_logger()
processor = LoggedBatch(EventType.DynamoDBStreams, raise_on_entire_batch_failure=False)


def work(record: DynamoDBRecord, lambda_context: LambdaContext) -> None:
    change = record.raw_event["dynamodb"]
    if record.raw_event["eventName"] == "REMOVE":
        removed = bootstrap.session_from_item(change["OldImage"])
        collect(bootstrap.ports(), removed, trace_id=lambda_context.aws_request_id)
        logger.info("session collected", session=removed.id)
        return
    session, incarnation, segment = bootstrap.heard_segment(change["NewImage"])
    announce(bootstrap.ports(), bootstrap.background(), session, incarnation, segment)
    logger.info("announced", session=session)


@logger.inject_lambda_context(clear_state=True)
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    return process_partial_response(event, work, processor, context)
