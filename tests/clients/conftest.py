"""Published clients, unchanged, against whatever serves at CUELINE_URL."""

import importlib.util
import os
import uuid

import pytest

if importlib.util.find_spec("vectara") is None:
    collect_ignore_glob = ["test_*.py"]  # this is not the clients' environment


@pytest.fixture(scope="session")
def url() -> str:
    if not (url := os.environ.get("CUELINE_URL", "")):
        pytest.fail("Set CUELINE_URL to a running Cueline, such as http://127.0.0.1:8800")
    return url


@pytest.fixture
def unique() -> str:
    """A key that no other test and no earlier run has used."""
    return f"t-{uuid.uuid4().hex[:20]}"
