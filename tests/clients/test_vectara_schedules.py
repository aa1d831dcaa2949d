"""The Vectara SDK manages agents' schedules, and reads their executions."""

from collections.abc import Iterator

import pytest
from vectara import AgentModel, Vectara
from vectara.environment import VectaraEnvironment
from vectara.errors import BadRequestError, ConflictError, NotFoundError
from vectara.types import (
    AgentInput_Text,
    ScheduleConfiguration_Cron,
    ScheduleConfiguration_Interval,
)

NO_RETRY = {"max_retries": 0}
HELLO = [AgentInput_Text(content="Sum the day up.")]
HOURLY = ScheduleConfiguration_Interval(interval="PT1H")


@pytest.fixture
def client(url: str) -> Vectara:
    return Vectara(environment=VectaraEnvironment(default=url, auth=url), api_key="k")


@pytest.fixture
def agent(client: Vectara, unique: str) -> Iterator[str]:
    model = AgentModel(name="practice")
    client.agents.create(key=unique, name="Helper", tool_configurations={}, model=model)
    yield unique
    for schedule in client.agent_schedules.list(unique, limit=100):
        client.agent_schedules.delete(unique, schedule.key)
    client.agents.delete(unique)


def test_a_schedule_comes_back_as_given(client: Vectara, agent: str) -> None:
    made = client.agent_schedules.create(
        agent,
        key="daily",
        name="Daily",
        description="At nine.",
        message=HELLO,
        schedule=ScheduleConfiguration_Cron(cron_expression="0 9 * * 1-5"),
        session_metadata={"report": "daily"},
        max_executions_to_keep=3,
    )
    assert (made.key, made.agent_key, made.name) == ("daily", agent, "Daily")
    assert made.message == HELLO
    assert made.schedule == ScheduleConfiguration_Cron(cron_expression="0 9 * * 1-5")
    assert (made.enabled, made.session_metadata) == (True, {"report": "daily"})
    assert made.last_execution_at is None
    assert client.agent_schedules.get(agent, "daily") == made
    assert list(client.agent_schedules.list_executions(agent, "daily")) == []


def test_a_schedule_is_changed_and_paused(client: Vectara, agent: str) -> None:
    client.agent_schedules.create(agent, key="s", name="S", message=HELLO, schedule=HOURLY)
    changed = client.agent_schedules.update(
        agent, "s", enabled=False, schedule=ScheduleConfiguration_Interval(interval="PT90M")
    )
    assert not changed.enabled
    assert changed.schedule.interval == "PT90M"
    assert client.agent_schedules.update(agent, "s", enabled=True).enabled


def test_a_list_of_schedules_is_read_page_by_page(client: Vectara, agent: str) -> None:
    for key in ("a", "b", "c"):
        client.agent_schedules.create(agent, key=key, name=key, message=HELLO, schedule=HOURLY)
    assert [one.key for one in client.agent_schedules.list(agent, limit=2)] == ["a", "b", "c"]


def test_what_is_refused_raises_what_the_sdk_has_for_it(client: Vectara, agent: str) -> None:
    schedules, more = client.agent_schedules, {"request_options": NO_RETRY}
    schedules.create(agent, key="s", name="S", message=HELLO, schedule=HOURLY)
    with pytest.raises(ConflictError):
        schedules.create(agent, key="s", name="T", message=HELLO, schedule=HOURLY, **more)
    short = ScheduleConfiguration_Interval(interval="PT1S")
    with pytest.raises(BadRequestError):
        schedules.create(agent, name="T", message=HELLO, schedule=short)
    schedules.delete(agent, "s")
    with pytest.raises(NotFoundError):
        schedules.get(agent, "s")
