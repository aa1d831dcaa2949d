"""The environment as one frozen model, which fails by name; nothing else reads the environment."""

import json
import os
import re
from ipaddress import ip_network
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, Json, SecretStr, field_validator, model_validator

from cueline.engine.agent import Caps
from cueline.engine.prices import Price

ORIGIN = re.compile(r"https?://[^\s/,*?#@]+")
# A host's name or address, and perhaps a port.
HOST = re.compile(r"([\w-]+(\.[\w-]+)*\.?|\[[0-9a-fA-F:.]+\])(:\d{1,5})?")
LOOPBACK = {"127.0.0.1", "localhost", "::1"}


STANDARD_LIMITS = {"model_calls": 50, "tool_calls": 100, "seconds": 1_800}
"""Of a turn, where the deployment says nothing else; null is no limit."""


class Settings(BaseModel):
    """Names are those of the environment variables, in lower case."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    table_name: str
    wake_ups_url: str
    wake_ups_arn: str = ""
    """With the next three, for what is to be said at a time that is farther away than 15 minutes;
    without them it is refused."""
    schedule_group: str = ""
    schedule_role_arn: str = ""
    """The role that sends a wake-up when its time has come."""
    schedules_failed_arn: str = ""
    """Where it goes if it cannot be sent."""
    intake_arn: str = ""
    """Of the queue that schedules of triggers send to; without it they are refused."""
    bus_name: str = ""
    """Of EventBridge, where it is told what has become of turns and runs; without it nowhere."""
    connections_url: str = ""
    """What clients dial, wss://, for a WebSocket."""
    sockets_url: str = ""
    """Of API Gateway's @connections, which reach open WebSockets; without it nobody listens while
    something is said."""
    auth: Literal["on", "off"] = "on"
    token_secret_arn: str = ""
    """Of the secret that signs access tokens."""
    allowed_origins: frozenset[str] = frozenset()
    """Of web pages that may call the doors; separated by commas."""
    agent_cache_seconds: float = Field(default=5.0, ge=0)
    lease_seconds: int = Field(default=30, ge=2, le=900)
    """A turn whose heartbeat stands still this long may be taken over."""
    turn_seconds: float = Field(default=280.0, gt=0)
    """A turn ends, with a failure if it must, within this time."""
    wait_seconds: float = Field(default=55.0, gt=0)
    """How long a JSON answer may take; published clients stop reading after 60."""
    stream_seconds: float = Field(default=840.0, gt=0)
    """How long a streamed answer may take; the function ends after 900."""
    window_bytes: int = Field(default=400_000, gt=0)
    """Of the log, as stored, that a turn reads back and a model call may carry."""
    model_api: Literal["responses", "chat"] = "responses"
    model_name: str = ""
    """Stands for every agent's own model name, where the provider has but one."""
    default_model: str = ""
    """Of agents that name none."""
    model_parameters: Json[dict[str, Any]] = Field(default_factory=dict)
    """Under every agent's own parameters."""
    model_prices: Json[dict[str, Price]] = Field(default_factory=dict)
    """By the start of a model's name; `*` is for all others."""
    limits: Caps = Field(default="{}", validate_default=True)
    """What may be used up before the model is not called any more."""
    model_secret_arn: str = ""
    openai_base_url: str = ""
    openai_api_key: SecretStr = SecretStr("")
    tool_network: frozenset[str] = frozenset()
    """What tools may reach beside the public internet; separated by commas."""
    aws_endpoint_url: str = ""
    aws_lambda_runtime_api: str = ""
    """Set by Lambda, which stops a process between a response and the next request."""

    @field_validator("limits", mode="before")
    @classmethod
    def _over_the_standard(cls, given: object) -> object:
        if not isinstance(given, str):
            return given
        limits = json.loads(given)
        return {**STANDARD_LIMITS, **limits} if isinstance(limits, dict) else limits

    @field_validator("allowed_origins", mode="before")
    @classmethod
    def _listed(cls, given: object) -> object:
        if not isinstance(given, str):
            return given
        # Browsers send an origin in lower case, and without a path.
        origins = frozenset(origin.strip().lower() for origin in given.split(","))
        if not all(map(ORIGIN.fullmatch, origins)):
            raise ValueError("ALLOWED_ORIGINS are such as https://example.com,https://example.org")
        return origins

    @field_validator("tool_network", mode="before")
    @classmethod
    def _reachable(cls, given: object) -> object:
        if not isinstance(given, str):
            return given
        parts = frozenset(part.strip() for part in given.split(","))
        if not all(map(_is_reachable, parts)):
            raise ValueError("TOOL_NETWORK is such as api.internal,api.internal:8080,10.0.0.0/16")
        return parts

    @model_validator(mode="after")
    def _open_on_loopback_only(self) -> Self:
        if self.auth == "off" and urlsplit(self.aws_endpoint_url).hostname not in LOOPBACK:
            raise ValueError("AUTH=off is for a local stack, where AWS_ENDPOINT_URL is loopback")
        return self


def _is_reachable(part: str) -> bool:
    try:
        # All addresses at once would be the end of the guard.
        return ip_network(part, strict=False).prefixlen > 0
    except ValueError:
        return bool(HOST.fullmatch(part))


def from_environment() -> Settings:
    names = {name.upper(): name for name in Settings.model_fields}
    # An empty variable is one that is not set: a template cannot leave one out.
    given = {names[key]: value for key, value in os.environ.items() if key in names and value}
    return Settings.model_validate(given)
