"""Background triggers, the sessions that they keep, their runs, and what was delivered to them."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from cueline.adapters.answers import answering
from cueline.adapters.dynamodb.background_items import (
    AFTER_RUNS,
    FIRST_RUN,
    TRIGGERS,
    body_in,
    delivery_key,
    delivery_to_item,
    kept_to_item,
    run_from_item,
    run_key,
    run_to_item,
    runs_pk,
    session_key_in,
    trigger_from_item,
    trigger_key,
    trigger_to_item,
    until_in,
)
from cueline.adapters.dynamodb.conflicts import FREE, UNCHANGED, ConditionFailed, put, settled
from cueline.adapters.dynamodb.items import Item, number, sk_of, text
from cueline.adapters.dynamodb.query import all_listed, between
from cueline.adapters.trigger_texts import DELIVERED, checked_before, is_name
from cueline.engine.background import BackgroundTrigger, Kept, Run
from cueline.engine.ports import WHOLE, Clock, Part
from cueline.errors import IdempotencyKeyReused, Unavailable

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import PutItemInputTypeDef

EXPIRED = "expires_at <= :now"
"""True where it counts no more, though the table has not removed it yet."""
GIVEN_UP = "session_key = :over"
"""True where it stands for the session of which the caller has seen that it was deleted."""


class DynamoTriggers:
    def __init__(self, client: "DynamoDBClient", table: str, clock: Clock) -> None:
        self._client, self._table, self._clock = client, table, clock

    def create(self, trigger: BackgroundTrigger) -> bool:
        return self._put(trigger, FREE)

    def get(self, trigger: str) -> BackgroundTrigger | None:
        item = _item(self._client, self._table, trigger_key(trigger))
        return trigger_from_item(item) if item else None

    def replace(self, trigger: BackgroundTrigger) -> bool:
        return self._put(trigger, UNCHANGED, {":read": number(trigger.version - 1)})

    def _put(
        self, trigger: BackgroundTrigger, condition: str, values: Mapping[str, Item] | None = None
    ) -> bool:
        item = trigger_to_item(trigger, self._clock.id())
        return put(self._client, self._clock, self._table, item, condition, values)

    def remove(self, trigger: str) -> bool:
        if not (key := trigger_key(trigger)):
            return False
        with answering("DynamoDB"):
            answer = self._client.delete_item(
                TableName=self._table, Key=key, ReturnValues="ALL_OLD"
            )
        # Where the client tried more than once, a first try may have done it.
        return "Attributes" in answer or answer["ResponseMetadata"]["RetryAttempts"] > 0

    def all(self, part: Part = WHOLE) -> Iterator[BackgroundTrigger]:
        return all_listed(self._client, self._table, TRIGGERS, part, trigger_from_item)


class DynamoRuns:
    def __init__(self, client: "DynamoDBClient", table: str, clock: Clock) -> None:
        self._client, self._table, self._clock = client, table, clock

    def put(self, run: Run) -> None:
        put(self._client, self._clock, self._table, run_to_item(run, self._clock.id()), FREE)

    def get(self, trigger: str, run: str) -> Run | None:
        item = _item(self._client, self._table, run_key(trigger, run))
        return run_from_item(item) if item else None

    def replace(self, run: Run) -> bool:
        item, read = run_to_item(run, self._clock.id()), {":read": number(run.version - 1)}
        return put(self._client, self._clock, self._table, item, UNCHANGED, read)

    def list(self, trigger: str, limit: int, before: str | None) -> Sequence[Run]:
        last = f"{FIRST_RUN}{before}" if checked_before(before) else AFTER_RUNS
        if not is_name(trigger) or limit < 1:
            return []
        found = between(
            self._client,
            self._table,
            runs_pk(trigger),
            FIRST_RUN,
            last,
            page=limit + 1,
            forward=False,
        )
        return [*islice((run_from_item(item) for item in found if sk_of(item) != last), limit)]


class DynamoKeptSessions:
    def __init__(self, client: "DynamoDBClient", table: str, clock: Clock) -> None:
        self._client, self._table, self._clock = client, table, clock

    def claim(self, new: Kept, now: int, over: str = "") -> Kept:
        condition, values = f"{FREE} OR {EXPIRED}", {":now": number(now)}
        if over:
            condition, values = f"{condition} OR {GIVEN_UP}", {**values, ":over": text(over)}
        item = kept_to_item(new)
        there = _claimed(self._client, self._clock, self._table, item, condition, values)
        return Kept(new.trigger, new.key, session_key_in(there), until_in(there))


class DynamoDeliveries:
    def __init__(self, client: "DynamoDBClient", table: str, clock: Clock) -> None:
        self._client, self._table, self._clock = client, table, clock

    def claim(self, trigger: str, key: str, body: str, session_key: str, now: int) -> str:
        item = delivery_to_item(trigger, key, body, session_key, now)
        condition, values = f"{FREE} OR {EXPIRED}", {":now": number(now)}
        there = _claimed(self._client, self._clock, self._table, item, condition, values)
        if body_in(there) != body:
            raise IdempotencyKeyReused
        return session_key_in(there)

    def claimed_at(self, trigger: str, key: str, now: int) -> int:
        item = _item(self._client, self._table, delivery_key(trigger, key))
        return until_in(item) - DELIVERED if item and until_in(item) > now else 0


def _item(client: "DynamoDBClient", table: str, key: dict[str, Item] | None) -> Item | None:
    if not key:
        return None
    with answering("DynamoDB"):
        answer = client.get_item(TableName=table, Key=key, ConsistentRead=True)
    return answer.get("Item")


def _claimed(
    client: "DynamoDBClient",
    clock: Clock,
    table: str,
    item: Item,
    condition: str,
    values: Mapping[str, Item],
) -> Item:
    """Writes the item where the condition holds; what is there then.

    Nobody reads first: of many who claim at once, one writes, and the answers of the others have
    what it wrote. So has that of who writes again because an answer was lost.
    """
    request: PutItemInputTypeDef = {
        "TableName": table,
        "Item": item,
        "ConditionExpression": condition,
        "ExpressionAttributeValues": values,
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }
    try:
        settled(clock, lambda: client.put_item(**request))
    except ConditionFailed as failed:
        if not (found := failed.reasons[0].item):
            raise Unavailable("DynamoDB does not say what is there.") from failed
        return found
    return item
