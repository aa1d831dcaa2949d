"""The AWS clients, all from one session; made when asked for, never at import."""

import json
import threading
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any, cast

import botocore.session
from botocore.config import Config

if TYPE_CHECKING:
    from mypy_boto3_apigatewaymanagementapi import ApiGatewayManagementApiClient
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_scheduler import EventBridgeSchedulerClient
    from mypy_boto3_sqs import SQSClient

TOOL_SECONDS = 245
"""Just above the longest timeout that a tool may have."""
# Clients may be shared by threads; a session that makes them may not.
_making = threading.Lock()


@cache
def _session() -> botocore.session.Session:
    # boto3's own would import its file transfers, which every cold start would pay for.
    return botocore.session.get_session()


@cache
def client_config() -> Config:
    """Seconds. A fixed user agent and unchecked parameters save a tenth of the CPU of each call;
    the service checks parameters too."""
    return Config(
        retries={"mode": "standard", "total_max_attempts": 3},
        connect_timeout=2,
        read_timeout=5,
        max_pool_connections=50,
        tcp_keepalive=True,
        user_agent="cueline",
        parameter_validation=False,
    )


def dynamodb_client() -> "DynamoDBClient":
    client = _client("dynamodb")
    client.meta.events.register("before-parse.dynamodb", _as_it_is)
    return cast("DynamoDBClient", client)


def sqs_client() -> "SQSClient":
    return cast("SQSClient", _client("sqs"))


def scheduler_client() -> "EventBridgeSchedulerClient":
    return cast("EventBridgeSchedulerClient", _client("scheduler"))


def events_client() -> Any:
    """Of EventBridge."""
    return _client("events")


def lambda_client() -> "LambdaClient":
    """For tools: patient, and never sends a call twice, as it may have had its effect."""
    patient = Config(retries={"total_max_attempts": 1}, read_timeout=TOOL_SECONDS)
    return cast("LambdaClient", _client("lambda", client_config().merge(patient)))


def sockets_client(url: str) -> "ApiGatewayManagementApiClient":
    """For WebSockets, at the gateway's own `url`: hasty, and sends no frame twice by itself."""
    hasty = Config(retries={"total_max_attempts": 1}, connect_timeout=2, read_timeout=2)
    return cast(
        "ApiGatewayManagementApiClient",
        _client("apigatewaymanagementapi", client_config().merge(hasty), url),
    )


def secret(arn: str) -> str:
    """The secret's string, by its ARN or its name."""
    return str(_client("secretsmanager").get_secret_value(SecretId=arn)["SecretString"])


def _client(service: str, config: Config | None = None, url: str | None = None) -> Any:
    with _making:
        return _session().create_client(service, config=config or client_config(), endpoint_url=url)


def _as_it_is(
    response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: object
) -> None:
    """Takes a good answer's JSON as it is: no attribute of ours is binary.

    The client's parser would walk each value of each item, at half the price of a long window.
    """
    if response_dict["status_code"] < 300:
        with suppress(ValueError):  # no JSON: the parser says so
            customized_response_dict.update(json.loads(response_dict["body"]))
            response_dict["body"] = b"{}"
