"""The deployment's own secrets, as Secrets Manager has them."""

import logging

from botocore.exceptions import BotoCoreError, ClientError

from cueline.adapters import aws
from cueline.errors import ModelError, Unavailable, unexpected

SHORTEST = 32
"""Bytes of the one that signs. Whoever guesses it comes in."""

logger = logging.getLogger(__name__)


def of_signing(arn: str) -> bytes:
    """Raises Unavailable."""
    try:
        secret = aws.secret(arn).encode()
    except (BotoCoreError, ClientError) as error:
        logger.warning("The secret that signs tokens cannot be read", extra=unexpected(error))
        raise Unavailable("Access tokens and secrets cannot be checked at the moment.") from None
    if len(secret) < SHORTEST:
        logger.error("The secret that signs tokens is too short")
        raise Unavailable("Access tokens and secrets cannot be checked at the moment.")
    return secret


def of_model(arn: str) -> str:
    """The provider's key; raises ModelError."""
    try:
        return aws.secret(arn)
    except (BotoCoreError, ClientError) as error:
        logger.error("The model's secret cannot be read", extra=unexpected(error))  # noqa: TRY400
        raise ModelError(
            "model_unauthorized",
            "This deployment cannot read the secret with its model provider's key.",
            retryable=False,
        ) from None
