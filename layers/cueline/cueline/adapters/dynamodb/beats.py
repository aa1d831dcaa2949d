"""Heartbeats: a small counter of its own for each turn, so that a beat costs one unit."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cueline.adapters.answers import answering
from cueline.adapters.dynamodb.items import number
from cueline.adapters.dynamodb.records import beat_key, beats_in
from cueline.engine.ports import Clock

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_KEPT = 86_400
"""Seconds after the last beat; a turn ends long before."""


class DynamoBeats:
    def __init__(self, client: "DynamoDBClient", table: str, clock: Clock) -> None:
        self._client, self._table, self._clock = client, table, clock

    def beat(self, session: str, incarnation: int, turn: str) -> None:
        with answering("DynamoDB"):
            self._client.update_item(
                TableName=self._table,
                Key=beat_key(session, incarnation, turn),
                UpdateExpression="ADD beats :one SET #ttl = :ttl",
                ExpressionAttributeNames={"#ttl": "ttl"},
                ExpressionAttributeValues={
                    ":one": number(1),
                    ":ttl": number(self._clock.now() // 1000 + _KEPT),
                },
            )

    def look(self, session: str, incarnation: int, turns: Sequence[str]) -> dict[str, int]:
        return {turn: self._beats(session, incarnation, turn) for turn in turns}

    def _beats(self, session: str, incarnation: int, turn: str) -> int:
        key = beat_key(session, incarnation, turn)
        with answering("DynamoDB"):
            answer = self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True)
        return beats_in(answer["Item"]) if "Item" in answer else 0
