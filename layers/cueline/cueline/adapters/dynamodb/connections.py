"""Connections: an item each in their session's partition, and one more for each open WebSocket."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from cueline.adapters.answers import answering
from cueline.adapters.dynamodb.conflicts import FREE, ConditionFailed, settled
from cueline.adapters.dynamodb.items import (
    AFTER_CONNECTIONS,
    FIRST_CONNECTION,
    Item,
    number,
    text,
)
from cueline.adapters.dynamodb.query import between
from cueline.adapters.dynamodb.records import (
    connection_from_item,
    connection_in,
    connection_key,
    connection_to_item,
    connection_ttl,
    socket_key,
    socket_to_item,
)
from cueline.engine.listeners import RESUME_PAUSE, Connection
from cueline.engine.ports import Clock

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import PutTypeDef, UpdateTypeDef

LIVE = "expires_at > :now"
"""True where it is there and has not expired, though the table has not removed it yet."""
FITS = "ticket = :ticket"
"""True where the secret is the one that it was offered with."""
THERE = "attribute_exists(pk)"
NOT_CLOSING = "attribute_not_exists(closing)"
RESTED = "(attribute_not_exists(resumed_at) OR resumed_at <= :rested)"
"""True where it was not told again just now what it had missed."""
NOT_TAKEN = "(attribute_not_exists(gateway) OR gateway = :gateway)"
"""True where nobody has opened it, but an earlier try of this very write, whose answer was lost."""


class DynamoConnections:
    def __init__(self, client: "DynamoDBClient", table: str, clock: Clock) -> None:
        self._client, self._table, self._clock = client, table, clock

    def offer(self, connection: Connection, ticket: str) -> None:
        if not (key := connection_key(connection.id)):
            raise ValueError(f"No connection can be called {connection.id!r}.")
        item = connection_to_item(key, connection, ticket)
        # Nobody can guess its name: it is there where an earlier try of this has written it.
        with suppress(ConditionFailed):
            settled(
                self._clock,
                lambda: self._client.put_item(
                    TableName=self._table, Item=item, ConditionExpression=FREE
                ),
            )

    def open(
        self, connection: str, ticket: str, gateway: str, now: int, until: int
    ) -> Connection | None:
        key, found = connection_key(connection), self.get(connection, now)
        if not key or not found:
            return None
        take: UpdateTypeDef = {
            "TableName": self._table,
            "Key": key,
            "UpdateExpression": (
                "SET gateway = :gateway, opened_at = :now, expires_at = :until, #ttl = :ttl"
            ),
            "ConditionExpression": f"{LIVE} AND {FITS} AND {NOT_TAKEN}",
            "ExpressionAttributeNames": {"#ttl": "ttl"},
            "ExpressionAttributeValues": {
                ":gateway": text(gateway),
                ":now": number(now),
                ":until": number(until),
                ":ttl": connection_ttl(until),
                ":ticket": text(ticket),
            },
        }
        socket: PutTypeDef = {
            "TableName": self._table,
            "Item": socket_to_item(gateway, connection, until),
        }
        try:
            settled(
                self._clock,
                lambda: self._client.transact_write_items(
                    TransactItems=[{"Update": take}, {"Put": socket}]
                ),
            )
        except ConditionFailed:
            return None
        return replace(found, gateway=gateway, opened_at=now, expires_at=until)

    def get(self, connection: str, now: int) -> Connection | None:
        item = self._item(connection_key(connection))
        found = connection_from_item(item) if item else None
        return found if found and found.expires_at > now else None

    def at(self, gateway: str, now: int) -> Connection | None:
        socket = self._item(socket_key(gateway))
        found = self.get(connection_in(socket), now) if socket else None
        return found if found and found.gateway == gateway else None

    def of(
        self, session: str, incarnation: int, now: int, *, closing: bool = False
    ) -> Sequence[Connection]:
        # Not one that lags: who was told a moment ago would miss what is written next, for good.
        found = between(self._client, self._table, session, FIRST_CONNECTION, AFTER_CONNECTIONS)
        return [
            one
            for one in map(connection_from_item, found)
            if one.incarnation == incarnation
            and one.expires_at > now
            and (closing if one.closing else one.told)
        ]

    def tell(self, connection: Connection) -> Connection | None:
        # What is read again with each batch, and each second of a speech, is small.
        item = self._update(
            connection,
            "SET told = :told REMOVE opening, ticket",
            f"{LIVE} AND {NOT_CLOSING}",
            {":told": {"BOOL": True}, ":now": number(self._clock.now())},
        )
        return connection_from_item(item) if item else None

    def resumes(self, connection: Connection, now: int) -> bool:
        rested = number(now - RESUME_PAUSE)
        values = {":now": number(now), ":rested": rested}
        condition = f"{LIVE} AND {RESTED}"
        return bool(self._update(connection, "SET resumed_at = :now", condition, values))

    def mark_closing(self, connection: Connection) -> None:
        values = {":closing": {"BOOL": True}}
        self._update(connection, "SET closing = :closing", THERE, values)

    def _update(
        self, connection: Connection, expression: str, condition: str, values: Mapping[str, Item]
    ) -> Item | None:
        """As it is then; None where the condition does not hold, or it can have no id."""
        if not (key := connection_key(connection.id)):
            return None
        try:
            answer = settled(
                self._clock,
                lambda: self._client.update_item(
                    TableName=self._table,
                    Key=key,
                    UpdateExpression=expression,
                    ConditionExpression=condition,
                    ExpressionAttributeValues=values,
                    ReturnValues="ALL_NEW",
                ),
            )
        except ConditionFailed:
            return None
        return answer["Attributes"]

    def remove(self, connection: Connection) -> None:
        if not (key := connection_key(connection.id)):
            return
        answer = settled(
            self._clock,
            lambda: self._client.delete_item(
                TableName=self._table, Key=key, ReturnValues="ALL_OLD"
            ),
        )
        # It may have been opened since it was read; or an earlier try of this has removed it.
        old = connection_from_item(answer["Attributes"]) if "Attributes" in answer else connection
        if old.gateway:
            settled(
                self._clock,
                lambda: self._client.delete_item(
                    TableName=self._table, Key=socket_key(old.gateway)
                ),
            )

    def _item(self, key: dict[str, Item] | None) -> Item | None:
        if not key:
            return None
        with answering("DynamoDB"):
            answer = self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True)
        return answer.get("Item")
