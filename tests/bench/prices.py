"""What a million turns cost at AWS list prices; the model's tokens are not in it."""

from collections.abc import Iterator
from dataclasses import dataclass

from local import template
from tests.bench.calls import Counted
from tests.bench.report import Row

PRICED = "2026-11-21"
REGION = "us-east-1"
PRICES = {
    # aws.amazon.com/lambda/pricing: x86, first tier
    "Lambda, a GB-second": 0.0000166667,
    "Lambda, a request": 0.20e-6,
    # aws.amazon.com/api-gateway/pricing: REST, first 333 million
    "API Gateway, a request": 3.50e-6,
    # aws.amazon.com/dynamodb/pricing/on-demand: standard table class
    "DynamoDB, a write unit": 0.625e-6,
    "DynamoDB, a read unit": 0.125e-6,
    # aws.amazon.com/sqs/pricing: standard queue, after the first million a month
    "SQS, a request": 0.40e-6,
}
"""Dollars in REGION at PRICED. Free tiers, logs, traces and data transfer are not counted."""

SQS_REQUESTS = 3
"""Of a wake-up: sent, received, deleted. What the poller asks of an empty queue comes on top."""
NETWORK_SECONDS = 0.02
"""What five calls take in a region: a guess, and part of every turn's time."""


@dataclass(frozen=True)
class Turn:
    """What one turn was seen to need."""

    what: str
    inline: Counted
    wake_up: Counted
    """The look of the worker at the session that its turn's own wake-up brings."""
    model_seconds: float
    cpu_seconds: float
    wake_up_cpu_seconds: float


def rows(turn: Turn) -> Iterator[Row]:
    hosted = turn.model_seconds + turn.cpu_seconds + NETWORK_SECONDS
    looked = turn.wake_up_cpu_seconds + NETWORK_SECONDS / 4
    written = turn.inline.written + turn.wake_up.written
    read = turn.inline.read + turn.wake_up.read
    sends = turn.inline.sqs + turn.wake_up.sqs
    parts = {
        "Lambda, GB-seconds": PRICES["Lambda, a GB-second"]
        * (hosted * _gigabytes("AgentEventsFunction") + looked * _gigabytes("WorkerFunction")),
        "Lambda, requests": 2 * PRICES["Lambda, a request"],
        "API Gateway": PRICES["API Gateway, a request"],
        "DynamoDB, writes": written * PRICES["DynamoDB, a write unit"],
        "DynamoDB, reads": read * PRICES["DynamoDB, a read unit"],
        "SQS": sends * SQS_REQUESTS * PRICES["SQS, a request"],
    }
    million = {name: 1e6 * dollars for name, dollars in parts.items()}
    note = f"of these Lambda's wait for a model that takes {turn.model_seconds} s: "
    waiting = turn.model_seconds * _gigabytes("AgentEventsFunction")
    note += f"{1e6 * waiting * PRICES['Lambda, a GB-second']:.2f}"
    topic = f"A million turns, in dollars at list prices ({REGION}, {PRICED}, without model tokens)"
    yield Row(topic, turn.what, sum(million.values()), "$", note=note, also=million)


def _gigabytes(function: str) -> float:
    told = template.load()
    properties = told["Resources"][function]["Properties"]
    size = properties.get("MemorySize", told["Globals"]["Function"]["MemorySize"])
    return float(size) / 1024
