"""API keys, one item each."""

from contextlib import suppress
from typing import TYPE_CHECKING

from cueline.adapters.answers import answering
from cueline.adapters.dynamodb.conflicts import FREE, ConditionFailed, settled
from cueline.adapters.dynamodb.items import (
    KEYS,
    api_key_from_item,
    api_key_key,
    api_key_to_item,
    secrets_attribute,
)
from cueline.adapters.dynamodb.query import listed
from cueline.engine.ports import Clock, Key, Page

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

AS_READ = "secrets = :read"
"""True where the key is there, and nobody has given it another secret since it was read."""


class DynamoKeys:
    def __init__(self, client: "DynamoDBClient", table: str, clock: Clock) -> None:
        self._client, self._table, self._clock = client, table, clock

    def get(self, key_id: str, *, fresh: bool = False) -> Key | None:  # noqa: ARG002
        with answering("DynamoDB"):
            answer = self._client.get_item(
                TableName=self._table, Key=api_key_key(key_id), ConsistentRead=True
            )
        return api_key_from_item(answer["Item"]) if "Item" in answer else None

    def put(self, key: Key) -> None:
        item = api_key_to_item(key)
        with suppress(ConditionFailed):
            settled(
                self._clock,
                lambda: self._client.put_item(
                    TableName=self._table, Item=item, ConditionExpression=FREE
                ),
            )

    def replace(self, old: Key, new: Key) -> bool:
        item = api_key_to_item(new)
        try:
            settled(
                self._clock,
                lambda: self._client.put_item(
                    TableName=self._table,
                    Item=item,
                    ConditionExpression=AS_READ,
                    ExpressionAttributeValues={":read": secrets_attribute(old)},
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                ),
            )
        except ConditionFailed as failed:
            # A secret is random: what has it was written by an earlier try of this very write.
            found = failed.reasons[0].item
            return bool(found and api_key_from_item(found).secrets == new.secrets)
        return True

    def remove(self, key_id: str) -> None:
        with answering("DynamoDB"):
            self._client.delete_item(TableName=self._table, Key=api_key_key(key_id))

    def list(self, limit: int, page_key: str | None) -> Page[Key]:
        return listed(self._client, self._table, KEYS, limit, page_key, api_key_from_item)
