"""The shared client: one a process, through the environment's proxy, and patient to a point."""

import time

import httpcore2
import pytest

from cueline.adapters.openai.chat import chat_model
from cueline.adapters.openai.client import Patience, _proxy, shared_client, unique_call


def test_both_apis_share_one_client_a_process() -> None:
    one = shared_client("key", "http://127.0.0.1:9/v1")
    assert one is shared_client("key", "http://127.0.0.1:9/v1")
    assert one is not shared_client("other", "http://127.0.0.1:9/v1")
    assert one.max_retries == 0


def test_a_model_never_shows_its_key() -> None:
    assert "sk-secret" not in repr(chat_model(api_key="sk-secret", base_url="http://127.0.0.1:9"))


@pytest.mark.parametrize(
    ("base_url", "proxy"),
    [
        ("https://api.openai.com/v1", "http://proxy.example:3128"),
        ("https://models.inside.example/v1", None),
        ("http://127.0.0.1:8801/v1", None),
        ("http://localhost:8801/v1", None),
        ("http://plain.example/v1", None),
    ],
)
def test_the_environments_proxy(
    base_url: str, proxy: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "NO_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("no_proxy", "inside.example")
    assert _proxy(base_url) == proxy


def test_patience_shrinks_towards_the_deadline_and_ends() -> None:
    patience = Patience(60.0, time.monotonic() + 5)
    assert 4 < patience.left() <= 5
    patience.idle = 1.0
    assert patience.left() == 1.0
    patience.end()
    with pytest.raises(httpcore2.ReadTimeout):
        patience.left()


def test_call_ids_are_unique_in_an_answer() -> None:
    seen = set[str]()
    made = [unique_call(call, seen) for call in ("a", "a", "", "", "b")]
    assert len(set(made)) == 5
    assert (made[0], made[-1]) == ("a", "b")
