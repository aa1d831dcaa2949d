"""JSON of models and tools: what is read as such can be written again for every client."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cueline.log.strict_json import loads, object_of, value_of

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=5), inner),
)  # fmt: skip


@given(values)
def test_plain_json_comes_back(value: Any) -> None:
    assert loads(json.dumps(value)) == value
    assert loads(json.dumps(value, ensure_ascii=False)) == value


@given(st.text())
def test_whatever_is_read_can_be_written_in_utf_8(text: str) -> None:
    value = value_of(text)
    json.dumps(value, ensure_ascii=False, allow_nan=False).encode()


@pytest.mark.parametrize(
    "text",
    [
        "NaN",
        "[Infinity]",
        '{"a": 1e999}',
        "-1e400",
        '"\\ud83d"',
        '{"\\ude00": 1}',
        "[" * 100_000,
        "x",
        "",
    ],
)
def test_what_not_every_client_can_read_is_no_json(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  (whatever it says)
        loads(text)


def test_only_an_object_is_an_object() -> None:
    assert object_of('{"a": 1}') == {"a": 1}
    assert object_of("[1]") is None
    assert object_of('{"a": NaN}') is None
