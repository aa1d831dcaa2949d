"""Hostile conditions, and what a process is started with."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.reliability.aws import REGION

LEDGER = "ledger"
"""The file of a stack in which its tools leave a line for each of their runs."""


@dataclass(frozen=True)
class Conditions:
    """What a process has to live with. Chances are from 0 to 1, times in seconds."""

    name: str = "normal"
    lease: int = 1
    doubled: bool = False
    """Every wake-up is delivered twice, perhaps to two workers at once."""
    beats: bool = True
    throttled: float = 0.0
    """Calls of DynamoDB that are refused for now."""
    lost: float = 0.0
    """Calls whose answer is lost after they were done; of some the connection is lost too."""
    skew: float = 0.0
    """How far the clocks of two processes may be apart."""
    failing: float = 0.0
    """Model calls that fail, in every way that the practice model knows."""
    sockets: str = ""
    """What whoever tells listeners something finds: `gone`, `busy`, or `hanging` connections."""
    patience: int = 20
    """How long a door lets a caller wait."""


@dataclass(frozen=True)
class Stop:
    """A process that handles `session` stops itself, once, before its step number `step`."""

    session: str
    step: int
    by: str
    """SIGKILL; or SIGSTOP, after which it goes on later."""


@dataclass(frozen=True)
class Given:
    """What a process is started with."""

    name: str
    aws: str
    model: str
    gateway: str
    """Base URLs."""
    table: str
    queue: str
    folder: str
    """For what outlives the process."""
    conditions: Conditions = field(default_factory=Conditions)
    stops: tuple[Stop, ...] = ()
    steps_of: str = ""
    """The steps that are made for this session are written down."""
    seed: int = 0

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> "Given":
        conditions = Conditions(**told["conditions"])
        stops = tuple(Stop(**stop) for stop in told["stops"])
        return cls(**{**told, "conditions": conditions, "stops": stops})


def environment(given: Given) -> dict[str, str]:
    return {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ENDPOINT_URL": given.aws,
        "AWS_EC2_METADATA_DISABLED": "true",
        "TABLE_NAME": given.table,
        "WAKE_UPS_URL": given.queue,
        "AUTH": "off",
        "WAIT_SECONDS": str(given.conditions.patience),
        "STREAM_SECONDS": str(given.conditions.patience),
        "TURN_SECONDS": "8",
        "LEASE_SECONDS": "2",
        "OPENAI_BASE_URL": f"{given.model}/v1",
        "POWERTOOLS_LOG_LEVEL": "WARNING",
        "SOCKETS_URL": sockets_url(given),
    }


def sockets_url(given: Given) -> str:
    how = given.conditions.sockets
    return f"{given.gateway}/{given.table}/{how}" if how else ""
