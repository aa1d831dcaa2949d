"""Requests as the public schema has them."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cueline.doors.agent_events import wire
from cueline.doors.agent_events.keys import agent_key_in, new_key
from cueline.doors.agent_events.lists import list_query, text_filter
from cueline.errors import CuelineError, NotBuilt, NotFound
from tests.clock import FakeClock

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


def bodies(model: type[wire.Wire]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=dict.fromkeys(model.model_fields, anything))


@pytest.mark.parametrize(
    "model",
    [
        wire.CreateAgent,
        wire.ReplaceAgent,
        wire.UpdateAgent,
        wire.CreateSession,
        wire.UpdateSession,
        wire.InputMessage,
        wire.Step,
        wire.InlineInstruction,
    ],
)
@given(data=st.data())
def test_whatever_is_sent_only_errors_of_ours_come_out(
    model: type[wire.Wire], data: st.DataObject
) -> None:
    with suppress(CuelineError):
        wire.parse(model, data.draw(bodies(model)))


@given(st.dictionaries(st.sampled_from(["limit", "page_key", "filter", "enabled"]), st.text()))
def test_whatever_is_asked_only_errors_of_ours_come_out(query: dict[str, str]) -> None:
    with suppress(CuelineError):
        text_filter(list_query(query).filter)("some text")


@pytest.mark.parametrize(
    "template",
    [
        "It costs $5, or $agents_fee, or US$.",
        "# Heading\n## Another\n#hashtag #1 #ending #ifs",
        "if (x) { set(1) } $(shell) ${HOME} $PATH",
        "Use C# (or F#).",
    ],
)
def test_text_that_only_looks_like_a_template_is_taken_as_written(template: str) -> None:
    given = wire.InlineInstruction(name="n", template=template)
    assert given.template == template


@pytest.mark.parametrize(
    "template",
    [
        "#set($x = 1)",
        "a #if ($x) b",
        "#foreach($tool in $list)",
        "#{if}($x)",
        "x#end",
        "#else y",
        "#[[raw]]#",
        "Agent: $agent.name",
        "$!session.key",
        "${session.metadata.x}",
        "$!{session.key}",
        "on $currentDate.",
        "$tools",
    ],
)
def test_the_template_language_is_not_built(template: str) -> None:
    with pytest.raises(NotBuilt):
        wire.InlineInstruction(name="n", template=template)


@pytest.mark.parametrize(
    ("pattern", "texts", "found"),
    [
        ("", ("x", None), True),
        ("SUP", ("support", None), True),
        ("support.*", ("Customer Support 1",), True),
        ("cust.*port", ("Customer Support",), True),
        ("port.*cust", ("Customer Support",), False),
        ("x", ("a", None), False),
        ("straße", ("STRASSE",), True),
    ],
)
def test_a_filter_finds_text_in_any_case(
    pattern: str, texts: tuple[str | None, ...], found: bool
) -> None:
    assert text_filter(pattern)(*texts) is found


@given(st.text())
def test_a_made_up_key_is_a_key(name: str) -> None:
    for tries in (0, 9):
        key = new_key("agt", name, FakeClock(), tries)
        assert wire.KEY.fullmatch(key)
        assert agent_key_in(key) == key


@given(st.text())
def test_whatever_stands_in_a_path_is_a_key_or_is_not_found(path: str) -> None:
    with suppress(NotFound):
        assert wire.KEY.fullmatch(agent_key_in(path))


def test_times_have_milliseconds_and_a_zone() -> None:
    assert wire.timestamp(0) == "1970-01-01T00:00:00.000Z"
    assert wire.timestamp(1_750_000_000_007) == "2025-06-15T15:06:40.007Z"
