"""For every test."""

import logging

import pytest


@pytest.fixture(autouse=True)
def library_logs() -> None:
    """A handler's module turns this off for its process; tests want to see what was logged."""
    logging.getLogger("cueline").propagate = True
