"""Requests as the public schema has them."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from cueline.doors import strict
from cueline.doors.agent_events import agent_wire, posted, schemas, tool_wire, wire
from cueline.doors.agent_events.agent_shapes import changed, checked, to_wire, whole
from cueline.doors.agent_events.keys import agent_key_in, new_key
from cueline.doors.agent_events.lists import list_query, text_filter
from cueline.doors.shared import KEY, timestamp
from cueline.errors import CuelineError, InvalidRequest, NotBuilt, NotFound
from tests.clock import FakeClock

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


def bodies(model: type[strict.Wire]) -> st.SearchStrategy[dict[str, Any]]:
    names = [field.alias or name for name, field in model.model_fields.items()]
    return st.fixed_dictionaries({}, optional=dict.fromkeys(names, anything))


@pytest.mark.parametrize(
    "model",
    [
        agent_wire.CreateAgent,
        agent_wire.ReplaceAgent,
        agent_wire.UpdateAgent,
        wire.CreateSession,
        wire.UpdateSession,
        posted.InputMessage,
        agent_wire.Step,
        agent_wire.InlineInstruction,
        agent_wire.OutputParser,
        agent_wire.JsonSchema,
        agent_wire.NextStep,
        agent_wire.Reminder,
        agent_wire.Limits,
        tool_wire.DynamicVectara,
        tool_wire.Http,
        tool_wire.Lambda,
        tool_wire.Mcp,
    ],
)
@given(data=st.data())
def test_whatever_is_sent_only_errors_of_ours_come_out(
    model: type[strict.Wire], data: st.DataObject
) -> None:
    with suppress(CuelineError):
        strict.parse(model, data.draw(bodies(model)))


@given(anything, st.sampled_from(["type", "properties", "items", "required"]))
def test_whatever_is_given_as_a_schema_only_errors_of_ours_come_out(value: Any, field: str) -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(schemas.AnswerSchema | schemas.ArgumentSchema)
    for schema in (value, {"type": "object", field: value}):
        with suppress(ValidationError):
            schemas.strict_problem({"type": "object", **adapter.validate_python(schema)})


# --- agents that come and go ---------------------------------------------------------------------

keys = st.sampled_from(["a", "b", "c"])
steps = st.fixed_dictionaries(
    {
        "instructions": st.lists(
            st.fixed_dictionaries({"name": keys, "template": keys, "enabled": st.booleans()}),
            max_size=2,
        )
    },
    optional={
        "output_parser": st.sampled_from(
            [
                {"type": "default"},
                {
                    "type": "structured",
                    "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": False},
                },
            ]
        ),
        "reminders": st.lists(
            st.fixed_dictionaries(
                {"template": keys, "hooks": st.sampled_from([["input_message"], ["tool_output"]])}
            ),
            max_size=2,
        ),
        "next_steps": st.lists(
            st.fixed_dictionaries(
                {"step_name": keys}, optional={"condition": st.sampled_from(["true", "1 == 1"])}
            ),
            max_size=2,
        ),
        "allowed_tools": st.none() | st.lists(keys, max_size=2),
        "allowed_skills": st.none() | st.lists(keys, max_size=2),
        "reentry_step": st.none() | keys,
    },
)
tools = st.fixed_dictionaries(
    {"tool_id": st.sampled_from(["tol_a", "tol_b"])},
    optional={
        "description_template": keys,
        "argument_override": st.dictionaries(keys, st.integers(0, 3), max_size=2),
        "timeout_seconds": st.sampled_from([1, 0.5, 240]),
        "approval": st.sampled_from(["never", "required"]),
        "repeatable": st.booleans(),
    },
).flatmap(
    lambda common: st.sampled_from(
        [
            {**common, "type": "dynamic_vectara"},
            {**common, "type": "dynamic_vectara", "http": {"url": "https://a", "method": "PUT"}},
            {**common, "type": "lambda", "function_name": "cueline-tool-a"},
            {**common, "type": "mcp", "server": {"url": "https://a", "headers": {"x": "y"}}},
        ]
    )
)
skills = st.fixed_dictionaries({"description": keys, "content": keys})
fields: dict[str, st.SearchStrategy[Any]] = {
    "description": st.none() | keys,
    "metadata": st.none() | st.dictionaries(keys, keys, max_size=1),
    "enabled": st.none() | st.booleans(),
    "compaction": st.none() | st.sampled_from([{}, {"enabled": False}, {"keep_recent_inputs": 9}]),
    "limits": st.none() | st.sampled_from([{}, {"cost": 0.5}, {"tokens": 9, "seconds": 1}]),
}


def maps(entries: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(keys, entries, max_size=3)


creations = st.fixed_dictionaries(
    {
        "name": keys,
        "tool_configurations": maps(tools),
        "model": st.fixed_dictionaries({"name": keys}, optional={"parameters": st.just({"x": 1})}),
        "steps": maps(steps),
        "first_step_name": keys,
    },
    optional={**fields, "skills": maps(skills)},
)
updates = st.fixed_dictionaries(
    {},
    optional={
        **fields,
        "skills": st.none() | maps(st.none() | skills),
        "tool_configurations": st.none() | maps(st.none() | tools),
        "steps": st.none() | maps(st.none() | steps),
        "first_step_name": keys,
        "first_step": steps | st.fixed_dictionaries({}, optional={"name": keys}),
    },
)


@settings(max_examples=300)
@given(creations, st.lists(updates, max_size=3))
def test_whatever_an_agent_has_become_it_can_be_put_back(
    creation: dict[str, Any], later: list[dict[str, Any]]
) -> None:
    with suppress(InvalidRequest):
        agent = checked(whole(strict.parse(agent_wire.CreateAgent, creation), "k"))
        for update in later:
            with suppress(InvalidRequest):
                agent = checked(changed(agent, strict.parse(agent_wire.UpdateAgent, update)))
        assert agent.first_step in agent.steps
        again = whole(strict.parse(agent_wire.ReplaceAgent, to_wire(agent)), "k")
        assert again == agent


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
    given = agent_wire.InlineInstruction(name="n", template=template)
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
        agent_wire.InlineInstruction(name="n", template=template)


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
        assert KEY.fullmatch(key)
        assert agent_key_in(key) == key


@given(st.text())
def test_whatever_stands_in_a_path_is_a_key_or_is_not_found(path: str) -> None:
    with suppress(NotFound):
        assert KEY.fullmatch(agent_key_in(path))


def test_times_have_milliseconds_and_a_zone() -> None:
    assert timestamp(0) == "1970-01-01T00:00:00.000Z"
    assert timestamp(1_750_000_000_007) == "2025-06-15T15:06:40.007Z"
