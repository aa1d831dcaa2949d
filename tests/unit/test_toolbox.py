"""What an agent's configured tools look like to the engine, and what comes of calling them."""

import logging
import re
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import to_json

from cueline.adapters.tools import mcp, toolbox
from cueline.adapters.tools.found import MOST_TOOLS, Found
from cueline.adapters.tools.outputs import MAX_BYTES, MAX_OUTPUT, cut
from cueline.adapters.tools.secrets import Secrets
from cueline.adapters.tools.toolbox import ConfiguredToolbox
from cueline.engine.agent import (
    Agent,
    HttpTool,
    LambdaTool,
    McpTool,
    PythonTool,
    Skill,
    ToolConfiguration,
)
from cueline.engine.tools import Toolbox, ToolResult, ToolSpec
from cueline.log.segment import Session

MODULE = '''
import sys
from cueline.adapters.tools.found import ToolError

def echo(text: str, times: int = 1, extra: dict | None = None) -> dict:
    """Says it again."""
    return {"text": text * times, "extra": extra}

def fail() -> str:
    raise RuntimeError("the password is hunter2")

def stop() -> str:
    sys.exit(3)

def refuse() -> str:
    raise ToolError("Give a city.")

def much() -> str:
    return "x" * 60_000
'''


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Toolbox:
    (tmp_path / "box_functions").mkdir()
    (tmp_path / "box_functions/__init__.py").touch()
    (tmp_path / "box_functions/some.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.startswith("box_functions")]:
        monkeypatch.delitem(sys.modules, name)
    return ConfiguredToolbox((), Secrets(str, "cueline/tools/"), client, "box_functions")


def client() -> Any:
    raise AssertionError("nobody asked for it")


def python(function: str, **more: Any) -> PythonTool:
    return PythonTool(tool_id="t", function=function, **more)


def specs(
    box: Toolbox,
    tools: Mapping[str, ToolConfiguration],
    session: Mapping[str, Any] | None = None,
    agent: Mapping[str, Any] | None = None,
    skills: Mapping[str, Skill] | None = None,
) -> list[ToolSpec]:
    made = Agent(
        key="a",
        name="A",
        model="m",
        tools=dict(tools),
        metadata=dict(agent or {}),
        skills=dict(skills or {}),
        created_at=0,
        updated_at=0,
    )
    of = Session("a", "s", 1, "S", 0, metadata=session or {})
    return list(box.specs(made, of))


def run(
    box: Toolbox, tool: ToolConfiguration, given: dict[str, Any], **metadata: Any
) -> ToolResult:
    (spec,) = specs(box, {"it": tool}, **metadata)
    return spec.run(given, 5.0)


# --- what the model sees -------------------------------------------------------------------------


def test_a_tool_is_as_configured(box: Toolbox) -> None:
    tool = python("echo", timeout_seconds=7, approval="required", repeatable=True)
    (spec,) = specs(box, {"say": tool})
    assert (spec.name, spec.configuration, spec.tool) == ("say", "say", "echo")
    assert (spec.timeout, spec.approval, spec.repeatable) == (7, True, True)
    assert spec.description == "Says it again."
    assert spec.parameters["required"] == ["text"]
    assert spec.run({"text": "hü"}, 5.0) == ToolResult('{"text":"hü","extra":null}')


def test_tools_are_in_the_order_of_the_configuration(box: Toolbox) -> None:
    tools = {name: python("echo") for name in ("z", "a", "m")}
    assert [spec.name for spec in specs(box, tools)] == ["z", "a", "m"]


def test_a_configured_description_stands_for_the_tools_own(box: Toolbox) -> None:
    (spec,) = specs(box, {"say": python("echo", description="Repeats.")})
    assert spec.description == "Repeats."


@given(st.lists(st.text(max_size=80), unique=True, max_size=8))
def test_every_name_is_one_that_providers_take(names: list[str]) -> None:
    box = ConfiguredToolbox((), Secrets(str, "p/"), client, "no_such_package")
    made = [spec.name for spec in specs(box, {name: python("x") for name in names})]
    assert len(set(made)) == len(names)
    assert all(re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", name) for name in made)


def test_names_that_become_alike_stay_apart(box: Toolbox) -> None:
    long = "n" * 70
    tools = {name: python("echo") for name in ("a b", "a.b", "a_b", long + "1", long + "2")}
    names = [spec.name for spec in specs(box, tools)]
    assert names == ["a_b", "a_b_2", "a_b_3", "n" * 64, "n" * 62 + "_2"]


def test_each_of_many_tools_has_its_own_name_after_the_configurations(
    box: Toolbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found(name: str, configured: McpTool, *_: object) -> list[Found]:
        names = [configured.tool_name] if configured.tool_name else ["search", "fetch.page"]
        return [Found(one, "D", {}, lambda given, _: ToolResult(str(given))) for one in names]

    monkeypatch.setattr(mcp, "mcp_specs", found)
    many = McpTool(tool_id="t", url="https://a.example/mcp")
    one = many.model_copy(update={"tool_name": "search"})
    made = specs(box, {"docs": many, "find": one})
    assert [spec.name for spec in made] == ["docs_search", "docs_fetch_page", "find"]
    assert [spec.configuration for spec in made] == ["docs", "docs", "find"]
    assert [spec.tool for spec in made] == ["search", "fetch.page", "search"]


def offering(*names: str) -> Any:
    """Stands for servers that all offer these tools."""

    def found(*_: object) -> list[Found]:
        return [Found(one, "D", {}, lambda given, _: ToolResult(str(given))) for one in names]

    return found


def test_no_tool_is_called_as_the_one_that_loads_skills(
    box: Toolbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mcp, "mcp_specs", offering("skill"))
    (spec,) = specs(box, {"invoke": McpTool(tool_id="t", url="https://a.example/mcp")})
    assert spec.name == "invoke_skill_2"


@pytest.mark.parametrize("skills", [{}, {"tax": Skill(description="d", content="c")}])
def test_a_model_gets_as_many_tools_as_it_takes_and_the_log_says_once_that_some_are_left_out(
    box: Toolbox,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    skills: dict[str, Skill],
) -> None:
    monkeypatch.setattr(mcp, "mcp_specs", offering(*(f"t{n}" for n in range(100))))
    tools = {n: McpTool(tool_id="t", url=f"https://{n}.example/mcp") for n in "ab"}
    for _ in range(2):
        made = specs(box, tools, skills=skills)
        # The tool that loads skills is one of them.
        assert len(made) + len(skills) == MOST_TOOLS
        assert [spec.name for spec in made[99:101]] == ["a_t99", "b_t0"]
    (record,) = caplog.records
    assert record.__dict__["left_out"] == 72 + len(skills)


@pytest.mark.parametrize(
    ("tool", "why"),
    [
        (python("nothing"), "no function 'nothing'"),
        (LambdaTool(tool_id="t", function_name="production-delete"), "a tool's is called"),
        (HttpTool(tool_id="t", url="https://{x}/"), "placeholder in the host"),
        (McpTool(tool_id="t", url="http://127.0.0.1:9/mcp"), "not on the public internet"),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
def test_a_tool_that_cannot_be_set_up_is_there_and_says_why(
    box: Toolbox, tool: ToolConfiguration, why: str
) -> None:
    described = tool.model_copy(update={"description": "Looks things up."})
    spec, other = specs(box, {"it": described, "say": python("echo")})
    assert spec.name == "it"
    assert spec.description.startswith("Unavailable: do not call it. ")
    assert why in spec.description
    assert spec.parameters == {"type": "object", "properties": {}}
    result = spec.run({}, 5.0)
    assert result.error
    assert why in result.output
    assert not other.run({"text": "a"}, 5.0).error


# --- overridden arguments ------------------------------------------------------------------------


def test_what_is_overridden_the_model_neither_sees_nor_gives(box: Toolbox) -> None:
    tool = python("echo", argument_override={"text": "fixed", "times": 2})
    (spec,) = specs(box, {"it": tool})
    assert set(spec.parameters["properties"]) == {"extra"}
    assert "required" not in spec.parameters
    assert '"text":"fixedfixed"' in spec.run({"text": "other", "extra": None}, 5.0).output


@pytest.mark.parametrize("dot", ["", "."])
@pytest.mark.parametrize(
    ("reference", "value"),
    [
        ("session.metadata.city", "Bonn"),
        ("session.metadata.user.id", "7"),
        ("agent.metadata.team", "blue"),
    ],
)
def test_a_reference_is_looked_up_when_the_tool_is_called(
    box: Toolbox, dot: str, reference: str, value: str
) -> None:
    tool = python("echo", argument_override={"text": {"$ref": dot + reference}})
    session = {"city": "Bonn", "user": {"id": "7"}}
    result = run(box, tool, {}, session=session, agent={"team": "blue"})
    assert f'"text":"{value}"' in result.output


def test_references_may_be_deep_inside_and_may_be_meant_literally(box: Toolbox) -> None:
    deep = {"all": [{"who": {"$ref": "session.metadata.user"}}], "$$ref": "x", "y": {"$$ref": "z"}}
    tool = python("echo", argument_override={"extra": deep})
    result = run(box, tool, {"text": ""}, session={"user": ["u"]})
    assert result.output == (
        '{"text":"","extra":{"all":[{"who":["u"]}],"$ref":"x","y":{"$ref":"z"}}}'
    )


@pytest.mark.parametrize(
    "reference",
    [
        "session.metadata.no",
        "session.metadata.city.x",
        "session.key",
        "metadata.city",
        "session",
        "",
    ],
)
def test_a_reference_to_nothing_is_told(box: Toolbox, reference: str) -> None:
    tool = python("echo", argument_override={"text": {"$ref": reference}})
    result = run(box, tool, {}, session={"city": "Bonn"})
    assert result.error
    assert f"needs {reference}, which is not set" in result.output


# --- outputs -------------------------------------------------------------------------------------


def test_a_large_output_is_cut_and_says_so(box: Toolbox) -> None:
    output = run(box, python("much"), {}).output
    assert output.startswith("x" * MAX_OUTPUT)
    assert output.endswith(
        "[10,000 of 60,000 characters are left out here. Ask for less at a time.]"
    )


@given(st.text(), st.integers(1, 4), st.sampled_from(["x", "ü", "\0", "𝄞", '"', "\ud800"]))
def test_an_output_fits_into_the_log_whatever_it_is_of(text: str, size: int, letter: str) -> None:
    given = text + letter * size * 20_000
    kept = cut(given)
    assert len(to_json(kept)) < MAX_BYTES + 200
    assert len(kept) < MAX_OUTPUT + 200
    begins = kept.split("\n[", 1)[0] if kept != given else kept
    assert given.encode(errors="replace").decode().startswith(begins)


def test_a_small_output_stays_as_it_is() -> None:
    assert cut("Größe: 𝄞") == "Größe: 𝄞"
    assert cut("") == ""


# --- failures ------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", ["fail", "stop"])
def test_an_unexpected_failure_is_logged_and_tells_nothing(
    box: Toolbox, function: str, caplog: pytest.LogCaptureFixture
) -> None:
    result = run(box, python(function), {})
    assert result.error
    assert "hunter2" not in result.output + caplog.text
    assert "Traceback" not in result.output + caplog.text
    (record,) = [one for one in caplog.records if one.levelno == logging.ERROR]
    assert record.__dict__["error"] in {"RuntimeError", "SystemExit"}


def test_a_failure_that_is_meant_for_the_model_is_told(box: Toolbox) -> None:
    assert run(box, python("refuse"), {}) == ToolResult("Give a city.", error=True)


@pytest.mark.parametrize("value", [float("nan"), float("-inf"), "\ud800", {"\udfff": [1]}])
@pytest.mark.parametrize("kind", ["http", "lambda", "python"])
def test_arguments_that_json_cannot_carry_are_told(box: Toolbox, kind: str, value: object) -> None:
    tools: dict[str, ToolConfiguration] = {
        "http": HttpTool(tool_id="t", url="https://a.example/", method="POST"),
        "lambda": LambdaTool(tool_id="t", function_name="cueline-tool-a"),
        "python": python("echo"),
    }
    result = run(box, tools[kind], {"text": value})
    assert result.error
    assert "JSON cannot carry" in result.output


def test_several_servers_are_asked_at_the_same_time(
    box: Toolbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = threading.Barrier(2, timeout=5)
    asked: set[str] = set()

    def listed(name: str, *_: Any) -> list[Found]:
        if name not in asked:
            asked.add(name)
            both.wait()  # breaks unless the other one is asked too
        return [Found(name, "", {}, lambda *_: ToolResult("done"))]

    monkeypatch.setattr(mcp, "mcp_specs", listed)
    tools = {n: McpTool(tool_id="t", url=f"https://{n}.example", tool_name="x") for n in "ab"}
    assert [spec.tool for spec in specs(box, tools)] == ["a", "b"]


def test_several_servers_have_one_time_together(
    box: Toolbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    hang = threading.Event()

    def listed(name: str, *_: Any) -> list[Found]:
        if name != "a":
            hang.wait(10)
        return [Found(name, "", {}, lambda *_: ToolResult("done"))]

    monkeypatch.setattr(mcp, "mcp_specs", listed)
    monkeypatch.setattr(toolbox, "LIST_SECONDS", 0.2)
    tools = {
        f"{n}": McpTool(tool_id="t", url=f"https://{n}.example", tool_name="x")
        for n in ("a", *range(20))
    }
    first, *others = specs(box, tools)
    hang.set()
    assert first.run({}, 5.0) == ToolResult("done")
    assert [spec.name for spec in others] == [f"{n}" for n in range(20)]
    assert all("did not say in time" in spec.description for spec in others)


def test_each_of_an_agents_servers_is_asked_once(
    box: Toolbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def listed(name: str, *_: Any) -> list[Found]:
        asked.append(name)
        return [Found(name, "", {}, lambda *_: ToolResult("done"))]

    monkeypatch.setattr(mcp, "mcp_specs", listed)
    many = {f"{n}": McpTool(tool_id="t", url=f"https://{n}.example") for n in range(64)}
    specs(box, many)
    assert sorted(asked) == sorted(many)
    assert len(many) < mcp.MOST_SERVERS
