"""One suite, run on memory and on DynamoDB (moto, in process)."""

from collections.abc import Iterator

import pytest

from cueline.engine.background import Background
from cueline.engine.listeners import Connections
from cueline.engine.ports import Ports
from tests.contract.backends import BACKENDS, Backend, dynamodb


@pytest.fixture(params=list(BACKENDS))
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    with BACKENDS[request.param]() as made:
        yield made


@pytest.fixture
def table() -> Iterator[Backend]:
    """For what only DynamoDB has."""
    with dynamodb() as made:
        yield made


@pytest.fixture
def ports(backend: Backend) -> Ports:
    return backend.ports


@pytest.fixture
def connections(backend: Backend) -> Connections:
    return backend.connections


@pytest.fixture
def background(backend: Backend) -> Background:
    return backend.background
