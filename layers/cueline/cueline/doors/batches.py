"""Batches of messages; apart from the logs, since no HTTP door has to import them."""

import logging
from typing import Any

from aws_lambda_powertools.utilities.batch import BatchProcessor

from cueline.errors import unexpected

logger = logging.getLogger(__name__)


class LoggedBatch(BatchProcessor):
    """Says why a record failed, which otherwise only its coming again would tell."""

    def failure_handler(self, record: Any, exception: Any) -> Any:
        logger.error("A record failed and comes again", extra=unexpected(exception[1]))
        return super().failure_handler(record, exception)
