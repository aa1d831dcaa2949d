"""For every test."""

import logging
import os

import pytest
from hypothesis import HealthCheck, settings

# A slow machine fails nothing.
settings.register_profile("cueline", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("cueline")


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
