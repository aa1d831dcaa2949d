"""One log of JSON lines a function, to which the library's own loggers write too."""

import logging

from aws_lambda_powertools import Logger


def function_logger() -> Logger:
    """Call it once, in the handler's module."""
    made = Logger()
    library = logging.getLogger("cueline")
    library.handlers = [made.registered_handler]
    library.setLevel(logging.INFO)
    # Lambda's own root handler would write everything a second time.
    library.propagate = False
    # They log the model provider's URL with each call, and Lambda's root logger listens at INFO.
    for name in ("openai", "httpx2", "httpcore2"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return made
