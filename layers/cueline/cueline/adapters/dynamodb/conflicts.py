"""Conditional writes: repeated while others are in the way, and told why they failed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from botocore.exceptions import ClientError

from cueline.adapters.answers import answering, code_of, details
from cueline.adapters.dynamodb.items import Item, attempt_of
from cueline.engine.ports import Clock
from cueline.errors import Unavailable

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import PutItemInputTypeDef

T = TypeVar("T")

FREE = "attribute_not_exists(pk)"
"""True where nothing has this key. Of a segment: where its writer has read all there is."""
UNCHANGED = "version = :read"
"""True where the item is there, and nobody has changed it since it was read."""

_GIVE_UP_AFTER = 3.0
"""Seconds."""
_UNMET = "ConditionalCheckFailed"
_PASSING = {"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"}
"""Reasons that go away by themselves."""


@dataclass(frozen=True, slots=True)
class Reason:
    """How one write of the request fared: whether its condition failed, and on which item."""

    failed: bool
    item: Item | None


class ConditionFailed(Exception):  # noqa: N818  (an outcome that the caller asked for)
    """One reason for each write of the request.

    `repeated` says that an earlier try of it, whose answer was lost, may have been the reason.
    """

    def __init__(self, reasons: Sequence[Reason], *, repeated: bool) -> None:
        super().__init__()
        self.reasons, self.repeated = reasons, repeated


def settled(clock: Clock, write: Callable[[], T]) -> T:
    """Does the write, and gives its answer.

    Raises ConditionFailed, or Unavailable where others stay in the way.
    """
    until = clock.monotonic() + _GIVE_UP_AFTER
    pause = 0.02
    while True:
        try:
            with answering("DynamoDB"):
                return _judged(write)
        except _InTheWay as error:
            if clock.monotonic() > until:
                raise Unavailable("Too many changes to this at once; try again.") from error
        clock.sleep(pause * clock.random())
        pause = min(2 * pause, 0.16)


def put(
    client: "DynamoDBClient",
    clock: Clock,
    table: str,
    item: Item,
    condition: str,
    values: Mapping[str, Item] | None = None,
) -> bool:
    """Writes the item where the condition holds; whether it did.

    An item with the same attempt was written by an earlier try of this very write, whose answer
    was lost.
    """
    request: PutItemInputTypeDef = {
        "TableName": table,
        "Item": item,
        "ConditionExpression": condition,
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }
    if values:
        request["ExpressionAttributeValues"] = values
    try:
        settled(clock, lambda: client.put_item(**request))
    except ConditionFailed as failed:
        found = failed.reasons[0].item
        return found is not None and attempt_of(found) == attempt_of(item)
    return True


class _InTheWay(Exception):  # noqa: N818
    """Another transaction holds one of the items, or the table is busy."""


def _judged(write: Callable[[], T]) -> T:
    try:
        return write()
    except ClientError as error:
        repeated = details(error)["ResponseMetadata"].get("RetryAttempts", 0) > 0
        match code_of(error):
            case "ConditionalCheckFailedException":
                reasons = [Reason(True, details(error).get("Item"))]
                raise ConditionFailed(reasons, repeated=repeated) from None
            case "TransactionConflictException":
                raise _InTheWay from error
            case "TransactionCanceledException":
                codes = [r.get("Code") for r in details(error)["CancellationReasons"]]
                # While one write could not be judged, what the others say is half of the truth.
                if _PASSING.intersection(codes):
                    raise _InTheWay from error
                if _UNMET in codes:
                    raise ConditionFailed(
                        [
                            Reason(r.get("Code") == _UNMET, r.get("Item"))
                            for r in details(error)["CancellationReasons"]
                        ],
                        repeated=repeated,
                    ) from None
        raise
