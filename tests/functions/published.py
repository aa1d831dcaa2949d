"""What door 2's published clients need of an answer: these keys, none of them null.

Seen by taking answers apart in front of both clients; see the contract of the door.
"""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict


class _Answer(BaseModel):
    """Other keys are kept by the clients."""

    model_config = ConfigDict(extra="allow")


class Agent(_Answer):
    id: str
    name: str
    composition_mode: str
    message_output_mode: str
    description: str | None = None
    max_engine_iterations: int | None = None
    tags: list[str] | None = None


class Customer(_Answer):
    id: str
    creation_utc: datetime
    name: str
    metadata: dict[str, str]
    tags: list[str]


class Consumed(_Answer):
    client: int


class Session(_Answer):
    id: str
    agent_id: str
    customer_id: str
    creation_utc: datetime
    mode: str
    consumption_offsets: Consumed
    metadata: dict[str, Any]
    title: str | None = None
    labels: list[str] | None = None


class Guideline(_Answer):
    id: str
    condition: str
    tags: list[str]
    metadata: dict[str, Any]
    action: str | None = None
    description: str | None = None
    criticality: str | None = None
    enabled: bool | None = None
    composition_mode: str | None = None
    track: bool | None = None
    labels: list[str] | None = None
    priority: int | None = None


class GuidelineRead(_Answer):
    guideline: Guideline
    relationships: list[Any]
    tool_associations: list[Any]


class Customers(_Answer):
    items: list[Customer]
    total_count: int
    has_more: bool
    next_cursor: str | None = None


class Sessions(_Answer):
    items: list[Session]
    total_count: int
    has_more: bool
    next_cursor: str | None = None


class Problem(_Answer):
    """One of a 422 for what does not fit the schema."""

    loc: list[str | int]
    msg: str
    type: str


class Refusal(_Answer):
    detail: str | list[Problem]
