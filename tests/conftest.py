"""For every test."""

import logging
import os

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadGroupScheduling  # type: ignore[import-untyped]

# A slow machine fails nothing.
settings.register_profile("cueline", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("cueline")


class OneStack(LoadGroupScheduling):  # type: ignore[misc]  # xdist has no types
    """All that needs the local stack goes to one worker: two cores have no room for two of it.

    So does all that judges one run of the bench.
    """

    def _split_scope(self, nodeid: str) -> str:
        # By the path, not by a mark: some pairs of pytest and xdist lose that on the way here.
        return next((path for path in ("tests/e2e/", "tests/bench/") if path in nodeid), nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> OneStack:
    return OneStack(config, log)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a developer has set for other work decides nothing here, and reaches no cloud."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "OPENAI_", "MODEL_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture(autouse=True)
def library_logs() -> None:
    """A handler's module turns this off for its process; tests want to see what was logged."""
    logging.getLogger("cueline").propagate = True
