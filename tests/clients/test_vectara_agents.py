"""The Vectara SDK configures agents: steps, tools, skills, and how their turns are run."""

from collections.abc import Iterator

import pytest
from vectara import AgentModel, AsyncVectara, Vectara
from vectara.core.api_error import ApiError
from vectara.environment import VectaraEnvironment
from vectara.errors import BadRequestError
from vectara.types import (
    Agent,
    AgentOutputParser_Default,
    AgentOutputParser_Structured,
    AgentSkill,
    AgentStep,
    AgentStepReminder_GlossaryExpansion,
    AgentStepReminder_Templated,
    CompactionConfig,
    FirstAgentStep,
    JsonSchemaDefinition,
    JsonSchemaSpec,
    NextStep,
    RetryConfiguration,
    ToolOutputOffloadingConfiguration,
    UpdateAgentStep,
    UpdateFirstAgentStep,
)
from vectara.types import AgentStepInstruction_Inline as Inline
from vectara.types import AgentToolConfiguration_DynamicVectara as DynamicVectara
from vectara.types import AgentToolConfiguration_Lambda as Lambda
from vectara.types import AgentToolConfiguration_Mcp as Mcp
from vectara.types import AgentToolConfiguration_WebSearch as WebSearch

NO_RETRY = {"max_retries": 0}
MODEL = AgentModel(name="practice")
DEFAULT = AgentOutputParser_Default()
INTENT = AgentOutputParser_Structured(
    json_schema=JsonSchemaSpec(
        name="intent",
        strict=True,
        description="What the user wants",
        schema=JsonSchemaDefinition(
            type="object",
            properties={
                "intent": JsonSchemaDefinition(type="string", enum=["sales", "support"]),
                "tags": JsonSchemaDefinition(
                    type="array", items=JsonSchemaDefinition(type="string")
                ),
            },
            required=["intent", "tags"],
            additionalProperties=False,
        ),
    )
)
ARGUMENTS = {"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]}
TOOLS = {
    "time": DynamicVectara(tool_id="tol_current_time", description_template="What time it is."),
    "orders": DynamicVectara(
        tool_id="tol_orders",
        argument_override={"customer": {"$ref": "session.metadata.customer"}},
        http={
            "method": "GET",
            "url": "https://example.com/orders/{id}",
            "secret_headers": {"authorization": "cueline/tools/example.com/orders"},
            "parameters": ARGUMENTS,
        },
        approval="required",
        timeout_seconds=5,
        repeatable=True,
    ),
    "refund": Lambda(
        tool_id="tol_refund", function_name="cueline-tool-refund", parameters=ARGUMENTS
    ),
    "wiki": Mcp(tool_id="tol_wiki", server={"url": "https://example.com/mcp"}, tool_name="search"),
}
SKILLS = {"tax": AgentSkill(description="How to tax.", content="Take 19 %. 日本語 🎈")}


def step(text: str, **more: object) -> AgentStep:
    said = Inline(name="tone", template=text)
    return AgentStep(**{"instructions": [said], "output_parser": DEFAULT, **more})


STEPS = {
    "triage": step(
        "Find out what is wanted.",
        output_parser=INTENT,
        reminders=[AgentStepReminder_Templated(template="Be brief.", hooks=["input_message"])],
        next_steps=[
            NextStep(condition="get('$.output.intent') == 'sales'", step_name="sales"),
            NextStep(step_name="support"),
        ],
        allowed_tools=[],
    ),
    "sales": step("Sell.", allowed_tools=["orders"], allowed_skills=["tax"]),
    "support": step("Help.", allowed_skills=[], reentry_step="triage"),
}


@pytest.fixture
def client(url: str) -> Vectara:
    return Vectara(environment=VectaraEnvironment(default=url, auth=url), api_key="k")


@pytest.fixture
def full(client: Vectara, unique: str) -> Iterator[Agent]:
    yield client.agents.create(
        key=unique,
        name="Desk",
        tool_configurations=TOOLS,
        skills=SKILLS,
        model=AgentModel(
            name="practice",
            parameters={"temperature": 0.2},
            retry_configuration=RetryConfiguration(max_retries=5, backoff_factor=1.5),
        ),
        first_step_name="triage",
        steps=STEPS,
        compaction=CompactionConfig(
            threshold_percent=60, keep_recent_inputs=2, compaction_message="Keep names."
        ),
        tool_output_offloading=ToolOutputOffloadingConfiguration(enabled=False),
        request_options={"additional_body_parameters": {"limits": {"model_calls": 9, "cost": 1}}},
    )
    client.agents.delete(unique)


def test_everything_comes_back_as_given(client: Vectara, full: Agent) -> None:
    assert client.agents.get(full.key) == full
    assert full.first_step_name == full.first_step.name == "triage"
    assert list(full.steps) == list(STEPS)
    triage = full.steps["triage"]
    assert triage.output_parser == full.first_step.output_parser == INTENT
    assert triage.next_steps == STEPS["triage"].next_steps
    assert triage.allowed_tools == []
    assert triage.allowed_skills is None
    assert (triage.reminders[0].template, triage.reminders[0].hooks) == (
        "Be brief.",
        ["input_message"],
    )
    assert full.steps["sales"].allowed_tools == ["orders"]
    assert full.steps["support"].reentry_step == "triage"
    assert full.skills == SKILLS
    assert full.compaction.compaction_message == "Keep names."
    assert full.compaction.tool_event_policy == "include_outputs"
    assert full.model.retry_configuration.max_retries == 5
    assert full.model.retry_configuration.backoff_factor == 1.5
    assert full.tool_output_offloading.enabled is False
    assert full.limits == {"model_calls": 9, "cost": 1}


def test_tools_come_back_with_what_the_sdk_does_not_know(full: Agent) -> None:
    tools = full.tool_configurations
    assert {name: type(tool) for name, tool in tools.items()} == {
        name: type(tool) for name, tool in TOOLS.items()
    }
    assert tools["time"].description_template == "What time it is."
    assert tools["orders"].argument_override == TOOLS["orders"].argument_override
    assert tools["orders"].http == TOOLS["orders"].http
    assert (tools["orders"].approval, tools["orders"].timeout_seconds) == ("required", 5)
    assert tools["refund"].function_name == "cueline-tool-refund"
    assert tools["wiki"].server == {"url": "https://example.com/mcp"}


def test_what_was_got_can_be_put_back(client: Vectara, full: Agent) -> None:
    put = client.agents.replace(
        full.key,
        name=full.name,
        tool_configurations=full.tool_configurations,
        model=full.model,
        skills=full.skills,
        first_step=full.first_step,
        first_step_name=full.first_step_name,
        steps=full.steps,
        metadata=full.metadata,
        compaction=full.compaction,
        tool_output_offloading=full.tool_output_offloading,
        request_options={"additional_body_parameters": {"limits": full.limits}},
    )
    assert put.model_copy(update={"updated_at": full.updated_at}) == full


def test_an_update_merges_steps_tools_and_skills_by_name(client: Vectara, full: Agent) -> None:
    changed = client.agents.update(
        full.key,
        steps={
            "sales": UpdateAgentStep(instructions=[Inline(name="tone", template="Sell more.")]),
            "bye": UpdateAgentStep(instructions=[], reentry_step="triage"),
        },
        tool_configurations={"refund": None, "time": DynamicVectara(tool_id="tol_current_time")},
        skills={"law": AgentSkill(description="d", content="c")},
    )
    assert list(changed.steps) == ["triage", "sales", "support", "bye"]
    assert changed.steps["sales"].instructions[0].template == "Sell more."
    assert changed.steps["sales"].allowed_tools == ["orders"]
    assert changed.steps["triage"] == full.steps["triage"]
    assert list(changed.tool_configurations) == ["time", "orders", "wiki"]
    assert changed.tool_configurations["time"].description_template is None
    assert list(changed.skills) == ["tax", "law"]
    assert (changed.compaction, changed.model, changed.limits) == (
        full.compaction,
        full.model,
        full.limits,
    )


def test_null_takes_back(client: Vectara, full: Agent) -> None:
    changed = client.agents.update(
        full.key,
        steps={"sales": None, "triage": UpdateAgentStep(next_steps=None, output_parser=None)},
        tool_configurations=None,
        skills=None,
        compaction=None,
    )
    assert list(changed.steps) == ["triage", "support"]
    assert changed.steps["triage"].next_steps is None
    assert changed.steps["triage"].output_parser == DEFAULT
    assert changed.steps["triage"].allowed_tools == []
    assert (changed.tool_configurations, changed.skills) == ({}, {})
    assert changed.compaction.threshold_percent == 80


def test_the_first_step_is_another_one_or_has_another_name(client: Vectara, full: Agent) -> None:
    other = client.agents.update(full.key, first_step_name="sales")
    assert other.first_step.name == "sales"
    assert other.first_step.instructions[0].template == "Sell."
    renamed = client.agents.update(full.key, first_step=UpdateFirstAgentStep(name="shop"))
    assert list(renamed.steps) == ["triage", "shop", "support"]
    assert renamed.first_step_name == "shop"
    assert renamed.steps["triage"].next_steps[0].step_name == "shop"


def test_a_first_step_alone_will_do(client: Vectara, unique: str) -> None:
    said = STEPS["triage"].instructions
    first = FirstAgentStep(name="triage", instructions=said, output_parser=INTENT)
    made = client.agents.create(
        key=unique, name="A", tool_configurations={}, model=MODEL, first_step=first
    )
    assert list(made.steps) == ["triage"]
    assert made.first_step.output_parser == INTENT
    client.agents.delete(unique)


@pytest.mark.parametrize(
    ("more", "field", "says"),
    [
        (
            {"steps": {"a": step("x", next_steps=[NextStep(step_name="b")])}},
            "steps.a.next_steps.0.step_name",
            "must name one of steps",
        ),
        (
            {"steps": {"a": step("x", next_steps=[NextStep(step_name="a", condition="1 = 1")])}},
            "steps.a.next_steps.0.condition",
            "expected `==` at character 3, found `=`",
        ),
        (
            {"steps": {"a": step("x", allowed_tools=["none"])}},
            "steps.a.allowed_tools.0",
            "must name one of tool_configurations",
        ),
        (
            {"tool_configurations": {"t": Lambda(tool_id="tol_t", function_name="mine")}},
            "tool_configurations.t.function_name",
            "begins with `cueline-tool-`",
        ),
        (
            {
                "tool_configurations": {
                    "t": Mcp(
                        tool_id="tol_t",
                        server={"url": "https://example.com", "headers": {"x-api-key": "hush"}},
                    )
                }
            },
            "tool_configurations.t.server.headers",
            "under a name that begins with `cueline/tools/<host>/`",
        ),
    ],
)
def test_what_is_wrong_is_named_and_says_what_to_do(
    client: Vectara, more: dict, field: str, says: str
) -> None:
    body = {"tool_configurations": {}, "steps": {"a": step("x")}, **more}
    with pytest.raises(BadRequestError) as caught:
        client.agents.create(name="A", model=MODEL, first_step_name="a", **body)
    assert says in caught.value.body["field_errors"][field]
    assert "hush" not in str(caught.value.body)


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"tool_configurations": {"t": WebSearch()}}, "`web_search`"),
        (
            {"tool_output_offloading": ToolOutputOffloadingConfiguration(enabled=True)},
            "`tool_output_offloading`",
        ),
        (
            {
                "first_step": FirstAgentStep(
                    name="a",
                    instructions=[],
                    output_parser=DEFAULT,
                    reminders=[AgentStepReminder_GlossaryExpansion(glossary_key="g")],
                )
            },
            "`glossary_expansion`",
        ),
    ],
)
def test_what_is_not_built_is_refused_by_name(client: Vectara, more: dict, named: str) -> None:
    body = {"tool_configurations": {}, **more}
    with pytest.raises(ApiError) as caught:
        client.agents.create(name="A", model=MODEL, request_options=NO_RETRY, **body)
    assert (caught.value.status_code, caught.value.body["code"]) == (501, "not_implemented")
    assert named in caught.value.body["messages"][0]


async def test_the_async_client_does_the_same(url: str, full: Agent) -> None:
    client = AsyncVectara(environment=VectaraEnvironment(default=url, auth=url), api_key="k")
    assert await client.agents.get(full.key) == full
    changed = await client.agents.update(full.key, skills={"law": SKILLS["tax"]})
    assert list(changed.skills) == ["tax", "law"]
