"""Agents, and API keys."""

import pytest

from cueline.engine.agent import (
    AgentStep,
    Caps,
    Compaction,
    HttpTool,
    Instruction,
    LambdaTool,
    McpTool,
    NextStep,
    OutputSchema,
    PythonTool,
    Reminder,
    Retries,
    Skill,
)
from cueline.engine.ports import Key, Ports, Secret
from cueline.errors import AgentExists, AgentNotFound, TooLarge
from cueline.log.segment import MAX_BYTES
from tests.contract.backends import Backend, Loss, agent


def test_everything_about_an_agent_comes_back(ports: Ports) -> None:
    full = agent(
        description="ü",
        parameters={"temperature": 0.5, "x": [1, None]},
        first_step="hello",
        steps={
            "hello": AgentStep(
                instructions=(Instruction(name="i", template="Be kind.", metadata={"a": 1}),),
                output=OutputSchema(name="o", json_schema={"type": "object", "x": [None]}),
                reminders=(Reminder(template="ü", hooks=("input_message",)),),
                next_steps=(NextStep(step_name="bye", condition="true"), NextStep(step_name="bye")),
                allowed_tools=(),
                allowed_skills=("s",),
                reentry_step="bye",
            ),
            "bye": AgentStep(),
        },
        tools={
            "code": PythonTool(tool_id="tol_find", function="find", approval="required"),
            "http": HttpTool(
                tool_id="tol_http",
                url="https://example.com/{id}",
                headers={"accept": "text/plain"},
                secret_headers={"authorization": "cueline/tools/example"},
                parameters={"type": "object", "properties": {"id": {"type": "string"}}},
                argument_override={"id": {"$ref": "session.metadata.id"}},
                timeout_seconds=1.5,
                repeatable=True,
            ),
            "lambda": LambdaTool(tool_id="tol_l", function_name="cueline-tool-l"),
            "mcp": McpTool(tool_id="tol_m", url="https://example.com/mcp", tool_name="find"),
        },
        skills={"s": Skill(description="d", content="c")},
        retries=Retries(enabled=False),
        compaction=Compaction(message="Keep names.", tool_events="exclude"),
        caps=Caps(model_calls=3, session_cost=0.5),
        metadata={"team": {"nested": True}},
        enabled=False,
    )
    ports.agents.create(full)
    assert ports.agents.get("support") == full


def test_a_key_is_given_once(ports: Ports) -> None:
    ports.agents.create(agent())
    with pytest.raises(AgentExists):
        ports.agents.create(agent(name="Other"))
    assert ports.agents.get("support") == agent()


def test_what_is_not_there_is_not_found(ports: Ports) -> None:
    with pytest.raises(AgentNotFound):
        ports.agents.get("support")
    with pytest.raises(AgentNotFound):
        ports.agents.delete("support")
    assert not ports.agents.replace(agent(version=1))
    with pytest.raises(AgentNotFound):
        ports.agents.get("support")


def test_a_change_names_the_version_that_it_read(ports: Ports) -> None:
    ports.agents.create(agent())
    changed = agent(name="New", version=1)
    assert ports.agents.replace(changed)
    assert not ports.agents.replace(agent(name="Stale", version=1))
    assert not ports.agents.replace(agent(name="Early", version=3))
    assert ports.agents.get("support") == changed


def test_a_deleted_agent_is_gone_and_its_key_is_free(ports: Ports) -> None:
    ports.agents.create(agent())
    ports.agents.delete("support")
    with pytest.raises(AgentNotFound):
        ports.agents.get("support")
    assert ports.agents.list(10, None).items == []
    ports.agents.create(agent(name="Again"))
    assert ports.agents.get("support").name == "Again"


def test_a_repeated_write_is_the_writers_own(table: Backend) -> None:
    agents = table.ports.agents
    table.losing("repeated", lambda: agents.create(agent()))
    assert table.losing("repeated", lambda: agents.replace(agent(name="New", version=1)))
    assert agents.get("support").name == "New"
    table.losing("repeated", lambda: agents.delete("support"))
    with pytest.raises(AgentNotFound):
        agents.get("support")


def test_an_agent_too_large_is_refused_before_anything_is_written(ports: Ports) -> None:
    pile = "\N{PILE OF POO}" * (MAX_BYTES // 4)
    with pytest.raises(TooLarge):
        ports.agents.create(agent(description=pile))
    with pytest.raises(AgentNotFound):
        ports.agents.get("support")


def test_agents_are_listed_oldest_first(ports: Ports) -> None:
    for n, key in enumerate("cab"):
        ports.agents.create(agent(key, created_at=1000 + n))
    ports.agents.replace(agent("c", created_at=1000, updated_at=5000, version=1))
    first = ports.agents.list(2, None)
    assert [a.key for a in first.items] == ["c", "a"]
    second = ports.agents.list(2, first.next)
    assert [a.key for a in second.items] == ["b"]
    assert second.next is None


def test_a_reader_cannot_change_what_is_stored(ports: Ports) -> None:
    given = agent(metadata={"a": 1})
    ports.agents.create(given)
    given.metadata["a"] = 2
    ports.agents.get("support").metadata["a"] = 3
    assert ports.agents.get("support").metadata == {"a": 1}


def test_api_keys_are_kept_by_their_id(ports: Ports) -> None:
    ports.agents.create(agent("k1"))
    assert ports.keys.get("k1") is None
    key = Key("k1", "Ops", (Secret("0" * 64, expires_at=9), Secret("1" * 64)), 5)
    ports.keys.put(key)
    ports.keys.put(Key("k1", "a late try of somebody else's", (), 6))
    assert ports.keys.get("k1") == key
    assert ports.agents.get("k1") == agent("k1")
    ports.keys.remove("k1")
    ports.keys.remove("k1")
    assert ports.keys.get("k1") is None


@pytest.mark.parametrize("loss", ["none", "repeated"])
def test_a_key_gets_a_new_secret_unless_it_has_changed(backend: Backend, loss: Loss) -> None:
    """Above all, it does not come back where it has been revoked."""
    keys = backend.ports.keys
    old = Key("k1", "Ops", (Secret("0" * 64),), 5)
    new = Key("k1", "Ops", (Secret("1" * 64), Secret("0" * 64, expires_at=9)), 5)
    keys.put(old)
    assert backend.losing(loss, lambda: keys.replace(old, new))
    assert keys.get("k1") == new
    assert not keys.replace(old, Key("k1", "Ops", (Secret("2" * 64),), 5))
    keys.remove("k1")
    assert not keys.replace(new, old)
    assert keys.get("k1") is None


def test_keys_are_listed_oldest_first(ports: Ports) -> None:
    made = [Key(f"k{n}", "Ops", (Secret("0" * 64),), 10 - n) for n in range(3)]
    for key in made:
        ports.keys.put(key)
    first = ports.keys.list(2, None)
    assert list(first.items) == [made[2], made[1]]
    assert list(ports.keys.list(2, first.next).items) == [made[0]]
