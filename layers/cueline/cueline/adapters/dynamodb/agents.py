"""Agents, one item each."""

from typing import TYPE_CHECKING

from cueline.adapters.answers import answering
from cueline.adapters.dynamodb.conflicts import FREE, UNCHANGED, ConditionFailed, settled
from cueline.adapters.dynamodb.items import (
    AGENTS,
    agent_from_item,
    agent_key,
    agent_to_item,
    attempt_of,
    number,
    version_of,
)
from cueline.adapters.dynamodb.query import listed
from cueline.engine.ports import Agent, Clock, Page
from cueline.errors import AgentExists, AgentNotFound

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


class DynamoAgents:
    def __init__(self, client: "DynamoDBClient", table: str, clock: Clock) -> None:
        self._client, self._table, self._clock = client, table, clock

    def create(self, agent: Agent) -> None:
        attempt = self._clock.id()
        item = agent_to_item(agent, attempt)
        try:
            settled(
                self._clock,
                lambda: self._client.put_item(
                    TableName=self._table,
                    Item=item,
                    ConditionExpression=FREE,
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                ),
            )
        except ConditionFailed as failed:
            found = failed.reasons[0].item
            if not found or attempt_of(found) != attempt:
                raise AgentExists(f"There is an agent {agent.key!r} already.") from None

    def get(self, key: str) -> Agent:
        with answering("DynamoDB"):
            answer = self._client.get_item(
                TableName=self._table, Key=agent_key(key), ConsistentRead=True
            )
        if "Item" not in answer:
            raise AgentNotFound(key)
        return agent_from_item(answer["Item"])

    def replace(self, agent: Agent) -> bool:
        attempt = self._clock.id()
        item = agent_to_item(agent, attempt)
        try:
            settled(
                self._clock,
                lambda: self._client.put_item(
                    TableName=self._table,
                    Item=item,
                    ConditionExpression=UNCHANGED,
                    ExpressionAttributeValues={":read": number(agent.version - 1)},
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                ),
            )
        except ConditionFailed as failed:
            found = failed.reasons[0].item
            return bool(
                found and version_of(found) == agent.version and attempt_of(found) == attempt
            )
        return True

    def delete(self, key: str) -> None:
        with answering("DynamoDB"):
            answer = self._client.delete_item(
                TableName=self._table, Key=agent_key(key), ReturnValues="ALL_OLD"
            )
        # Where the client tried more than once, a first try may have done it.
        if "Attributes" not in answer and not answer["ResponseMetadata"]["RetryAttempts"]:
            raise AgentNotFound(key)

    def list(self, limit: int, page_key: str | None) -> Page[Agent]:
        return listed(self._client, self._table, AGENTS, limit, page_key, agent_from_item)
