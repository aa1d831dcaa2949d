"""The only place that picks adapters. Everything is made once, when it is first asked for."""

from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from cueline import start
from cueline.adapters import aws, secrets
from cueline.adapters.cached import CachedAgents, CachedKeys
from cueline.adapters.clock import SystemClock
from cueline.adapters.dynamodb.agents import DynamoAgents
from cueline.adapters.dynamodb.beats import DynamoBeats
from cueline.adapters.dynamodb.customers import DynamoCustomers
from cueline.adapters.dynamodb.items import heard_segment, session_from_item
from cueline.adapters.dynamodb.keys import DynamoKeys
from cueline.adapters.dynamodb.log import DynamoLog
from cueline.adapters.dynamodb.sessions import DynamoSessions
from cueline.adapters.dynamodb.spending import DynamoSpending
from cueline.adapters.dynamodb.sweeper import DynamoSweeper
from cueline.adapters.schedules import EventBridgeSchedules
from cueline.adapters.sqs import SqsWakeUps, wake_up_from_json
from cueline.doors.access import Access
from cueline.doors.cors import Cors
from cueline.engine.listeners import NOBODY
from cueline.engine.ports import Ports
from cueline.engine.tools import Toolbox
from cueline.settings import Settings, from_environment

if TYPE_CHECKING:
    from mypy_boto3_apigatewaymanagementapi import ApiGatewayManagementApiClient
    from mypy_boto3_dynamodb import DynamoDBClient

    # Only functions that run turns pay for the import of what does.
    from cueline.doors.agent_events.hosting import Hosting
    from cueline.doors.client_commands.broadcast import Broadcast
    from cueline.doors.client_commands.realtime import Realtime
    from cueline.doors.triggered_responses.following import Following
    from cueline.engine.background import Background
    from cueline.engine.failures import Failures
    from cueline.engine.limits import Limits
    from cueline.engine.listeners import Listeners, Speech
    from cueline.engine.model import Model
    from cueline.engine.worker import Worker

__all__ = ["heard_segment", "session_from_item", "wake_up_from_json"]

start.imported()

KEY_SECONDS = 60.0
MODEL_SECONDS = 300.0
SECRET_SECONDS = 300.0
IDLE_SECONDS = 50.0
"""Without a byte from the provider. Less than a caller in JSON waits, so that it hears of it."""


@dataclass(frozen=True, slots=True)
class Door:
    """What an HTTP door stands on. `access` is None where it is not checked."""

    ports: Ports
    access: Access | None
    lease: int = 30
    """Seconds after which a turn whose host is silent may be taken over."""


settings = cache(from_environment)


@cache
@start.nothing_collected()
def ports() -> Ports:
    given, clock, dynamodb = settings(), SystemClock(), _dynamodb()
    keys = DynamoKeys(dynamodb, given.table_name, clock)
    return Ports(
        log=DynamoLog(dynamodb, given.table_name, clock),
        agents=DynamoAgents(dynamodb, given.table_name, clock),
        sessions=DynamoSessions(dynamodb, given.table_name, clock),
        beats=DynamoBeats(dynamodb, given.table_name, clock),
        sweeper=DynamoSweeper(dynamodb, given.table_name),
        wake_ups=SqsWakeUps(aws.sqs_client(), given.wake_ups_url),
        keys=CachedKeys(keys, clock, KEY_SECONDS),
        spending=DynamoSpending(dynamodb, given.table_name, clock),
        customers=DynamoCustomers(dynamodb, given.table_name, clock),
        schedules=EventBridgeSchedules(
            cache(aws.scheduler_client),
            given.schedule_group,
            given.schedule_role_arn,
            given.wake_ups_arn,
            given.schedules_failed_arn,
        ),
        clock=clock,
    )


@cache
def _dynamodb() -> "DynamoDBClient":
    return aws.dynamodb_client()


def rest() -> Door:
    """A door that calls no model."""
    return Door(ports(), access(), settings().lease_seconds)


@cache
@start.nothing_collected()
def hosting() -> "Hosting":
    """Door 1, where its callers wait for the answer."""
    from cueline.doors.agent_events.hosting import Hosting
    from cueline.engine.inline import Inline

    given = settings()
    inline = Inline(_turn_ports(), model, _limits(given))
    return Hosting(_turn_ports(), access(), inline, given.wait_seconds, given.stream_seconds)


def following() -> "Following":
    """Door 2's list of events, whose callers may wait."""
    # Who posts through door 1 does not pay for the import of this one.
    from cueline.doors.triggered_responses.following import Following

    door, given = rest(), settings()
    return Following(door.ports, door.access, given.wait_seconds, given.stream_seconds)


@cache
@start.nothing_collected()
def realtime() -> "Realtime":
    """Door 3, whose clients hold a WebSocket open."""
    from cueline.adapters.dynamodb.connections import DynamoConnections
    from cueline.adapters.sockets import GatewaySockets
    from cueline.doors.client_commands.realtime import Realtime

    given = settings()
    return Realtime(
        ports=ports(),
        connections=DynamoConnections(_dynamodb(), given.table_name, ports().clock),
        sockets=GatewaySockets(sockets_client),
        access=access(),
        url=given.connections_url,
        origins=given.allowed_origins,
        lease=given.lease_seconds,
    )


@cache
@start.nothing_collected()
def background() -> "Background":
    """What door 4 stands on beside the ports of all."""
    from cueline.adapters.bus import EventBridgeBus
    from cueline.adapters.dynamodb import background as dynamo
    from cueline.adapters.firings import EventBridgeFirings
    from cueline.engine.background import Background

    given = settings()
    stored = _dynamodb(), given.table_name, ports().clock
    return Background(
        triggers=dynamo.DynamoTriggers(*stored),
        kept=dynamo.DynamoKeptSessions(*stored),
        runs=dynamo.DynamoRuns(*stored),
        deliveries=dynamo.DynamoDeliveries(*stored),
        firings=EventBridgeFirings(
            cache(aws.scheduler_client),
            given.schedule_group,
            given.schedule_role_arn,
            given.intake_arn,
            given.schedules_failed_arn,
        ),
        bus=EventBridgeBus(cache(aws.events_client), given.bus_name),
    )


@cache
@start.nothing_collected()
def sockets_client() -> "ApiGatewayManagementApiClient":
    return aws.sockets_client(settings().sockets_url)


@cache
@start.nothing_collected()
def broadcast() -> "Broadcast":
    from cueline.doors.client_commands.broadcast import Broadcast

    sockets_client()  # not by each of the threads that want to send at once
    return Broadcast(realtime())


@cache
@start.nothing_collected()
def worker() -> "Worker":
    from cueline.engine.worker import Worker

    return Worker(_turn_ports(), model, _limits(settings()))


@cache
def failures() -> "Failures":
    from cueline.engine.failures import Failures

    return Failures(ports(), settings().lease_seconds)


@cache
def _turn_ports() -> Ports:
    """Turns use what they know of an agent for a while; only they do."""
    agents = CachedAgents(ports().agents, ports().clock, settings().agent_cache_seconds)
    listeners = _Live() if settings().sockets_url else NOBODY
    return replace(ports(), agents=agents, toolbox=_toolbox(), listeners=listeners)


class _Live:
    """Turns that nobody listens to, which are most, do not pay for what tells listeners."""

    def speech(self, session: str, incarnation: int, turn: str) -> "Speech":
        return _live_listeners().speech(session, incarnation, turn)


@cache
@start.nothing_collected()
def _live_listeners() -> "Listeners":
    from cueline.doors.client_commands.speech import LiveListeners

    sockets_client()
    return LiveListeners(realtime())


def _toolbox() -> Toolbox:
    from cueline.adapters.tools.secrets import Secrets
    from cueline.adapters.tools.toolbox import ConfiguredToolbox

    given = settings()
    secrets = Secrets(aws.secret)
    return ConfiguredToolbox(given.tool_network, secrets, cache(aws.lambda_client))


def model() -> "Model":
    """Made anew now and then, so that a key that was changed in Secrets Manager comes into use."""
    return _model(int(ports().clock.monotonic() // MODEL_SECONDS))


@lru_cache(maxsize=1)
@start.nothing_collected()
def _model(_: int) -> "Model":
    # Only functions that call a model pay for the import of its client.
    from cueline.adapters.openai.chat import chat_model
    from cueline.adapters.openai.responses import responses_model

    given = settings()
    make = responses_model if given.model_api == "responses" else chat_model
    return make(
        api_key=_api_key(given),
        base_url=given.openai_base_url or None,
        idle_seconds=IDLE_SECONDS,
    )


def _api_key(given: Settings) -> str:
    """From Secrets Manager on AWS, from the environment elsewhere; some servers need none."""
    if given.model_secret_arn:
        return secrets.of_model(given.model_secret_arn)
    return given.openai_api_key.get_secret_value() or "none"


def _limits(given: Settings) -> "Limits":
    from cueline.engine.limits import Limits
    from cueline.engine.prices import Prices

    return Limits(
        lease=given.lease_seconds,
        turn=given.turn_seconds,
        window_bytes=given.window_bytes,
        freezes=bool(given.aws_lambda_runtime_api),
        caps=given.limits,
        prices=Prices(given.model_prices),
        model_name=given.model_name,
        model_parameters=given.model_parameters,
        default_model=given.default_model,
    )


def access() -> Access | None:
    """None where access is not checked."""
    if settings().auth == "off":
        return None
    return Access(ports().keys, ports().clock, signing_secret)


@cache
def cors() -> Cors:
    return Cors(settings().allowed_origins)


def signing_secret() -> bytes:
    """Signs access tokens; from it the secrets of triggers are derived. Raises Unavailable."""
    return _read_signing_secret(int(ports().clock.monotonic() // SECRET_SECONDS))


@lru_cache(maxsize=1)
def _read_signing_secret(_: int) -> bytes:
    return secrets.of_signing(settings().token_secret_arn)
