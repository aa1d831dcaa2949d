"""Events as they are stored, and their ids."""

from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from cueline.log.events import (
    Event,
    Input,
    SessionDeleted,
    TurnBegan,
    event_id,
    events_from_json,
    events_to_json,
    offset_in,
)

KINDS: tuple[type[BaseModel], ...] = get_args(get_args(Event)[0])
IDS = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=12)
JSON_VALUES = (
    st.none()
    | st.booleans()
    | st.integers(0, 10**12)
    | st.text(st.characters(exclude_categories=["Cs"]))
)
VALUES: dict[object, st.SearchStrategy[object]] = {
    str: st.text(st.characters(exclude_categories=["Cs"])),
    bool: st.booleans(),
    int: st.integers(0, 10**12),
    tuple[int, ...]: st.lists(st.integers(0, 10**9)).map(tuple),
    float: st.floats(allow_nan=False, allow_infinity=False),
    Any: JSON_VALUES,
    dict[str, Any]: st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), JSON_VALUES),
    tuple[str, ...]: st.lists(st.text(st.characters(exclude_categories=["Cs"]))).map(tuple),
}


def value(annotation: Any) -> st.SearchStrategy[Any]:
    if annotation in VALUES:
        return VALUES[annotation]
    if get_origin(annotation) is Literal:
        return st.sampled_from(get_args(annotation))
    if get_origin(annotation) in {Union, UnionType}:
        return st.one_of(*map(value, get_args(annotation)))
    if annotation is type(None):
        return st.none()
    if get_origin(annotation) is tuple:
        return st.lists(value(get_args(annotation)[0]), max_size=3).map(tuple)
    return an_event(annotation)


def an_event(kind: type[BaseModel]) -> st.SearchStrategy[Any]:
    fields = {
        name: value(field.annotation) for name, field in kind.model_fields.items() if name != "type"
    }
    required = {name: v for name, v in fields.items() if kind.model_fields[name].is_required()}
    optional = {name: v for name, v in fields.items() if name not in required}
    return st.fixed_dictionaries(required, optional=optional).map(lambda given: kind(**given))


EVENTS: st.SearchStrategy[Event] = st.sampled_from(KINDS).flatmap(an_event)


@given(st.lists(EVENTS, max_size=16).map(tuple))
def test_events_come_back_as_they_were(events: tuple[Event, ...]) -> None:
    assert events_from_json(events_to_json(events)) == events


def test_what_is_stored_is_small_and_tells_its_type() -> None:
    stored = events_to_json([Input(texts=("Hi",)), TurnBegan(turn="t", inputs=(0,))])
    assert stored == (
        '[{"type":"input","texts":["Hi"]},{"type":"turn_began","turn":"t","inputs":[0]}]'
    )
    assert events_to_json([SessionDeleted()]) == '[{"type":"session_deleted"}]'


def test_a_field_of_a_newer_version_is_passed_over() -> None:
    assert events_from_json('[{"type":"session_deleted","reason":"gdpr"}]') == (SessionDeleted(),)


@pytest.mark.parametrize("text", ['[{"type":"telepathy"}]', '[{"texts":["Hi"]}]', "[", "{}"])
def test_what_cannot_be_understood_is_not_guessed(text: str) -> None:
    with pytest.raises(ValidationError):
        events_from_json(text)


@given(IDS, IDS, st.integers(1, 10**15 - 1), st.integers(0, 10**10 - 1))
def test_an_id_alone_finds_its_place(agent: str, key: str, incarnation: int, offset: int) -> None:
    session = f"{agent}.{key}"
    made = event_id(session, incarnation, offset)
    assert offset_in(made, session, incarnation) == offset
    assert offset_in(made, session, incarnation + 1) is None
    assert offset_in(made, f"{session}x", incarnation) is None


@pytest.mark.parametrize("wrong", ["", "aev_", "aev_x_5_0", "aev_{}_5_0 ", "aev_{}_5_", "{}_5_0"])
def test_anything_else_is_no_id(wrong: str) -> None:
    digest = event_id("a.b", 5, 0).split("_")[1]
    assert offset_in(wrong.format(digest), "a.b", 5) is None
