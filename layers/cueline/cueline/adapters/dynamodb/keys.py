"""API keys, one item each."""

from typing import TYPE_CHECKING

from cueline.adapters.answers import answering
from cueline.adapters.dynamodb.conflicts import FREE, put
from cueline.adapters.dynamodb.items import Item
from cueline.adapters.dynamodb.query import listed
from cueline.adapters.dynamodb.records import (
    KEYS,
    api_key_from_item,
    api_key_key,
    api_key_to_item,
    secrets_attribute,
)
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
        put(self._client, self._clock, self._table, self._item(key), FREE)

    def replace(self, old: Key, new: Key) -> bool:
        read = {":read": secrets_attribute(old)}
        return put(self._client, self._clock, self._table, self._item(new), AS_READ, read)

    def _item(self, key: Key) -> Item:
        return api_key_to_item(key, self._clock.id())

    def remove(self, key_id: str) -> None:
        with answering("DynamoDB"):
            self._client.delete_item(TableName=self._table, Key=api_key_key(key_id))

    def list(self, limit: int, page_key: str | None) -> Page[Key]:
        return listed(self._client, self._table, KEYS, limit, page_key, api_key_from_item)
