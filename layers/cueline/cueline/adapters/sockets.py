"""The gateway's end of open WebSockets, by its management API."""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as NoConnection

from cueline.adapters.answers import busy, code_of
from cueline.engine.listeners import Sent

if TYPE_CHECKING:
    from mypy_boto3_apigatewaymanagementapi import ApiGatewayManagementApiClient

_log = logging.getLogger(__name__)


class GatewaySockets:
    def __init__(self, client: "Callable[[], ApiGatewayManagementApiClient]") -> None:
        """`client` is asked for at the first frame: most processes never send one."""
        self._client = client

    def send(self, gateway: str, frame: str) -> Sent:
        return self._tried(
            f"WebSocket {gateway} did not take a frame",
            lambda: self._client().post_to_connection(ConnectionId=gateway, Data=frame.encode()),
        )

    def close(self, gateway: str) -> Sent:
        return self._tried(
            f"WebSocket {gateway} was not closed",
            lambda: self._client().delete_connection(ConnectionId=gateway),
        )

    def _tried(self, otherwise: str, call: Callable[[], object]) -> Sent:
        try:
            call()
        except Exception as error:
            if _gone(error):
                return "gone"
            # Never the error itself: what it says may be what was being sent.
            reason = code_of(error) if isinstance(error, ClientError) else type(error).__name__
            level = logging.WARNING if _passes(error) else logging.ERROR
            _log.log(level, "%s: %s", otherwise, reason)
            return "busy"
        return "sent"


def _gone(error: Exception) -> bool:
    if not isinstance(error, ClientError):
        return False
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return code_of(error) == "GoneException" or status == 410


def _passes(error: Exception) -> bool:
    """By itself; anything else is a mistake in how this is deployed or made."""
    if isinstance(error, ClientError):
        return busy(error)
    return isinstance(error, NoConnection | HTTPClientError)
