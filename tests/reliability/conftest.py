"""One base for all of a session: starting it takes longer than most tests."""

from collections.abc import Iterator

import pytest

from tests.reliability.stack import Base, base


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Base]:
    with base(tmp_path_factory.mktemp("reliability")) as made:
        yield made
