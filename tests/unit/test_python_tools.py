"""Functions as tools: what is found, how it is described, and what its arguments become."""

import json
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from cueline.adapters.tools.found import Found, ToolError
from cueline.adapters.tools.python import _found, python_tool
from cueline.adapters.tools.schema import problem
from cueline.engine.agent import PythonTool

FORECAST = '''
from dataclasses import dataclass
from datetime import date
from json import dumps
from typing import Annotated, Literal
from pydantic import BaseModel, Field

class Place(BaseModel):
    city: str
    zip: int | None = None

@dataclass
class Weather:
    day: date
    degrees: float

def forecast(
    place: Place,
    day: date,
    unit: Literal["C", "F"] = "C",
    days: Annotated[int, Field(ge=1, le=7, description="How many.")] = 1,
    *,
    json: bool = False,
) -> Weather:
    """The weather in a place.

    For a week at most.
    """
    assert isinstance(place, Place) and isinstance(day, date) and json is False
    return Weather(day, 20.5 * days)

async def later(seconds: float = 0.0) -> list[Place]:
    import asyncio
    await asyncio.sleep(seconds)
    return [Place(city="Bonn")]

def bare(a, b=2):
    return a if b == 2 else str(b)

def give(what: str):
    return {"nan": float("nan"), "none": None, "text": "plain", "odd": object()}[what]

def everything(*args: int) -> int:
    return 0

def _hidden() -> None: ...

def twice() -> int:
    return 1

def model_copy(copy: int, schema: str = "s") -> str:
    return f"{copy}{schema}"
'''
TWICE = "def twice() -> int:\n    return 2\n"


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Found]:
    package = tmp_path / "some_functions"
    package.mkdir()
    (package / "__init__.py").write_text("def outside() -> int:\n    return 1\n")
    (package / "weather.py").write_text(FORECAST)
    (package / "other.py").write_text(TWICE)
    (package / "broken.py").write_text("import no_such_module\n")
    (package / "_private.py").write_text("def private() -> int:\n    return 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.startswith("some_functions")]:
        monkeypatch.delitem(sys.modules, name)
    _found.cache_clear()
    return lambda name: python_tool(PythonTool(tool_id="t", function=name), "some_functions")


def call(found: Found, **given: Any) -> str:
    result = found.run(given, 2.0)
    assert not result.error
    return result.output


# --- what is found -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["forecast", "weather.forecast"])
def test_a_function_is_named_with_or_without_its_module(
    tool: Callable[[str], Found], name: str
) -> None:
    found = tool(name)
    assert found.name == "forecast"
    assert found.description == "The weather in a place.\n\nFor a week at most."


@pytest.mark.parametrize(
    "name",
    ["_hidden", "private", "_private.private", "outside", "dumps", "Place", "weather", "", "."],
)
def test_what_is_no_public_function_of_a_public_module_is_no_tool(
    tool: Callable[[str], Found], name: str
) -> None:
    with pytest.raises(ToolError, match="There is no function"):
        tool(name)


def test_a_name_that_two_modules_have_needs_its_module(tool: Callable[[str], Found]) -> None:
    with pytest.raises(ToolError, match=r"Name other\.twice or weather\.twice"):
        tool("twice")
    assert (call(tool("other.twice")), call(tool("weather.twice"))) == ("2", "1")


def test_a_module_that_cannot_be_imported_spoils_only_its_own(
    tool: Callable[[str], Found], caplog: pytest.LogCaptureFixture
) -> None:
    tool("forecast")
    assert "cannot be imported" in caplog.text
    assert caplog.records[0].__dict__["error"] == "ModuleNotFoundError"


def test_a_function_that_takes_what_has_no_name_is_no_tool(tool: Callable[[str], Found]) -> None:
    with pytest.raises(ToolError, match="no name"):
        tool("everything")


# --- how it is described -------------------------------------------------------------------------


def test_the_schema_is_that_of_the_annotations(tool: Callable[[str], Found]) -> None:
    schema = tool("forecast").parameters
    assert schema["required"] == ["place", "day"]
    assert schema["additionalProperties"] is False
    assert schema["properties"] == {
        "place": {"$ref": "#/$defs/Place"},
        "day": {"type": "string", "format": "date"},
        "unit": {"type": "string", "enum": ["C", "F"], "default": "C"},
        "days": {
            "type": "integer", "minimum": 1, "maximum": 7, "default": 1, "description": "How many.",
        },
        "json": {"type": "boolean", "default": False},
    }  # fmt: skip
    assert problem(schema, {"place": {"city": "Bonn"}, "day": "2026-01-01"}) is None
    assert problem(schema, {"place": {}, "day": "2026-01-01"}) is not None


def test_what_has_no_annotations_takes_anything(tool: Callable[[str], Found]) -> None:
    found = tool("bare")
    assert (found.description, found.parameters["required"]) == ("", ["a"])
    assert call(found, a={"x": [1]}) == '{"x":[1]}'


# --- what calling does ---------------------------------------------------------------------------


def test_arguments_become_what_is_annotated_and_the_result_becomes_json(
    tool: Callable[[str], Found],
) -> None:
    output = call(tool("forecast"), place={"city": "Bonn"}, day="2026-01-01", days=2)
    assert json.loads(output) == {"day": "2026-01-01", "degrees": 41.0}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"day": "2026-01-01"}, "place: Field required"),
        ({"place": {}, "day": "2026-01-01"}, "place.city: Field required"),
        ({"place": {"city": "B"}, "day": "soon"}, "day: Input should be a valid date"),
        ({"place": {"city": "B"}, "day": "2026-01-01", "x": 1}, "x: Extra inputs"),
    ],
)
def test_arguments_that_do_not_fit_are_told(
    tool: Callable[[str], Found], given: dict[str, Any], told: str
) -> None:
    with pytest.raises(ToolError, match=told):
        call(tool("forecast"), **given)


def test_parameters_may_be_called_what_models_call_their_own(tool: Callable[[str], Found]) -> None:
    assert call(tool("model_copy"), copy=1, schema="x") == "1x"


def test_an_asynchronous_function_is_waited_for(tool: Callable[[str], Found]) -> None:
    assert call(tool("later")) == '[{"city":"Bonn","zip":null}]'
    with pytest.raises(ToolError, match="in time"):
        tool("later").run({"seconds": 5}, 0.05)


@pytest.mark.parametrize(("what", "output"), [("nan", "null"), ("none", "null"), ("text", "plain")])
def test_whatever_is_returned_is_text_in_the_end(
    tool: Callable[[str], Found], what: str, output: str
) -> None:
    assert call(tool("give"), what=what) == output


def test_what_cannot_be_written_is_told(tool: Callable[[str], Found]) -> None:
    with pytest.raises(ToolError, match="cannot be written as JSON"):
        call(tool("give"), what="odd")


# --- what is shipped -----------------------------------------------------------------------------


def test_the_time_is_told_in_a_time_zone() -> None:
    found = python_tool(PythonTool(tool_id="t", function="current_time"), "agent_tools")
    told = json.loads(call(found, timezone="Asia/Tokyo"))
    time = datetime.fromisoformat(told["time"])
    assert time.utcoffset() is not None
    assert told["time"].endswith("+09:00")
    assert told["weekday"] == time.strftime("%A")
    assert json.loads(call(found))["timezone"] == "UTC"
    for nonsense in ("Atlantis", "../etc/passwd", "", "a\0b"):
        with pytest.raises(ToolError, match="no time zone"):
            call(found, timezone=nonsense)
