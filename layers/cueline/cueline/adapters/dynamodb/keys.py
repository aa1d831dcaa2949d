"""API keys."""

from typing import TYPE_CHECKING

from cueline.adapters.answers import answering
from cueline.adapters.dynamodb.items import api_key_from_item, api_key_key, api_key_to_item
from cueline.engine.ports import Key

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


class DynamoKeys:
    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client, self._table = client, table

    def get(self, key_id: str) -> Key | None:
        with answering("DynamoDB"):
            answer = self._client.get_item(
                TableName=self._table, Key=api_key_key(key_id), ConsistentRead=True
            )
        return api_key_from_item(answer["Item"]) if "Item" in answer else None

    def put(self, key: Key) -> None:
        with answering("DynamoDB"):
            self._client.put_item(TableName=self._table, Item=api_key_to_item(key))
