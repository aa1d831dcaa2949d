"""Customers, one item each."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from cueline.adapters.answers import answering
from cueline.adapters.dynamodb.conflicts import FREE, UNCHANGED, put
from cueline.adapters.dynamodb.items import Item, number
from cueline.adapters.dynamodb.query import all_listed
from cueline.adapters.dynamodb.records import (
    CUSTOMERS,
    customer_from_item,
    customer_key,
    customer_to_item,
)
from cueline.engine.ports import WHOLE, Clock, Customer, Part

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


class DynamoCustomers:
    def __init__(self, client: "DynamoDBClient", table: str, clock: Clock) -> None:
        self._client, self._table, self._clock = client, table, clock

    def create(self, customer: Customer) -> bool:
        return self._put(customer, FREE)

    def get(self, customer: str) -> Customer | None:
        with answering("DynamoDB"):
            answer = self._client.get_item(
                TableName=self._table, Key=customer_key(customer), ConsistentRead=True
            )
        return customer_from_item(answer["Item"]) if "Item" in answer else None

    def replace(self, customer: Customer) -> bool:
        return self._put(customer, UNCHANGED, {":read": number(customer.version - 1)})

    def _put(
        self, customer: Customer, condition: str, values: Mapping[str, Item] | None = None
    ) -> bool:
        item = customer_to_item(customer, self._clock.id())
        return put(self._client, self._clock, self._table, item, condition, values)

    def remove(self, customer: str) -> bool:
        with answering("DynamoDB"):
            answer = self._client.delete_item(
                TableName=self._table, Key=customer_key(customer), ReturnValues="ALL_OLD"
            )
        # Where the client tried more than once, a first try may have done it.
        return "Attributes" in answer or answer["ResponseMetadata"]["RetryAttempts"] > 0

    def all(self, part: Part = WHOLE) -> Iterator[Customer]:
        return all_listed(self._client, self._table, CUSTOMERS, part, customer_from_item)
