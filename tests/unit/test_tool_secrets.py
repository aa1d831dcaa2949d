"""Secrets that tools send: which ones, for how long, and that their values stay hidden."""

import pytest
from botocore.exceptions import ClientError

from cueline.adapters.tools.found import ToolError
from cueline.adapters.tools.secrets import Secrets
from tests.clock import FakeClock


def test_a_secret_is_read_once_in_five_minutes() -> None:
    asked: list[str] = []

    def read(name: str) -> str:
        asked.append(name)
        return f"value-{len(asked)}\n"

    clock = FakeClock(now=0)
    secrets = Secrets(read, "cueline/tools/", clock.monotonic)
    wanted = {"x-key": "cueline/tools/a"}
    assert secrets.headers(wanted) == secrets.headers(wanted) == {"x-key": "value-1"}
    clock.ms += 300_000
    assert secrets.headers(wanted) == {"x-key": "value-2"}
    assert asked == ["cueline/tools/a"] * 2


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
    with pytest.raises(ToolError, match="cueline/tools/a"):
        secrets.headers({"x": "cueline/tools/a"})
    assert secrets.headers({"x": "cueline/tools/a"}) == {"x": "value"}


@pytest.mark.parametrize("name", ["other/a", "cueline/token", "arn:aws:x:cueline/tools/a", ""])
def test_no_other_secret_is_a_tools_to_use(name: str) -> None:
    with pytest.raises(ToolError, match="not for tools"):
        Secrets(str, "cueline/tools/").headers({"x": name})


def test_a_secret_that_is_no_header_is_not_shown() -> None:
    with pytest.raises(ToolError, match="no header") as error:
        Secrets(lambda _: "hunter2\r\nx: y", "p/").headers({"x": "p/a"})
    assert "hunter2" not in str(error.value)
