"""What AWS answers when it does not do what was asked."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as NoConnection

from cueline.errors import Unavailable

_BUSY = {
    "InternalServerError",
    "LimitExceededException",
    "OverLimit",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "ServiceQuotaExceededException",
    "ServiceUnavailable",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "TooManyRequestsException",
    "TransactionConflictException",
    "TransactionInProgressException",
}


def code_of(error: ClientError) -> str:
    return error.response.get("Error", {}).get("Code", "")


def details(error: ClientError) -> Mapping[str, Any]:
    """The answer's own fields, which the stubs do not know."""
    return {**error.response}


def busy(error: ClientError) -> bool:
    """The service did not answer in time, or asks to come back later."""
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return code_of(error) in _BUSY or status == 429 or status >= 500


@contextmanager
def answering(service: str) -> Iterator[None]:
    """Raises Unavailable where the client's own retries did not help. All else passes: bugs.

    After Unavailable a write may have happened nevertheless.
    """
    try:
        yield
    except (NoConnection, HTTPClientError) as error:
        raise Unavailable(f"{service} does not answer.") from error
    except ClientError as error:
        if busy(error):
            raise Unavailable(f"{service} is busy.") from error
        raise
