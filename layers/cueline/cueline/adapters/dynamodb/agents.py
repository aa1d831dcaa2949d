"""Agents, one item each."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from cueline.adapters.answers import answering
from cueline.adapters.dynamodb.conflicts import FREE, UNCHANGED, put
from cueline.adapters.dynamodb.items import Item, number
from cueline.adapters.dynamodb.query import listed
from cueline.adapters.dynamodb.records import AGENTS, agent_from_item, agent_key, agent_to_item
from cueline.engine.agent import Agent
from cueline.engine.ports import Clock, Page
from cueline.errors import AgentExists, AgentNotFound

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


class DynamoAgents:
    def __init__(self, client: "DynamoDBClient", table: str, clock: Clock) -> None:
        self._client, self._table, self._clock = client, table, clock

    def create(self, agent: Agent) -> None:
        if not self._put(agent, FREE):
            raise AgentExists(f"There is an agent {agent.key!r} already.")

    def get(self, key: str) -> Agent:
        with answering("DynamoDB"):
            answer = self._client.get_item(
                TableName=self._table, Key=agent_key(key), ConsistentRead=True
            )
        if "Item" not in answer:
            raise AgentNotFound(key)
        return agent_from_item(answer["Item"])

    def replace(self, agent: Agent) -> bool:
        return self._put(agent, UNCHANGED, {":read": number(agent.version - 1)})

    def _put(self, agent: Agent, condition: str, values: Mapping[str, Item] | None = None) -> bool:
        item = agent_to_item(agent, self._clock.id())
        return put(self._client, self._clock, self._table, item, condition, values)

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
