"""The practice model: what it says, and that the stock `openai` client takes it for real."""

import json
from typing import Any

import openai
import pytest
from openai import OpenAI
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from local.practice.answers import answer
from local.practice.arguments import arguments_for
from local.practice.heard import Answer, Call, Heard, Message, Output, Tool
from tests.practice import Practice, practice

__all__ = ["practice"]

ORDER = Tool(
    "find_order",
    "Finds an order of a customer by its number.",
    {
        "type": "object",
        "properties": {
            "number": {"type": "integer"},
            "state": {"enum": ["open", "closed"]},
            "note": {"type": "string"},
        },
        "required": ["number"],
    },
)


def heard(*items: Message | Call | Output, **more: Any) -> Heard:
    return Heard(**{"model": "m", "instructions": "Sell pizza.", "items": items, **more})


def user(text: str) -> Message:
    return Message("user", text)


def say(*items: Message | Call | Output, **more: Any) -> Answer:
    return answer(heard(*items, **more))


# --- what it says -------------------------------------------------------------------------------


def test_it_says_what_it_is_and_what_it_sees() -> None:
    said = say(user("Hi"), Message("assistant", "Hello"), user("How are you?"))
    assert said.text == (
        "I am the practice model, not an AI. You said “How are you?”. I can see 2 user messages. "
        "My instructions begin “Sell pizza.”."
    )
    assert said == say(user("Hi"), Message("assistant", "Hello"), user("How are you?"))


def test_it_remembers_the_first_message() -> None:
    said = say(user("I am Ada"), user("What was my first message?"))
    assert "Your first message was “I am Ada”." in said.text


def test_it_mentions_the_latest_context() -> None:
    said = say(Message("system", "old"), Message("system", "The customer is Ada."), user("Hi"))
    assert "I was told “The customer is Ada.”." in said.text


def test_it_answers_a_trigger_without_a_user() -> None:
    said = say(Message("system", "Ask how the pizza was."))
    assert "I was asked to speak: “Ask how the pizza was.”." in said.text


def test_it_follows_a_guideline_whose_condition_holds() -> None:
    rule = Message("system", 'When the user asks about refunds, say "Within 30 days."')
    assert say(rule, user("Do you give a refund?")).text.endswith("Within 30 days.")
    assert "I follow the guideline" in say(rule, user("Do you give a refund?")).text
    assert not say(rule, user("Hello")).text.endswith("Within 30 days.")


@pytest.mark.parametrize("more", [{"thinks": True}, {"items": (user("Think hard"),)}])
def test_it_thinks_aloud_when_asked(more: dict[str, Any]) -> None:
    given = {"model": "m", "instructions": "", "items": (user("Hi"),), **more}
    assert answer(Heard(**given)).thinking
    assert not say(user("Hi")).thinking


def test_it_calls_the_tool_that_fits_and_answers_with_its_output() -> None:
    asked = user("Where is order 4711?")
    (made,) = say(asked, tools=(ORDER,)).calls
    assert (made.tool, made.arguments) == ("find_order", '{"number": 4711}')
    after = say(asked, made, Output(made.call, made.tool, "on its way"), tools=(ORDER,))
    assert not after.calls
    assert "The tool find_order answered “on its way”. That is for “Where is order" in after.text


def test_it_calls_no_tool_that_does_not_fit_or_may_not_be_called() -> None:
    assert not say(user("Good morning"), tools=(ORDER,)).calls
    assert not say(user("find order 7"), tools=(ORDER,), choice="none").calls
    assert say(user("Good morning"), tools=(ORDER,), choice="required").calls
    assert say(user("Good morning"), tools=(ORDER,), choice="find_order").calls


def test_it_calls_two_tools_at_once_when_both_are_named() -> None:
    tools = (Tool("get_weather", "", {}), Tool("get_time", "", {}))
    asked = user("weather and time, please")
    assert [one.tool for one in say(asked, tools=tools).calls] == ["get_weather", "get_time"]
    assert len(say(asked, tools=tools, parallel=False).calls) == 1


def test_arguments_come_from_the_schema_and_the_message() -> None:
    fields: dict[str, Any] = {
        "size": {"$ref": "#/$defs/Size"},
        "city": {"type": ["null", "string"]},
        "tags": {"anyOf": [{"type": "null"}, {"type": "array", "items": {"enum": ["hot", "new"]}}]},
        "inner": {
            "type": "object",
            "properties": {"yes": {"type": "boolean"}, "price": {"type": "number", "maximum": 9}},
            "required": ["yes", "price"],
        },
        "day": {"type": "string", "format": "date"},
        "fixed": {"const": 7},
        "optional": {"type": "string"},
        "kind": {"enum": ["thin", "thick"]},
        "name": {"type": "string", "maxLength": 4},
    }
    schema = {
        "type": "object",
        "properties": fields,
        "required": ["size", "city", "tags", "inner", "day", "fixed", "name"],
        "$defs": {"Size": {"type": "integer", "minimum": 5}},
    }
    message = 'Take 3 new thick ones to New York on 2031-02-03 for 12.5, not "Margherita".'
    assert json.loads(arguments_for(schema, message)) == {
        "size": 5,
        "city": "Margherita",
        "tags": ["new"],
        "inner": {"yes": False, "price": 9},
        "day": "2031-02-03",
        "fixed": 7,
        "kind": "thick",
        "name": "New",
    }


@pytest.mark.parametrize("schema", [{}, {"type": "object"}, {"properties": 7}, {"$ref": "#/x"}])
def test_odd_schemas_give_no_arguments(schema: dict[str, Any]) -> None:
    assert arguments_for(schema, "x") in {"{}", '"x"'}


def test_the_token_limit_cuts() -> None:
    said = say(user("Hi"), limit=4)
    assert (said.text, said.finish) == ("I am the practic", "length")


# --- the stock client ---------------------------------------------------------------------------


@pytest.fixture
def client(practice: Practice) -> OpenAI:
    return OpenAI(api_key=practice.KEY, base_url=practice.base_url, max_retries=0)


FUNCTION: Any = {
    "name": "find_order",
    "description": "Finds an order",
    "parameters": ORDER.parameters,
}
RESPONSES_TOOL: Any = {"type": "function", "strict": False, **FUNCTION}


def test_responses_by_the_stock_client(client: OpenAI) -> None:
    with client:
        got = client.responses.create(
            model="practice", instructions="Be kind.", input="Hello", reasoning={"effort": "low"}
        )
    Response.model_validate(got.model_dump(), strict=False)
    assert got.status == "completed"
    assert "You said “Hello”." in got.output_text
    assert [item.type for item in got.output] == ["reasoning", "message"]
    assert got.usage is not None
    assert got.usage.total_tokens == got.usage.input_tokens + got.usage.output_tokens


def test_responses_streamed_by_the_stock_client(client: OpenAI) -> None:
    with (
        client,
        client.responses.create(
            model="practice",
            input=[{"role": "user", "content": "think: where is order 12?"}],
            tools=[RESPONSES_TOOL],
            stream=True,
        ) as stream,
    ):
        events = list(stream)
    kinds = [event.type for event in events]
    assert kinds[:3] == ["response.created", "response.in_progress", "response.output_item.added"]
    assert kinds[-3:] == [
        "response.function_call_arguments.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    adapter: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
    for event in events:
        adapter.validate_python(event.model_dump(by_alias=True))


def test_the_responses_stream_helper_builds_the_same_answer(client: OpenAI) -> None:
    with client, client.responses.stream(model="practice", input="Hello") as stream:
        texts = [event.delta for event in stream if event.type == "response.output_text.delta"]
        final = stream.get_final_response()
    assert "".join(texts) == final.output_text != ""


def test_chat_by_the_stock_client(client: OpenAI) -> None:
    with client:
        got = client.chat.completions.create(
            model="practice",
            messages=[
                {"role": "system", "content": "Be kind."},
                {"role": "user", "content": [{"type": "text", "text": "Where is order 12?"}]},
            ],
            tools=[{"type": "function", "function": FUNCTION}],
        )
    ChatCompletion.model_validate(got.model_dump())
    (choice,) = got.choices
    assert choice.finish_reason == "tool_calls"
    (made,) = choice.message.tool_calls or []
    assert made.type == "function"
    assert made.function.arguments == '{"number": 12}'


def test_chat_streamed_by_the_stock_client(client: OpenAI) -> None:
    with (
        client,
        client.chat.completions.create(
            model="practice",
            messages=[{"role": "user", "content": "Hello"}],
            stream=True,
            stream_options={"include_usage": True},
        ) as stream,
    ):
        chunks = list(stream)
    for chunk in chunks:
        ChatCompletionChunk.model_validate(chunk.model_dump())
    said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert "You said “Hello”." in said
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].usage is not None
    assert chunks[-1].choices == []


def test_the_chat_stream_helper_builds_the_same_answer(client: OpenAI) -> None:
    with (
        client,
        client.chat.completions.stream(
            model="practice",
            messages=[{"role": "user", "content": "Where is order 12?"}],
            tools=[{"type": "function", "function": FUNCTION}],
        ) as stream,
    ):
        final = stream.get_final_completion()
    (made,) = final.choices[0].message.tool_calls or []
    assert made.function.name == "find_order"


def test_models_and_health(client: OpenAI, practice: Practice) -> None:
    with client:
        assert [model.id for model in client.models.list()] == ["practice"]
    assert "not an AI" in practice.http.get("/healthz").json()["model"]


def test_a_wrong_key_is_the_real_error(practice: Practice) -> None:
    with (
        OpenAI(api_key="sk-other", base_url=practice.base_url, max_retries=0) as client,
        pytest.raises(openai.AuthenticationError) as raised,
    ):
        client.responses.create(model="practice", input="x")
    assert raised.value.code == "invalid_api_key"


CALL = {"type": "function_call", "call_id": "c", "name": "t", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "c", "output": "x"}
HELLO = {"role": "user", "content": "x"}
CALLS = {
    "role": "assistant",
    "tool_calls": [{"id": "c", "type": "function", "function": {"name": "t", "arguments": "{}"}}],
}
DONE = {"role": "tool", "tool_call_id": "c", "content": "x"}


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        ("responses", {"input": "x"}, "Missing required parameter: 'model'"),
        ("responses", {"model": "m"}, "Missing required parameter: 'input'"),
        ("responses", {"model": "m", "input": []}, "must not be empty"),
        ("responses", {"model": "m", "input": 7}, "Invalid type for 'input'"),
        ("responses", {"model": "m", "input": "x", "colour": 1}, "Unknown parameter: 'colour'"),
        ("responses", {"model": "m", "input": "x", "stream": "yes"}, "Invalid type for 'stream'"),
        ("responses", {"model": "m", "input": "x", "temperature": 3}, "outside of the range"),
        ("responses", {"model": "m", "input": "x", "previous_response_id": "r"}, "keeps nothing"),
        ("responses", {"model": "m", "input": [HELLO, CALL]}, "No tool output found"),
        ("responses", {"model": "m", "input": [HELLO, OUTPUT]}, "No tool call found"),
        ("responses", {"model": "m", "input": [{"role": "tool", "content": "x"}]}, "'tool'"),
        ("responses", {"model": "m", "input": [{"role": "user", "content": None}]}, "got null"),
        ("responses", {"model": "m", "input": [{"type": "odd"}]}, "Invalid value: 'odd'"),
        ("responses", {"model": "m", "input": "x", "tools": [{"type": "function"}]}, "name"),
        ("chat/completions", {"model": "m", "messages": []}, "empty array"),
        ("chat/completions", {"model": "m", "messages": "x"}, "Invalid type for 'messages'"),
        ("chat/completions", {"model": "m", "messages": [{"role": "u"}]}, "Invalid value: 'u'"),
        ("chat/completions", {"model": "m", "messages": [{"role": "user"}]}, "got null"),
        ("chat/completions", {"model": "m", "messages": [HELLO, CALLS]}, "did not have response"),
        ("chat/completions", {"model": "m", "messages": [HELLO, CALLS, HELLO, DONE]}, "did not"),
        ("chat/completions", {"model": "m", "messages": [HELLO, DONE]}, "must be a response to"),
        (
            "chat/completions",
            {"model": "m", "messages": [HELLO, {"role": "assistant", "tool_calls": []}]},
            "empty array",
        ),
        (
            "chat/completions",
            {"model": "m", "messages": [HELLO], "stream_options": {"include_usage": True}},
            "only allowed when 'stream'",
        ),
    ],
)  # fmt: skip
def test_it_is_as_strict_as_the_provider(
    path: str, body: dict[str, Any], says: str, practice: Practice
) -> None:
    response = practice.http.post(f"/v1/{path}", json=body)
    assert response.status_code == 400
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert says in error["message"]


@pytest.mark.parametrize("body", [b"{", b"[]", b"[" * 50_000, b"\xff"])
def test_what_is_not_a_json_object_is_400(body: bytes, practice: Practice) -> None:
    response = practice.http.post("/v1/responses", content=body)
    assert response.status_code == 400


# --- faults -------------------------------------------------------------------------------------


def test_faults_are_used_one_a_request_and_by_model(client: OpenAI, practice: Practice) -> None:
    model = practice.model("m", {"kind": "status", "status": 503}, {"kind": "script", "text": "A"})
    with client:
        with pytest.raises(openai.InternalServerError):
            client.responses.create(model=model, input="x")
        assert client.responses.create(model=practice.model("n"), input="x").status == "completed"
        assert client.responses.create(model=model, input="x").output_text == "A"
        assert "You said" in client.responses.create(model=model, input="x").output_text
    assert [body["input"] for body in practice.requests(model)] == ["x", "x", "x"]
    practice.clear(model)
    assert practice.requests(model) == []


def test_a_models_name_may_say_how_it_fails(client: OpenAI) -> None:
    with client:
        with pytest.raises(openai.RateLimitError):
            client.responses.create(model="practice-fail-429", input="x")
        got = client.responses.create(model="practice-fail-length", input="x")
        with pytest.raises(openai.BadRequestError, match="knows no failure"):
            client.responses.create(model="practice-fail-oddly", input="x")
    assert got.status == "incomplete"


@pytest.mark.parametrize("fault", [{"kind": "odd"}, {"kind": "cut", "afterwards": 1}, 7])
def test_a_misspelt_fault_is_refused(fault: Any, practice: Practice) -> None:
    body = {"model": "m", "faults": [fault]}
    assert practice.http.post("/practice/faults", json=body).status_code == 400
