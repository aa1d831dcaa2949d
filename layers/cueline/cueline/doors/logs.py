"""One log of JSON lines a function, to which the library's own loggers write too."""

import logging
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.batch import BatchProcessor

from cueline.errors import unexpected

logger = logging.getLogger(__name__)


def function_logger() -> Logger:
    """Call it once, in the handler's module."""
    made = Logger()
    library = logging.getLogger("cueline")
    library.handlers = [made.registered_handler]
    library.setLevel(logging.INFO)
    # Lambda's own root handler would write everything a second time.
    library.propagate = False
    return made


class LoggedBatch(BatchProcessor):
    """Says why a record failed, which otherwise only its coming again would tell."""

    def failure_handler(self, record: Any, exception: Any) -> Any:
        logger.error("A record failed and comes again", extra=unexpected(exception[1]))
        return super().failure_handler(record, exception)
