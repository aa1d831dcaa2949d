"""Door 1's agents: steps, tools, skills, and how their turns are run."""

from typing import Any

import pytest

from cueline.engine.agent import (
    AgentStep,
    Caps,
    Compaction,
    HttpTool,
    LambdaTool,
    McpTool,
    NextStep,
    OutputSchema,
    PythonTool,
    Reminder,
    Retries,
    Skill,
)
from cueline.engine.ports import Ports
from tests.clock import FakeClock
from tests.functions.conftest import Ask

SMALLEST: dict[str, Any] = {"name": "A", "tool_configurations": {}, "model": {"name": "m"}}
INLINE = {"type": "inline", "name": "tone", "template": "Be kind."}
STEP: dict[str, Any] = {"instructions": [INLINE], "output_parser": {"type": "default"}}
SCHEMA = {
    "type": "object",
    "properties": {"intent": {"type": "string", "enum": ["buy", "ask"]}},
    "required": ["intent"],
    "additionalProperties": False,
}
PARSER = {
    "type": "structured",
    "json_schema": {"name": "intent", "schema": SCHEMA, "strict": True, "description": "What"},
}
ARGUMENTS = {"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]}
PYTHON = {"type": "dynamic_vectara", "tool_id": "tol_find_order"}
HTTP: dict[str, Any] = {
    "type": "dynamic_vectara",
    "tool_id": "tol_orders-1",
    "description_template": "Finds an order.",
    "argument_override": {"customer": {"$ref": "session.metadata.customer"}, "n": 1},
    "timeout_seconds": 5.0,
    "approval": "required",
    "repeatable": True,
    "http": {
        "method": "POST",
        "url": "https://example.com/orders/{id}?full=true",
        "headers": {"accept": "application/json"},
        "secret_headers": {"Authorization": "cueline/tools/example.com/orders"},
        "parameters": ARGUMENTS,
    },
}
LAMBDA: dict[str, Any] = {
    "type": "lambda",
    "tool_id": "tol_refund",
    "function_name": "cueline-tool-refund",
    "parameters": ARGUMENTS,
}
MCP: dict[str, Any] = {
    "type": "mcp",
    "tool_id": "tol_wiki",
    "tool_name": "search",
    "server": {
        "url": "https://example.com/mcp",
        "secret_headers": {"x-key": "cueline/tools/example.com/w"},
    },
}
TOOLS = {"find": PYTHON, "orders": HTTP, "refund": LAMBDA, "wiki": MCP}
SKILLS = {"tax": {"description": "How to tax.", "content": "# Tax\n\nTake 19 %."}}
STEPS: dict[str, Any] = {
    "triage": {
        **STEP,
        "output_parser": PARSER,
        "reminders": [
            {"type": "templated", "template": "Be brief.", "hooks": ["input_message"]},
        ],
        "next_steps": [
            {"condition": "get('$.output.intent') == 'buy'", "step_name": "sell"},
            {"step_name": "help"},
        ],
        "allowed_tools": [],
        "reentry_step": "triage",
    },
    "sell": {**STEP, "allowed_tools": ["orders", "refund"], "allowed_skills": ["tax"]},
    "help": {**STEP, "allowed_skills": []},
}
FULL: dict[str, Any] = {
    "key": "a",
    "name": "Full",
    "tool_configurations": TOOLS,
    "skills": SKILLS,
    "model": {"name": "m", "parameters": {"seed": 1}, "retry_configuration": {"max_retries": 5}},
    "first_step_name": "triage",
    "steps": STEPS,
    "compaction": {
        "threshold_percent": 50,
        "compaction_message": "Keep names.",
        "tool_event_policy": "exclude",
    },
    "limits": {"model_calls": 9, "tool_calls": 0, "seconds": 60, "cost": 0.5, "session_cost": 2},
    "tool_output_offloading": {"enabled": False},
}
AGENT = "/v2/agents/a"


@pytest.fixture
def full(ask: Ask) -> Any:
    answer = ask("POST", "/v2/agents", FULL)
    assert answer.status == 201, answer.text
    return answer.json


def test_an_agent_is_kept_as_the_engine_has_it(full: Any, ports: Ports) -> None:
    agent = ports.agents.get("a")
    assert agent.first_step == "triage"
    assert list(agent.steps) == ["triage", "sell", "help"]
    triage = agent.steps["triage"]
    assert triage.output == OutputSchema(
        name="intent", json_schema=SCHEMA, strict=True, description="What"
    )
    assert triage.reminders == (Reminder(template="Be brief.", hooks=("input_message",)),)
    assert triage.next_steps == (
        NextStep(step_name="sell", condition="get('$.output.intent') == 'buy'"),
        NextStep(step_name="help"),
    )
    assert (triage.allowed_tools, triage.allowed_skills) == ((), None)
    assert triage.reentry_step == "triage"
    assert agent.steps["sell"].allowed_tools == ("orders", "refund")
    assert (agent.steps["help"].allowed_tools, agent.steps["help"].allowed_skills) == (None, ())
    assert agent.tools == {
        "find": PythonTool(tool_id="tol_find_order", function="find_order"),
        "orders": HttpTool(
            tool_id="tol_orders-1",
            description="Finds an order.",
            argument_override=HTTP["argument_override"],
            timeout_seconds=5,
            approval="required",
            repeatable=True,
            method="POST",
            url="https://example.com/orders/{id}?full=true",
            headers={"accept": "application/json"},
            secret_headers={"Authorization": "cueline/tools/example.com/orders"},
            parameters=ARGUMENTS,
        ),
        "refund": LambdaTool(
            tool_id="tol_refund", function_name="cueline-tool-refund", parameters=ARGUMENTS
        ),
        "wiki": McpTool(
            tool_id="tol_wiki",
            url="https://example.com/mcp",
            tool_name="search",
            secret_headers={"x-key": "cueline/tools/example.com/w"},
        ),
    }
    assert agent.skills == {"tax": Skill(**SKILLS["tax"])}
    assert agent.retries == Retries(
        max_retries=5, initial_backoff_ms=1_000, max_backoff_ms=30_000
    )  # fmt: skip
    assert agent.compaction == Compaction(
        threshold_percent=50, message="Keep names.", tool_events="exclude"
    )
    assert agent.caps == Caps(model_calls=9, tool_calls=0, seconds=60, cost=0.5, session_cost=2)


def test_it_comes_back_as_given(full: Any) -> None:
    for field in ("skills", "first_step_name", "limits", "tool_output_offloading"):
        assert full[field] == FULL[field]
    assert full["first_step"] == {"name": "triage", **full["steps"]["triage"]}
    for name, step in STEPS.items():
        shown = full["steps"][name]
        assert shown["instructions"] == [{**INLINE, "template_type": "velocity", "enabled": True}]
        for field in set(step) - {"instructions", "reminders"}:
            assert shown[field] == step[field]
    for name, tool in TOOLS.items():
        assert full["tool_configurations"][name].items() >= tool.items()
    assert full["compaction"].items() >= FULL["compaction"].items()


def test_what_was_got_can_be_put_back(ask: Ask, full: Any, ports: Ports, clock: FakeClock) -> None:
    before = ports.agents.get("a")
    clock.ms += 1000
    put = ask("PUT", AGENT, full)
    assert put.json == {**full, "updated_at": "2025-06-15T15:06:41.000Z"}
    after = ports.agents.get("a")
    kept = {"updated_at": before.updated_at, "version": before.version}
    assert after.model_copy(update=kept) == before


def test_a_replacement_forgets_what_it_does_not_name(ask: Ask, full: Any, ports: Ports) -> None:
    assert ask("PUT", AGENT, SMALLEST).status == 200
    agent = ports.agents.get("a")
    assert (agent.first_step, agent.steps) == ("main", {"main": AgentStep()})
    assert (agent.tools, agent.skills, agent.caps) == ({}, {}, Caps())
    assert (agent.compaction, agent.retries) == (Compaction(), Retries())


# --- updates -------------------------------------------------------------------------------------


def test_steps_are_updated_by_name_and_field(ask: Ask) -> None:
    assert ask("POST", "/v2/agents", {**SMALLEST, "key": "a"}).status == 201

    def step(body: Any) -> tuple[str, list[str]]:
        first = ask("PATCH", AGENT, body).json["first_step"]
        return first["name"], [i["template"] for i in first["instructions"]]

    assert step({"first_step": STEP}) == ("main", ["Be kind."])
    assert step({"first_step": {"name": "hello"}}) == ("hello", ["Be kind."])
    assert step({"steps": {"hello": {"output_parser": {"type": "default"}}}})[1] == ["Be kind."]
    assert step({"steps": {"hello": {"instructions": None}}}) == ("hello", [])
    renamed = {"steps": {"hello": None, "new": STEP}, "first_step_name": "new"}
    assert step(renamed) == ("new", ["Be kind."])
    assert step({"steps": {"second": {}}}) == ("new", ["Be kind."])
    assert step({"first_step_name": "second"}) == ("second", [])
    assert step({"first_step_name": "new", "first_step": {"instructions": []}}) == ("new", [])
    assert step({"steps": None, "first_step": STEP}) == ("new", ["Be kind."])
    assert step({"steps": None}) == ("new", ["Be kind."])
    assert step({"first_step": {"name": "other"}, "first_step_name": "other"})[0] == "other"
    assert step({"steps": {"third": {}}, "first_step_name": "third"}) == ("third", [])
    assert step({"steps": None, "first_step_name": "other"}) == ("other", ["Be kind."])
    assert list(ask("GET", AGENT).json["steps"]) == ["other"]
    for wrong in (
        {"steps": {"other": None}},
        {"first_step_name": "none"},
        {"first_step_name": "none", "first_step": {"instructions": []}},
        {"first_step_name": "none", "steps": None},
        {"first_step": {"name": "x"}, "first_step_name": "y"},
        {"steps": {"second": {}}, "first_step": {"name": "second"}},
    ):
        assert ask("PATCH", AGENT, wrong).status == 400


def test_fields_of_a_step_are_taken_back_by_null(ask: Ask, full: Any) -> None:
    optional = ("reminders", "next_steps", "allowed_tools", "reentry_step", "output_parser")
    cleared = ask("PATCH", AGENT, {"steps": {"triage": dict.fromkeys(optional)}}).json
    assert cleared["steps"]["triage"] == {
        "instructions": full["steps"]["triage"]["instructions"],
        "output_parser": {"type": "default"},
    }
    assert cleared["steps"]["sell"] == full["steps"]["sell"]


def test_whatever_leads_to_a_renamed_step_still_does(ask: Ask, full: Any) -> None:
    back = {"steps": {"help": {"next_steps": [{"step_name": "triage"}]}}}
    assert ask("PATCH", AGENT, back).status == 200
    renamed = ask("PATCH", AGENT, {"first_step": {"name": "start"}}).json
    assert list(renamed["steps"]) == ["start", "sell", "help"]
    assert renamed["steps"]["start"]["reentry_step"] == "start"
    assert renamed["steps"]["help"]["next_steps"] == [{"step_name": "start"}]
    assert renamed["steps"]["start"]["next_steps"] == full["steps"]["triage"]["next_steps"]


def test_tools_and_skills_are_updated_by_name(ask: Ask, full: Any) -> None:
    def names(body: Any) -> tuple[list[str], list[str]]:
        answer = ask("PATCH", AGENT, body)
        assert answer.status == 200, answer.text
        return list(answer.json["tool_configurations"]), list(answer.json["skills"])

    more = {"skills": {"law": {"description": "d", "content": "c"}}}
    assert names(more) == (["find", "orders", "refund", "wiki"], ["tax", "law"])
    changed = {"tool_configurations": {"find": None, "wiki": {**MCP, "tool_name": None}}}
    assert names(changed)[0] == ["orders", "refund", "wiki"]
    wiki = ask("GET", AGENT).json["tool_configurations"]["wiki"]
    assert "tool_name" not in wiki
    free = {"steps": {"sell": {"allowed_tools": None, "allowed_skills": None}}}
    assert names({"tool_configurations": None, "skills": None, **free}) == ([], [])


def test_how_turns_are_run_is_updated_as_a_whole(ask: Ask, full: Any, ports: Ports) -> None:
    body = {"compaction": {"enabled": False}, "limits": {"tokens": 7}, "model": {"name": "n"}}
    assert ask("PATCH", AGENT, body).json["limits"] == {"tokens": 7}
    agent = ports.agents.get("a")
    assert (agent.compaction, agent.caps) == (Compaction(enabled=False), Caps(tokens=7))
    assert (agent.parameters, agent.retries) == ({}, Retries())
    assert "limits" not in ask("PATCH", AGENT, {"compaction": None, "limits": None}).json
    assert ports.agents.get("a").compaction == Compaction()


def test_what_something_needs_cannot_be_taken_away(ask: Ask, full: Any) -> None:
    for body, fields in (
        ({"tool_configurations": {"orders": None}}, {"steps.sell.allowed_tools.0"}),
        ({"skills": None}, {"steps.sell.allowed_skills.0"}),
        ({"steps": {"help": None}}, {"steps.triage.next_steps.1.step_name"}),
        ({"steps": {"triage": None}}, {"first_step_name"}),
        (
            {"steps": None},
            {"steps.triage.next_steps.0.step_name", "steps.triage.next_steps.1.step_name"},
        ),
        (
            {"steps": {"triage": None}, "first_step_name": "sell", "skills": {"tax": None}},
            {"steps.sell.allowed_skills.0"},
        ),
    ):
        answer = ask("PATCH", AGENT, body)
        assert (answer.status, set(answer.json["field_errors"])) == (400, fields)
    assert ask("GET", AGENT).json == full


# --- what is refused -----------------------------------------------------------------------------


def in_step(**more: Any) -> dict[str, Any]:
    return {"first_step": {**STEP, **more}}


def parsed(**more: Any) -> dict[str, Any]:
    return in_step(output_parser={**PARSER, "json_schema": {**PARSER["json_schema"], **more}})  # type: ignore[dict-item]


def tool(given: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"tool_configurations": {"t": {**given, **more}}}


def http(**more: Any) -> dict[str, Any]:
    return tool(HTTP, http={**HTTP["http"], **more})


def shaped(**more: Any) -> dict[str, Any]:
    return tool(LAMBDA, parameters={"type": "object", **more})


T = "tool_configurations.t"
DRAFT_4 = "http://json-schema.org/draft-04/schema#"


@pytest.mark.parametrize(
    ("more", "field", "says"),
    [
        (in_step(next_steps=[{}]), "first_step.next_steps.0.step_name", "is required"),
        (
            in_step(next_steps=[{"step_name": "main", "condition": "get('$.a) = 1"}]),
            "first_step.next_steps.0.condition",
            "expected text that ends with ' at character 5, found `'`",
        ),
        (in_step(next_steps=[{"step_name": "x"}]), "steps.main.next_steps.0.step_name", "one of"),
        (in_step(reentry_step="x"), "steps.main.reentry_step", "one of steps"),
        (in_step(allowed_tools=["x"]), "steps.main.allowed_tools.0", "one of tool_configurations"),
        (in_step(allowed_skills=["x"]), "steps.main.allowed_skills.0", "one of skills"),
        (in_step(next_steps=[{"step_name": "main"}] * 51), "steps.main.next_steps", "more than 50"),
        (
            in_step(reminders=[{"type": "templated", "template": "x", "hooks": []}]),
            "first_step.reminders.0.hooks",
            "not be empty",
        ),
        (
            in_step(reminders=[{"type": "templated", "template": "x", "hooks": ["odd"]}]),
            "first_step.reminders.0.hooks.0",
            "input_message",
        ),
        (in_step(output_parser={"type": "structured"}), "first_step.output_parser", "json_schema"),
        (
            in_step(output_parser={**PARSER, "type": "default"}),
            "first_step.output_parser",
            "only with that",
        ),
        (parsed(name="a b"), "first_step.output_parser.json_schema.name", "1 to 64 letters"),
        (parsed(schema=7), "first_step.output_parser.json_schema.schema", "must be an object"),
        (
            parsed(schema={"type": "array"}),
            "first_step.output_parser.json_schema.schema",
            '"type": "object"',
        ),
        (
            parsed(schema={**SCHEMA, "properties": {"a": {"const": 1}}}),
            "first_step.output_parser.json_schema.schema",
            "`a` must be an object with a `type`",
        ),
        (
            parsed(schema={**SCHEMA, "additionalProperties": True}),
            "first_step.output_parser.json_schema",
            '`strict`, the schema needs `"additionalProperties": false`',
        ),
        (
            parsed(schema={**SCHEMA, "required": []}),
            "first_step.output_parser.json_schema",
            "all its properties in `required`: intent",
        ),
        (
            {"first_step": STEP, "steps": {"main": {**STEP, "allowed_tools": []}}},
            "first_step",
            "the same as in steps",
        ),
        ({"skills": {"x": {"description": "", "content": "c"}}}, "skills.x.description", "empty"),
        (
            {"skills": {"x": {"description": "x" * 501, "content": "c"}}},
            "skills.x.description",
            "at most 500",
        ),
        (
            {"skills": {f"{n}": {"description": "d", "content": "c"} for n in range(101)}},
            "skills",
            "more than 100",
        ),
        (
            {"steps": {f"{n}": STEP for n in range(51)}, "first_step_name": "0"},
            "steps",
            "more than 50",
        ),
        (
            {"tool_configurations": {f"{n}": PYTHON for n in range(65)}},
            "tool_configurations",
            "more than 64",
        ),
        (
            {"tool_configurations": {"invoke skill": PYTHON}},
            "tool_configurations.invoke skill",
            "loads skills",
        ),
        (
            {"model": {"name": "m", "retry_configuration": {"max_retries": 11}}},
            "model.retry_configuration.max_retries",
            "less than or equal to 10",
        ),
        ({"compaction": {"threshold_percent": 49}}, "compaction.threshold_percent", "50"),
        ({"compaction": {"compaction_message": "x" * 10_001}}, "compaction.compaction_message", ""),
        ({"limits": {"model_calls": 0}}, "limits.model_calls", "equal to 1"),
        ({"limits": {"key_day_cost": 1}}, "limits.key_day_cost", "whole deployment"),
        ({"limits": {"token": 1}}, "limits.token", "is not a field"),
        (tool({"type": "odd"}), T, "dynamic_vectara, lambda or mcp"),
        (tool({}), T, "dynamic_vectara, lambda or mcp"),
        ({"tool_configurations": {"t": None}}, T, "dynamic_vectara, lambda or mcp"),
        (tool(PYTHON, tool_id="find"), f"{T}.tool_id", "`tol_`"),
        (tool(PYTHON, tool_id="tol_find-it"), f"{T}.http", "`tol_<Python function>`"),
        (tool(PYTHON, tool_id="tol__hidden"), f"{T}.http", "`tol_<Python function>`"),
        (tool(PYTHON, colour="red"), f"{T}.colour", "is not a field"),
        (tool(PYTHON, timeout_seconds=241), f"{T}.timeout_seconds", "240"),
        (tool(PYTHON, approval="maybe"), f"{T}.approval", "required"),
        (
            tool(PYTHON, argument_override={"a": [{"$ref": "env.SECRET"}]}),
            f"{T}.argument_override",
            '{"$ref": "session.metadata.<field>"}',
        ),
        (tool(LAMBDA, function_name="other"), f"{T}.function_name", "begins with `cueline-tool-`"),
        (
            tool(LAMBDA, function_name="arn:aws:lambda:eu-west-1:123456789012:function:other"),
            f"{T}.function_name",
            "the deployment may invoke no others",
        ),
        (tool(LAMBDA, parameters={"type": "array"}), f"{T}.parameters", '"type": "object"'),
        (tool(LAMBDA, parameters={"properties": {}}), f"{T}.parameters", '"type": "object"'),
        (tool(MCP, server={}), f"{T}.server.url", "is required"),
        (tool(MCP, server={"url": "https://a/{b}"}), f"{T}.server.url", "must not have `{...}`"),
        (http(url="ftp://example.com"), f"{T}.http.url", "https://"),
        (http(url="example.com"), f"{T}.http.url", "https://"),
        (http(url="https://[x/"), f"{T}.http.url", "is not a URL"),
        (http(url="https://me:hush@example.com"), f"{T}.http.url", "`cueline/tools/<host>/`"),
        (http(url="https://example.com/?api_key=hush"), f"{T}.http.url", "`api_key`"),
        (http(url="https://{id}.example.com"), f"{T}.http.url", "path and query only"),
        (http(url="https://example.com/a b"), f"{T}.http.url", "without spaces"),
        (
            http(url="https://example.com/{nr}"),
            f"{T}.http",
            "needs `nr`, which its URL names",
        ),
        (http(url="https://example.com/{a-b}"), f"{T}.http.url", "a name in letters"),
        (http(url="https://example.com/{}"), f"{T}.http.url", "a name in letters"),
        (http(parameters={"type": "object", "required": 7}), f"{T}.http.parameters", "required"),
        (
            http(parameters={"type": "object", "properties": {"a": {"pattern": "("}}}),
            f"{T}.http.parameters",
            "is no JSON Schema: properties.a.pattern: '(' is not a 'regex'",
        ),
        (shaped(pattern="a{99999999999999}"), f"{T}.parameters", "a pattern in it"),
        (shaped(pattern="(" * 3_000 + ")" * 3_000), f"{T}.parameters", "a pattern in it"),
        (shaped(patternProperties={"a{99999999999999}": {}}), f"{T}.parameters", "a pattern in it"),
        (shaped(**{"$schema": 5}), f"{T}.parameters", "its `$schema`"),
        (shaped(anyOf=[{}] * 2_000), f"{T}.parameters", "more than 2,000 schemas"),
        (shaped(description="x" * 64_000), f"{T}.parameters", "more than 64,000 characters"),
        (shaped(**{"$schema": DRAFT_4}, items={"$ref": 5}), f"{T}.parameters", "refers to 5, "),
        (shaped(**{"$schema": DRAFT_4}, exclusiveMinimum=5), f"{T}.parameters", "exclusiveMinimum"),
        (shaped(items={"$ref": "#/$defs/no"}), f"{T}.parameters", "refers to #/$defs/no"),
        (shaped(items={"$ref": "http://[/x"}), f"{T}.parameters", "refers to http"),
        (
            shaped(items={"$ref": "https://example.com/x"}),
            f"{T}.parameters",
            "refers to https://example.com/x, which is nothing in the schema itself",
        ),
        (shaped(**{"$ref": "#"}), f"{T}.parameters", "must not refer to itself"),
        (
            shaped(**{"$defs": {"a": {"anyOf": [{"$ref": "#/$defs/a"}]}}}),
            f"{T}.parameters",
            "must not refer to itself",
        ),
        (
            shaped(
                **{
                    "$defs": {
                        "d99": {},
                        **{f"d{n}": {"$ref": f"#/$defs/d{n + 1}"} for n in range(99)},
                    }
                }
            ),
            f"{T}.parameters",
            "references in a row",
        ),
        (
            parsed(schema={"type": "object", "additional_properties": {"type": "string"}}),
            "first_step.output_parser.json_schema.schema",
            "true or false as `additional_properties`",
        ),
        (
            parsed(
                schema={
                    "$schema": "http://json-schema.org/draft-03/schema#",
                    "type": "object",
                    "properties": {"a": {"type": "string", "required": True}},
                },
                strict=False,
            ),
            "first_step.output_parser.json_schema.schema",
            "`a` must have a list as `required`",
        ),
        (
            parsed(
                schema={
                    "type": "object",
                    "properties": {"a": {"type": ["object", "null"]}},
                    "required": ["a"],
                    "additionalProperties": False,
                }
            ),
            "first_step.output_parser.json_schema",
            '`a` needs `"additionalProperties": false`',
        ),
        (http(headers={"host": "x"}), f"{T}.http.headers", "made for each request"),
        (http(headers={"a b": "x"}), f"{T}.http.headers", "no header may have"),
        (http(headers={"a": "x\r\nb: c"}), f"{T}.http.headers", "no header may have"),
        (http(headers={"a": " x"}), f"{T}.http.headers", "no header may have"),
        (http(headers={"a": "x "}), f"{T}.http.headers", "no header may have"),
        (http(url="https://example.com./x"), f"{T}.http.url", "a dot at the end of its host"),
        (http(headers={"a": "x", "A": "y"}), f"{T}.http.headers", "twice"),
        (
            http(headers={"authorization": "hush"}, secret_headers={}),
            f"{T}.http.headers",
            "begins with `cueline/tools/<host>/`, and give that name in `secret_headers`",
        ),
        (
            http(secret_headers={"Accept": "cueline/tools/example.com/x"}),
            f"{T}.http.secret_headers",
            "must not have `accept`",
        ),
        (
            http(secret_headers={"x-key": "hush"}),
            f"{T}.http.secret_headers",
            "begins with `cueline/tools/`",
        ),
        (
            http(secret_headers={"x-key": "cueline/tools/other.example/x"}),
            f"{T}.http.secret_headers",
            "begin with `cueline/tools/example.com/`",
        ),
    ],
)
def test_what_is_wrong_is_named_and_says_what_to_do(
    ask: Ask, more: Any, field: str, says: str
) -> None:
    answer = ask("POST", "/v2/agents", {**SMALLEST, **more})
    assert (answer.status, answer.json["code"]) == (400, "invalid_request")
    assert list(answer.json["field_errors"]) == [field]
    assert says in answer.json["field_errors"][field]
    assert "hush" not in answer.text


@pytest.mark.parametrize(
    "name",
    [
        "Authorization", "proxy-authorization", "Cookie", "set-cookie", "x-api-key", "api-key",
        "apikey", "X-Auth-Token", "x-access-key", "Ocp-Apim-Subscription-Key", "x-session", "auth",
        "x-amz-security-token", "client-secret", "x-password",
    ],
)  # fmt: skip
def test_credentials_are_no_plain_headers(ask: Ask, name: str) -> None:
    for given in (
        http(headers={name: "hush"}),
        tool(MCP, server={"url": "https://a", "headers": {name: "hush"}}),
    ):
        answer = ask("POST", "/v2/agents", {**SMALLEST, **given})
        assert answer.status == 400
        assert "`secret_headers`" in answer.text
        assert "hush" not in answer.text


@pytest.mark.parametrize(
    "given",
    [
        tool(PYTHON, tool_id="tol_shop.find_order"),
        tool(PYTHON, argument_override={"a": {"$ref": "agent.metadata.b.c"}, "d": {"$$ref": "x"}}),
        tool(PYTHON, argument_override={"schema": {"$ref": "#/x", "type": "object"}}),
        http(parameters=None),
        shaped(
            **{"$defs": {"tree": {"properties": {"of": {"items": {"$ref": "#/$defs/tree"}}}}}},
            properties={"$ref": {"$ref": "#/$defs/tree"}},
        ),
        shaped(**{"$id": "https://a.example/b"}, items={"$id": "c", "$ref": "b#"}),
        shaped(**{"$schema": DRAFT_4}, properties={"n": {"minimum": 5, "exclusiveMinimum": True}}),
        http(url="https://example.com/{id}?customer={customer}"),
        http(url="http://127.0.0.1:8080/x?key={id}", secret_headers={}),
    ],
)
def test_what_the_tools_take_is_taken(ask: Ask, given: dict[str, Any]) -> None:
    answer = ask("POST", "/v2/agents", {**SMALLEST, **given})
    assert answer.status == 201, answer.text


def test_a_header_that_proves_nothing_is_fine(ask: Ask) -> None:
    fine = {"Accept": "*/*", "x-tenant": "a", "user-agent": "x", "X-Author": "me"}
    assert ask("POST", "/v2/agents", {**SMALLEST, **http(headers=fine)}).status == 201
    bearer = http(headers={"x-who": "Bearer hush"})
    assert ask("POST", "/v2/agents", {**SMALLEST, **bearer}).status == 400


@pytest.mark.parametrize(
    "name",
    [
        "cueline-tool-a",
        "cueline-tool-a:live",
        "arn:aws:lambda:eu-west-1:123456789012:function:cueline-tool-a",
        "arn:aws-cn:lambda:cn-north-1:123456789012:function:cueline-tool-a:$LATEST",
    ],
)
def test_a_lambda_function_is_named_as_the_deployment_may_invoke_it(ask: Ask, name: str) -> None:
    given = {**SMALLEST, **tool(LAMBDA, function_name=name)}
    assert ask("POST", "/v2/agents", given).status == 201


@pytest.mark.parametrize(
    ("more", "named"),
    [
        *(
            ({"tool_configurations": {"x": {"type": kind}}}, f"The tool type `{kind}`")
            for kind in (
                "corpora_search", "web_search", "web_get", "sub_agent", "artifact_create",
                "artifact_read", "artifact_grep", "image_read", "document_conversion",
                "get_document_text",
            )
        ),
        ({"tool_output_offloading": {}}, "tool_output_offloading"),
        ({"tool_output_offloading": {"enabled": True}}, "tool_output_offloading"),
        (
            {"tool_output_offloading": {"enabled": False, "min_threshold_bytes": 2000}},
            "tool_output_offloading",
        ),
        (in_step(instructions=[{"type": "reference", "id": "ins_1"}]), "reference"),
        (
            in_step(reminders=[{"type": "glossary_expansion", "glossary_key": "g"}]),
            "glossary_expansion",
        ),
        (in_step(instructions=[{**INLINE, "template": "$session.metadata.x"}]), "$session"),
        (
            in_step(reminders=[{"template": "On $currentDate", "hooks": ["tool_output"]}]),
            "$currentDate",
        ),
        (tool(PYTHON, description_template="Of $agent.name"), "$agent"),
    ],
)  # fmt: skip
def test_what_is_not_built_is_refused_by_name(ask: Ask, more: Any, named: str) -> None:
    answer = ask("POST", "/v2/agents", {**SMALLEST, **more})
    assert (answer.status, answer.json["code"]) == (501, "not_implemented")
    assert named in answer.json["messages"][0]


def test_what_asks_for_what_happens_anyway_is_taken(ask: Ask) -> None:
    step = {**STEP, "type": "conversational", "reminders": [], "allowed_tools": None}
    more = {"skills": {}, "compaction": None, "first_step": step, "metadata": None, "key": None}
    assert ask("POST", "/v2/agents", {**SMALLEST, **more}).status == 201
