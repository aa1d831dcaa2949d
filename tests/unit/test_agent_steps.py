"""What an agent's configuration does to its turns: steps, skills, reminders, forms, retries."""

import pytest

from cueline.engine.accept import Arrival
from cueline.engine.agent import (
    AgentStep,
    Instruction,
    NextStep,
    OutputSchema,
    Reminder,
    Retries,
    Skill,
)
from cueline.engine.model import CallMade, End, Returned, Said, TextDelta
from cueline.log.events import (
    Answered,
    Event,
    Input,
    SkillLoaded,
    Spoke,
    StepChanged,
    ToolInput,
    ToolOutput,
    TurnBegan,
    TurnFailed,
)
from tests.models import ScriptedModel, overloaded
from tests.tooling import calls, says
from tests.unit.test_tool_turns import Workshop, kinds, outputs
from tests.unit.test_turns import texts


def step(text: str, **more: object) -> AgentStep:
    return AgentStep.model_validate(
        {"instructions": (Instruction(name="i", template=text),), **more}
    )


@pytest.fixture
def shop() -> Workshop:
    shop = Workshop()
    shop.toolbox.add("look", '{"found": 3}')
    shop.toolbox.add("pay")
    return shop


def use(shop: Workshop, first: str = "ask", **steps: AgentStep) -> None:
    shop.change(steps=steps, first_step=first)


# --- steps ---------------------------------------------------------------------------------------


def test_a_turn_goes_through_the_steps_whose_conditions_hold(shop: Workshop) -> None:
    use(
        shop,
        ask=step("Ask.", next_steps=(NextStep(step_name="tell", condition="1 == 1"),)),
        tell=step("Tell.", next_steps=(NextStep(step_name="ask", condition="1 == 2"),)),
    )
    shop.model.scripts = [says("first"), says("second")]
    events = shop.say("go")
    assert kinds(shop.log()) == [Input, TurnBegan, Spoke, StepChanged, Answered]
    assert isinstance(events[-1], Answered)
    assert events[-1].text == "second"
    assert [asked.instructions for asked in shop.model.asked] == ["Ask.", "Tell."]
    # The model sees what the step before said, and that it is another's turn now.
    assert texts(shop.model.asked[1].items)[:2] == ["go", "first"]
    assert "`tell`" in texts(shop.model.asked[1].items)[2]


def test_the_first_condition_that_holds_decides(shop: Workshop) -> None:
    use(
        shop,
        ask=step(
            "Ask.",
            next_steps=(
                NextStep(step_name="no", condition="get('$.output.text') == 'nothing'"),
                NextStep(step_name="yes", condition="get('$.tools.look.outputs.latest.found') > 2"),
                NextStep(step_name="no"),
            ),
        ),
        yes=step("Yes."),
        no=step("No."),
    )
    shop.model.scripts = [calls(("look", {})), says("found some"), says("done")]
    shop.say("go")
    assert shop.model.asked[-1].instructions == "Yes."


def test_the_session_goes_on_in_its_last_step(shop: Workshop) -> None:
    use(shop, ask=step("Ask.", next_steps=(NextStep(step_name="tell"),)), tell=step("Tell."))
    shop.say("one")
    shop.say("two")
    assert [asked.instructions for asked in shop.model.asked] == ["Ask.", "Tell.", "Tell."]
    assert shop.ports.log.tail("a.s").head.state.step == "tell"


def test_a_step_may_say_where_the_next_message_finds_the_agent(shop: Workshop) -> None:
    use(
        shop,
        ask=step("Ask.", next_steps=(NextStep(step_name="tell"),)),
        tell=step("Tell.", reentry_step="ask"),
    )
    shop.say("one")
    shop.say("two")
    assert [asked.instructions for asked in shop.model.asked] == ["Ask.", "Tell."] * 2


def test_a_step_that_the_agent_has_no_more_is_its_first(shop: Workshop) -> None:
    use(shop, ask=step("Ask.", next_steps=(NextStep(step_name="tell"),)), tell=step("Tell."))
    shop.say("one")
    use(shop, first="new", new=step("New."))
    shop.say("two")
    assert shop.model.asked[-1].instructions == "New."


def test_steps_that_go_round_in_circles_are_stopped(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cueline.engine.answering.MOST_TRANSITIONS", 5)
    use(
        shop,
        ask=step("Ask.", next_steps=(NextStep(step_name="tell"),)),
        tell=step("Tell.", next_steps=(NextStep(step_name="ask"),)),
    )
    failed = shop.say("go")[-1]
    assert isinstance(failed, TurnFailed)
    assert failed.code == "step_transition_limit_exceeded"
    assert len(shop.model.asked) == 6


def test_a_step_has_the_tools_that_it_allows(shop: Workshop) -> None:
    use(
        shop,
        ask=step("Ask.", allowed_tools=("look",), next_steps=(NextStep(step_name="none"),)),
        none=step("None.", allowed_tools=(), next_steps=(NextStep(step_name="all"),)),
        all=step("All."),
    )
    shop.model.scripts = [says("1"), says("2"), calls(("pay", {})), says("3")]
    shop.say("go")
    seen = [[tool.name for tool in asked.tools] for asked in shop.model.asked]
    assert seen == [["look"], [], ["look", "pay"], ["look", "pay"]]


def test_a_tool_that_the_step_does_not_allow_is_not_run(shop: Workshop) -> None:
    use(shop, ask=step("Ask.", allowed_tools=("look",)))
    shop.model.scripts = [calls(("pay", {}))]
    shop.say("go")
    assert shop.toolbox.ran == []
    assert "no such tool" in outputs(shop)[0]


# --- structured answers --------------------------------------------------------------------------

SCHEMA = OutputSchema(name="order", json_schema={"type": "object", "required": ["size"]})


def test_a_structured_answer_is_not_told_piece_by_piece(shop: Workshop) -> None:
    use(shop, ask=step("Ask.", output=SCHEMA))
    shop.model.scripts = [[TextDelta('{"size":'), TextDelta(" 3}"), End("stop")]]
    said: list[object] = []
    events = shop.accept("go").run(said.append)
    assert not [what for what in said if isinstance(what, TextDelta)]
    answered = events[-1].event
    assert isinstance(answered, Answered)
    assert (answered.schema_name, answered.text) == ("order", '{"size": 3}')
    assert shop.model.asked[0].output == SCHEMA


def test_an_answer_that_does_not_fit_is_given_back_to_the_model(shop: Workshop) -> None:
    use(shop, ask=step("Ask.", output=SCHEMA))
    shop.model.scripts = [says("no JSON"), says('{"colour": 1}'), says('{"size": 3}')]
    assert isinstance(shop.say("go")[-1], Answered)
    assert "it is no JSON" in texts(shop.model.asked[1].items)[-1]
    assert "'size' is required" in texts(shop.model.asked[2].items)[-1]


def test_a_model_that_never_fits_fails_the_turn(shop: Workshop) -> None:
    use(shop, ask=step("Ask.", output=SCHEMA))
    shop.model.scripts = [says("no JSON")] * 9
    failed = shop.say("go")[-1]
    assert isinstance(failed, TurnFailed)
    assert failed.code == "output_invalid"
    assert len(shop.model.asked) == 3


def test_conditions_see_the_fields_of_a_structured_answer(shop: Workshop) -> None:
    use(
        shop,
        ask=step(
            "Ask.",
            output=SCHEMA,
            next_steps=(NextStep(step_name="big", condition="get('$.output.size') >= 3"),),
        ),
        big=step("Big."),
    )
    shop.model.scripts = [says('{"size": 3}')]
    shop.say("go")
    spoke = next(e for e in shop.log() if isinstance(e, Spoke))
    assert spoke.schema_name == "order"
    assert shop.model.asked[-1].instructions == "Big."


# --- skills --------------------------------------------------------------------------------------

SKILLS = {
    "refunds": Skill(description="How to refund.", content="Pay it back within a day."),
    "greetings": Skill(description="How to greet.", content="Say moin."),
}


def skill_calls(name: str) -> list[object]:
    return [CallMade("c0", "invoke_skill", f'{{"skill_name": "{name}"}}'), End("tool_calls")]


def test_a_skill_is_described_and_its_content_comes_when_the_model_asks(shop: Workshop) -> None:
    shop.change(skills=SKILLS)
    shop.model.scripts = [skill_calls("refunds"), says("Within a day.")]  # type: ignore[list-item]
    shop.say("refund me")
    first, second = shop.model.asked
    assert "refunds: How to refund." in first.instructions
    assert "within a day" not in first.instructions
    assert first.tools[-1].parameters["properties"]["skill_name"]["enum"] == list(SKILLS)
    assert second.items[-1] == Returned("c0", "Pay it back within a day.")
    assert kinds(shop.log()) == [Input, TurnBegan, ToolInput, SkillLoaded, Answered]


def test_a_skill_that_there_is_not_is_refused(shop: Workshop) -> None:
    shop.change(skills=SKILLS)
    shop.model.scripts = [skill_calls("magic")]  # type: ignore[list-item]
    assert isinstance(shop.say("go")[-1], Answered)
    assert "no skill 'magic'" in outputs(shop)[0]


def test_a_message_may_load_a_skill_by_itself(shop: Workshop) -> None:
    shop.change(skills=SKILLS)
    new = Input(texts=("hello",), skills=("greetings",))
    tail = shop.ports.log.tail("a.s", 10_000)
    agent = shop.ports.agents.get("a")
    shop.inline.accept(shop.session, agent, tail, Arrival(new), "t").run(lambda _: None)
    assert kinds(shop.log()) == [Input, TurnBegan, SkillLoaded, Answered]
    said = texts(shop.model.asked[-1].items)
    assert said[0] == "hello"
    assert "Say moin." in said[1]
    shop.say("again")
    assert len([e for e in shop.log() if isinstance(e, SkillLoaded)]) == 1


def test_a_step_has_the_skills_that_it_allows(shop: Workshop) -> None:
    shop.change(skills=SKILLS)
    use(
        shop,
        ask=step("Ask.", allowed_skills=("refunds",), next_steps=(NextStep(step_name="none"),)),
        none=step("None.", allowed_skills=()),
    )
    shop.say("go")
    first, second = shop.model.asked
    assert "greetings" not in first.instructions
    assert [tool.name for tool in second.tools] == ["look", "pay"]


# --- reminders -----------------------------------------------------------------------------------


def test_reminders_follow_the_newest_message_of_their_kind(shop: Workshop) -> None:
    use(
        shop,
        ask=step(
            "Ask.",
            reminders=(
                Reminder(template="Be polite.", hooks=("input_message",)),
                Reminder(template="Quote it.", hooks=("tool_output",)),
            ),
        ),
    )
    shop.model.scripts = [says("hello"), calls(("look", {})), says("three")]
    shop.say("one")
    shop.say("two")
    last = shop.model.asked[-1].items
    assert texts(last) == ["one", "hello", "two\n\nBe polite."]
    assert last[-1] == Returned("c0", '{"found": 3}\n\nQuote it.')
    # They are said to the model, and are no part of the conversation.
    assert "Be polite." not in str(shop.log())


# --- retries -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("retries", "asked"),
    [(Retries(), 4), (Retries(enabled=False), 1), (Retries(max_retries=1), 2)],
)
def test_an_agent_says_how_often_its_model_is_tried(
    shop: Workshop, retries: Retries, asked: int
) -> None:
    shop.change(retries=retries)
    shop.model.scripts = [[overloaded()]] * 9
    assert isinstance(shop.say("go")[-1], TurnFailed)
    assert len(shop.model.asked) == asked


def test_an_agent_says_how_long_is_waited_between_tries(shop: Workshop) -> None:
    shop.change(retries=Retries(initial_backoff_ms=1_000, backoff_factor=3.0, max_backoff_ms=5_000))
    shop.model.scripts = [[overloaded()]] * 3
    before = shop.clock.monotonic()
    shop.say("go")
    assert shop.clock.monotonic() - before == pytest.approx(0.75 + 2.25 + 5.0)


def test_a_failure_in_between_does_not_count_against_later_calls(shop: Workshop) -> None:
    shop.change(retries=Retries(max_retries=1))
    busy = [overloaded()]
    shop.model.scripts = [busy, calls(("look", {})), busy, calls(("pay", {}), at=1), busy]
    assert isinstance(shop.say("go")[-1], Answered)


def test_what_was_called_goes_to_the_model_in_a_valid_order(shop: Workshop) -> None:
    shop.model = ScriptedModel()
    shop.restart()
    shop.model.scripts = [
        [TextDelta("Two things."), CallMade("c", "look", "{}"), End("tool_calls")],
        calls(("pay", {}), text="Now the other.", at=1),
        says("Done."),
    ]
    shop.say("go")
    kinds_sent = [type(item) for item in shop.model.asked[-1].items]
    assert kinds_sent[0] is Said
    events: list[Event] = [e for e in shop.log() if isinstance(e, ToolOutput)]
    assert len(events) == 2
