"""The AWS clients, all from one session; made when asked for, never at import."""

from functools import cache
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_sqs import SQSClient


@cache
def _session() -> boto3.Session:
    return boto3.Session()


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
    return _session().client("dynamodb", config=client_config())


def sqs_client() -> "SQSClient":
    return _session().client("sqs", config=client_config())


def secret(arn: str) -> str:
    """The secret's string: a model provider's API key."""
    client = _session().client("secretsmanager", config=client_config())
    return client.get_secret_value(SecretId=arn)["SecretString"]
