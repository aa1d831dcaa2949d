"""How the AWS clients are made."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from cueline.adapters import aws


def test_threads_make_clients_one_after_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """botocore promises that for no session, and several threads may want a secret at once."""
    together = threading.Barrier(4)
    making, most = 0, 0

    class Session:
        def create_client(self, service: str, **_: object) -> str:
            nonlocal making, most
            making += 1
            most = max(most, making)
            time.sleep(0.01)
            making -= 1
            return service

    monkeypatch.setattr(aws, "_session", Session)

    def ask(service: str) -> object:
        together.wait(10)
        return aws._client(service)

    services = ["dynamodb", "sqs", "secretsmanager", "secretsmanager"]
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(ask, services)) == services
    assert most == 1
