"""Posting to an agent that works: with tools and approval, in steps and forms, within limits."""

from dataclasses import replace
from typing import Any

import httpx
import pytest

from cueline import bootstrap
from cueline.doors.agent_events.hosting import Hosting
from cueline.engine.agent import (
    AgentStep,
    Caps,
    Compaction,
    NextStep,
    OutputSchema,
    PythonTool,
    Skill,
)
from cueline.engine.model import CallMade, End, ThinkingDelta, Usage
from cueline.errors import ModelError
from cueline.log.events import Input, ToolInput, TurnFailed
from tests.functions.posting import PATH, Door, door, hosting
from tests.models import refused
from tests.tooling import FakeToolbox, calls, says

__all__ = ["door", "hosting"]

OUTPUT = OutputSchema(name="order", json_schema={"type": "object", "required": ["size"]})


@pytest.fixture
def toolbox(hosting: Hosting, monkeypatch: pytest.MonkeyPatch) -> FakeToolbox:
    tools = FakeToolbox()
    tools.add("look", '{"found": 3}')
    tools.add("refund", "paid", approval=True)
    limit(hosting, monkeypatch, toolbox=tools)
    return tools


def limit(
    hosting: Hosting, monkeypatch: pytest.MonkeyPatch, toolbox: Any = None, **limits: Any
) -> None:
    ports = replace(hosting.inline.ports, toolbox=toolbox or hosting.inline.ports.toolbox)
    inline = replace(hosting.inline, ports=ports, limits=replace(hosting.inline.limits, **limits))
    made = replace(hosting, ports=ports, inline=inline)
    monkeypatch.setattr(bootstrap, "hosting", lambda: made)


def change(door: Door, **fields: Any) -> None:
    agent = door.ports.agents.get("a")
    update = {"tools": {"any": PythonTool(tool_id="tol_x", function="x")}, **fields}
    changed = agent.model_copy(update={**update, "version": agent.version + 1})
    assert door.ports.agents.replace(changed)


@pytest.fixture
def shop(door: Door, toolbox: FakeToolbox) -> Door:
    change(door)
    return door


def kinds(response: httpx.Response) -> list[str]:
    assert response.status_code == 201, response.text
    return [event["type"] for event in response.json()["events"]]


def decide(door: Door, call: str, decision: str, **more: Any) -> httpx.Response:
    body = {"type": "tool_decision", "tool_call_id": call, "decision": decision, **more}
    return door.client.post(PATH, json=body)


# --- tools ---------------------------------------------------------------------------------------


def test_json_has_the_calls_and_their_outputs(shop: Door) -> None:
    shop.model.scripts = [calls(("look", {"x": 1}), text="Let me see."), says("Three.")]
    response = shop.post("how many?")
    assert kinds(response) == [
        "input_message",
        "agent_output",
        "tool_input",
        "tool_output",
        "agent_output",
    ]
    _, spoke, asked, told, answer = response.json()["events"]
    assert (spoke["content"], answer["content"]) == ("Let me see.", "Three.")
    for one in (asked, told):
        assert one["tool_call_id"] == "c0"
        assert one["tool_configuration_name"] == one["tool_name"] == "look"
    assert asked["tool_input"] == {"x": 1}
    assert (told["tool_output"], told["error"]) == ({"found": 3}, False)


def test_a_stream_has_them_in_order_with_the_words_between(shop: Door) -> None:
    shop.model.scripts = [
        [ThinkingDelta("hm"), *calls(("look", {}), text="Let me see.")],
        [ThinkingDelta("so"), Usage(90, 10, 2), *says("Three.")],
    ]
    told = [event["type"] for event in shop.stream("how many?")]
    assert told == [
        "input_message",
        "streaming_thinking",
        "streaming_thinking_end",
        "streaming_agent_output",
        "streaming_agent_output_end",
        "context_consumed",
        "tool_input",
        "tool_output",
        "streaming_thinking",
        "streaming_thinking_end",
        "streaming_agent_output",
        "streaming_agent_output_end",
        "context_consumed",
        "end",
    ]


def test_a_stream_says_how_full_the_context_is(shop: Door) -> None:
    shop.model.scripts = [[Usage(90, 10, 2), *says("hi")]]
    consumed = next(e for e in shop.stream() if e["type"] == "context_consumed")
    assert consumed["created_at"]
    assert consumed["session_context_usage"] == {
        "input_tokens": {"count": 90},
        "output_tokens": {"count": 10, "reasoning_tokens": 2},
        "total_tokens": 100,
    }


# --- approval ------------------------------------------------------------------------------------


def test_a_call_that_waits_is_told_and_decided_on(shop: Door, toolbox: FakeToolbox) -> None:
    shop.model.scripts = [calls(("refund", {"amount": 5})), says("Refunded.")]
    response = shop.post("refund me")
    assert kinds(response) == ["input_message", "tool_input", "agent_output"]
    _, asked, waits = response.json()["events"]
    assert asked["approval_required"] is True
    assert waits["approvals"] == [{"tool_call_id": "c0", "tool_configuration_name": "refund"}]
    assert "approval" in waits["content"]
    assert toolbox.ran == []
    response = decide(shop, "c0", "approve")
    assert kinds(response)[-1] == "agent_output"
    assert response.json()["events"][-1]["content"] == "Refunded."
    assert toolbox.ran == [("refund", {"amount": 5})]


def test_a_stream_ends_where_a_call_waits(shop: Door) -> None:
    shop.model.scripts = [calls(("refund", {}), text="I need a person.")]
    told = shop.stream("refund me")
    assert told[-1]["type"] == "end"
    assert "error" not in [event["type"] for event in told]
    said = "".join(e["content"] for e in told if e["type"] == "streaming_agent_output")
    assert "approval" in said


def test_an_edit_and_a_rejection_reach_the_model(shop: Door, toolbox: FakeToolbox) -> None:
    shop.model.scripts = [calls(("refund", {"amount": 500}), ("refund", {"amount": 7}))]
    shop.post("refund me twice")
    decide(shop, "c0", "edit", arguments={"amount": 5})
    response = decide(shop, "c1", "reject", message="Once is enough.")
    assert toolbox.ran == [("refund", {"amount": 5})]
    told = [e for e in response.json()["events"] if e["type"] == "tool_output"]
    assert "Once is enough." in told[-1]["tool_output"]["output"]
    assert told[-1]["error"] is True


@pytest.mark.parametrize("call", ["c9", "x"])
def test_a_decision_on_what_does_not_wait_is_not_found(shop: Door, call: str) -> None:
    response = decide(shop, call, "approve")
    assert response.status_code == 404
    assert response.json()["code"] == "tool_call_not_found"
    assert shop.log() == []


def test_a_decision_that_is_sent_twice_is_carried_out_once(
    shop: Door, toolbox: FakeToolbox
) -> None:
    shop.model.scripts = [calls(("refund", {}))]
    shop.post("refund me")
    body = {"type": "tool_decision", "tool_call_id": "c0", "decision": "approve"}
    key = {"Idempotency-Key": "once"}
    answers = [shop.client.post(PATH, json=body, headers=key).json() for _ in range(2)]
    assert answers[0] == answers[1]
    assert len(toolbox.ran) == 1
    assert decide(shop, "c0", "approve").status_code == 404


# --- steps, forms, skills ------------------------------------------------------------------------


def test_json_and_streams_show_steps_and_forms(shop: Door) -> None:
    change(
        shop,
        first_step="ask",
        steps={
            "ask": AgentStep(output=OUTPUT, next_steps=(NextStep(step_name="tell"),)),
            "tell": AgentStep(reentry_step="ask"),
        },
    )
    shop.model.scripts = [says('{"size": 3}'), says("Three."), says('{"size": 4}'), says("Four.")]
    response = shop.post("how big?")
    expected = ["input_message", "structured_output", "step_transition", "agent_output"]
    assert kinds(response) == expected
    form, changed = response.json()["events"][1:3]
    assert (form["schema_name"], form["content"]) == ("order", {"size": 3})
    assert (changed["from_step"], changed["to_step"]) == ("ask", "tell")
    assert changed["content"]
    told = [e for e in shop.stream("and now?") if e["type"] != "context_consumed"]
    assert [e["type"] for e in told] == [
        "input_message",
        "structured_output",
        "step_transition",
        "streaming_agent_output",
        "streaming_agent_output_end",
        "end",
    ]
    assert told[1]["content"] == {"size": 4}


def test_steps_in_circles_are_told_by_their_own_event(
    shop: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cueline.engine.answering.MOST_TRANSITIONS", 2)
    change(shop, steps={"main": AgentStep(next_steps=(NextStep(step_name="main"),))})
    response = shop.post("go")
    assert kinds(response)[-1] == "step_transition_limit_exceeded"
    assert response.json()["events"][-1]["message"]
    told = [e["type"] for e in shop.stream("again")]
    assert "step_transition_limit_exceeded" in told
    assert told[-2:] == ["error", "end"]


def test_a_message_may_bring_a_skill(shop: Door) -> None:
    change(shop, skills={"greet": Skill(description="How to greet.", content="Say moin.")})
    skill = {"type": "skill", "skill_name": "greet"}
    response = shop.client.post(PATH, json={"messages": [skill]})
    assert kinds(response) == ["input_message", "skill_load", "agent_output"]
    asked, loaded, _ = response.json()["events"]
    assert asked["messages"] == [skill]
    assert (loaded["skill_name"], loaded["content"]) == ("greet", "Say moin.")


def test_a_skill_that_there_is_not_is_refused_before_anything_is_written(shop: Door) -> None:
    skill = {"type": "skill", "skill_name": "magic"}
    response = shop.client.post(PATH, json={"messages": [skill]})
    assert response.status_code == 400
    assert "magic" in response.json()["messages"][0]
    assert shop.log() == []


# --- limits --------------------------------------------------------------------------------------


@pytest.mark.parametrize("streamed", [False, True])
def test_a_limit_is_an_error_that_names_it(shop: Door, streamed: bool) -> None:
    change(shop, caps=Caps(model_calls=2))
    shop.model.scripts = [calls(("look", {"n": n}), at=n) for n in range(9)]
    if streamed:
        error = shop.stream("go")[-2]
        assert error["type"] == "error"
    else:
        response = shop.post("go")
        assert response.status_code == 422
        error = response.json()
    assert (error["code"], error["cause"]) == ("turn_stopped", "limit_turn_model_calls")
    assert error["retryable"] is False
    assert "2 model calls" in error["messages"][0]
    # The log tells it too, beside what was done.
    assert isinstance(shop.log()[-1], TurnFailed)
    assert len([e for e in shop.log() if isinstance(e, ToolInput)]) == 2


# --- context -------------------------------------------------------------------------------------


@pytest.mark.parametrize("streamed", [False, True])
def test_what_cannot_fit_is_told_by_its_own_event(shop: Door, streamed: bool) -> None:
    shop.model.scripts = [
        [ModelError("context_limit_exceeded", "Too long for this model.", retryable=False)]
    ] * 9
    if streamed:
        told = shop.stream("x" * 50)
        assert [e["type"] for e in told][-3:] == ["context_limit_exceeded", "error", "end"]
        event = told[-3]
    else:
        response = shop.post("x" * 50)
        assert kinds(response) == ["input_message", "context_limit_exceeded"]
        event = response.json()["events"][-1]
    assert event["message"] == "Too long for this model."


def compact(door: Door, **more: Any) -> httpx.Response:
    return door.client.post(PATH, json={"type": "compact", **more})


def test_a_compaction_answers_with_its_event(shop: Door) -> None:
    for n in range(5):
        shop.post(f"message {n}")
    shop.model.scripts = [says("They counted to two.")]
    response = compact(shop, compaction_message="Be terse.")
    assert kinds(response) == ["compaction"]
    (event,) = response.json()["events"]
    assert event["summary_text"] == "They counted to two."
    assert event["turns_compacted"] == 2
    assert event["events_compacted"] == 4
    assert event["summary_key"]
    assert "Be terse." in shop.model.asked[-1].instructions


def test_a_streamed_compaction_says_when_it_starts(shop: Door) -> None:
    for n in range(5):
        shop.post(f"message {n}")
    shop.model.scripts = [says("So far.")]
    told = shop.streamed({"type": "compact", "stream_response": True})
    assert [e["type"] for e in told] == ["compaction_started", "compaction", "end"]
    assert told[0]["id"]
    assert told[0]["session_key"] == "s"


def test_a_failing_compaction_is_a_4xx(shop: Door) -> None:
    shop.post("one")
    response = compact(shop)
    assert response.status_code == 422
    assert response.json()["cause"] == "nothing_to_compact"
    for n in range(5):
        shop.post(f"message {n}")
    shop.model.scripts = [[refused()]]
    response = compact(shop, compaction_message="Try.")  # a repeat would be told the same
    assert response.status_code == 422
    assert response.json()["cause"] == "compaction_failed"


def test_a_compaction_up_to_an_unknown_event_is_refused(shop: Door) -> None:
    response = compact(shop, compact_up_to_event_id="aev_none")
    assert response.status_code == 400
    assert "compact_up_to_event_id" in response.json()["field_errors"]


def test_a_context_that_fills_up_is_compacted_within_the_stream(
    hosting: Hosting, toolbox: FakeToolbox, monkeypatch: pytest.MonkeyPatch, door: Door
) -> None:
    limit(hosting, monkeypatch, toolbox=toolbox, window_bytes=3_000)
    change(door, compaction=Compaction(threshold_percent=50, keep_recent_inputs=1))
    door.model.scripts = [[Usage(600, 10), *says("ok")]]
    door.post("message 0 " + "x" * 1_800)
    door.model.scripts = [says("So far."), says("hello")]
    told = [e["type"] for e in door.stream("go")]
    assert told.index("compaction_started") < told.index("compaction")
    assert told[-1] == "end"


def test_who_pays_is_written_beside_the_message(shop: Door) -> None:
    shop.post("hello")
    (said,) = [e for e in shop.log() if isinstance(e, Input)]
    assert said.caller == ""  # nobody is asked for a key here


# --- what models and tools may write -------------------------------------------------------------

ODD = [
    "NaN",
    '{"a": 1e999}',
    '{"a": "\\ud83d"}',
    "[" * 5_000,
    '"text"',
    "[1, 2]",
    "null",
    "nothing",
]


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("streamed", [False, True])
def test_whatever_a_tool_gives_is_shown(
    shop: Door, toolbox: FakeToolbox, odd: str, streamed: bool
) -> None:
    toolbox.add("odd", odd)
    shop.model.scripts = [calls(("odd", {}))]
    if streamed:
        told = shop.stream("go")
        assert told[-1]["type"] == "end"
        assert "error" not in [event["type"] for event in told]
    else:
        assert kinds(shop.post("go"))[-1] == "agent_output"


@pytest.mark.parametrize("odd", ODD)
def test_whatever_arguments_a_model_gives_are_shown(
    shop: Door, toolbox: FakeToolbox, odd: str
) -> None:
    shop.model.scripts = [[CallMade("c0", "look", odd), End("tool_calls")]]
    response = shop.post("go")
    assert kinds(response) == ["input_message", "tool_input", "tool_output", "agent_output"]
    assert response.json()["events"][2]["refused"] is True
    assert toolbox.ran == []


@pytest.mark.parametrize("odd", ODD[:4])
def test_no_odd_form_is_taken_for_an_answer(shop: Door, odd: str) -> None:
    change(shop, steps={"main": AgentStep(output=OUTPUT)})
    shop.model.scripts = [says(odd), says('{"size": 1}')]
    assert kinds(shop.post("go")) == ["input_message", "structured_output"]


def test_arguments_of_a_decision_have_a_limit(shop: Door) -> None:
    shop.model.scripts = [calls(("refund", {}))]
    shop.post("refund me")
    before = shop.log()
    response = decide(shop, "c0", "edit", arguments={"x": "y" * 100_000})
    assert response.status_code == 400
    assert list(response.json()["field_errors"]) == ["arguments"]
    response = decide(shop, "c0", "reject", message="\x00")
    assert list(response.json()["field_errors"]) == ["message"]
    assert shop.log() == before


def test_what_was_approved_runs_though_its_name_is_anothers_by_now(
    shop: Door, toolbox: FakeToolbox
) -> None:
    shop.model.scripts = [calls(("refund", {}))]
    shop.post("refund me")
    other = FakeToolbox()
    other.add("refund")
    renamed = replace(toolbox.tools[1], name="refund_2")
    impostor = replace(other.tools[0], configuration="other", tool="other")
    toolbox.tools[:] = [impostor, renamed]
    decide(shop, "c0", "approve")
    assert (toolbox.ran, other.ran) == ([("refund", {})], [])
