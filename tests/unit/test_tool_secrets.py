"""Secrets that tools send: which ones, for how long, and that their values stay hidden."""

import pytest
from botocore.exceptions import ClientError

from cueline.adapters.tools.found import ToolError
from cueline.adapters.tools.guard import Network
from cueline.adapters.tools.secrets import Secrets, hidden
from tests.clock import FakeClock

URL = "https://api.example/orders"
A = "cueline/tools/api.example/a"
PUBLIC = Network()


def test_a_secret_is_read_once_in_five_minutes() -> None:
    asked: list[str] = []

    def read(name: str) -> str:
        asked.append(name)
        return f"value-{len(asked)}\n"

    clock = FakeClock(now=0)
    secrets = Secrets(read, "cueline/tools/", clock.monotonic)
    wanted = {"x-key": A}
    assert (
        secrets.headers(wanted, URL, PUBLIC)
        == secrets.headers(wanted, URL, PUBLIC)
        == {"x-key": "value-1"}
    )
    clock.ms += 300_000
    assert secrets.headers(wanted, URL, PUBLIC) == {"x-key": "value-2"}
    assert asked == [A] * 2


def test_a_secret_that_cannot_be_read_is_asked_for_again() -> None:
    answers: list[Exception | str] = [
        ClientError({"Error": {"Code": "ResourceNotFoundException"}}, "GetSecretValue"),
        "value",
    ]

    def read(_: str) -> str:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    secrets = Secrets(read, "cueline/tools/")
    with pytest.raises(ToolError, match=A):
        secrets.headers({"x": A}, URL, PUBLIC)
    assert secrets.headers({"x": A}, URL, PUBLIC) == {"x": "value"}


@pytest.mark.parametrize(
    "name",
    [
        "other/a",
        "cueline/token",
        "arn:aws:x:cueline/tools/api.example/a",
        "",
        "cueline/tools/a",
        "cueline/tools/other.example/a",
        "cueline/tools/api.example",
        "cueline/tools/api.example.evil/a",
    ],
)
def test_a_secret_is_sent_to_its_own_host_alone(name: str) -> None:
    with pytest.raises(ToolError, match=r"not for api\.example"):
        Secrets(str, "cueline/tools/").headers({"x": name}, URL, PUBLIC)


@pytest.mark.parametrize(
    ("url", "own"),
    [
        ("http://api.example/", ()),
        ("http://api.example:8080/", ("api.example:80",)),
        ("http://api.example/", ("10.0.0.0/8",)),
    ],
)
def test_a_secret_is_not_sent_in_the_clear(url: str, own: tuple[str, ...]) -> None:
    with pytest.raises(ToolError, match="https only"):
        Secrets(str, "cueline/tools/").headers({"x": A}, url, Network.of(own))


@pytest.mark.parametrize("own", ["api.example", "API.example:80"])
def test_a_deployments_own_network_may_have_it_in_the_clear(own: str) -> None:
    secrets = Secrets(lambda _: "value", "cueline/tools/")
    assert secrets.headers({"x": A}, "http://api.example/", Network.of([own])) == {"x": "value"}


def test_a_secret_that_is_no_header_is_not_shown() -> None:
    with pytest.raises(ToolError, match="no header") as error:
        Secrets(lambda _: "hunter2\r\nx: y", "cueline/tools/").headers({"x": A}, URL, PUBLIC)
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize(
    ("value", "said", "read"),
    [
        ("hush", "hush, hush", "[secret], [secret]"),
        ("Bearer sk-live-123", "Incorrect key: sk-live-123", "Incorrect key: [secret]"),
        ("Bearer sk-live-123", "Got Bearer sk-live-123.", "Got [secret]."),
        ('key="a/b\\c"', r'{"sent": "key=\"a/b\\c\""}', '{"sent": "[secret]"}'),
        ('key="a/b\\c"', r'{"sent": "key=\"a\/b\\c\""}', '{"sent": "[secret]"}'),
        ("Basic aGFyb2xkLXNtaXRoOmMwcnJlY3QtaG9yc2U=", "No harold-smith", "No [secret]"),
        ("Basic aGFyb2xkLXNtaXRoOmMwcnJlY3QtaG9yc2U=", "c0rrect-horse?", "[secret]?"),
        ("Basic aGFyb2xkLXNtaXRoOmMwcnJlY3QtaG9yc2U=", "harold-smith:c0rrect-horse", "[secret]"),
        ("basic Zm9vOmJhcg==", "foo, bar, Zm9vOmJhcg==", "foo, bar, [secret]"),
        ("Bearer sk/live/123", "/?key=sk%2Flive%2F123", "/?key=[secret]"),
        ("Basic no*base64", "no*base64", "[secret]"),
        ("Token a", "a Token a", "a [secret]"),
        ("", "nothing", "nothing"),
    ],
)
def test_a_secret_is_hidden_in_whatever_form_it_comes_back(
    value: str, said: str, read: str
) -> None:
    assert hidden(said, [value]) == read
