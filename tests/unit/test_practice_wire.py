"""The practice model on the wire: the stock `openai` client takes it for the real one."""

from collections.abc import Callable
from typing import Any, Literal

import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai import OpenAI
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import BaseModel, TypeAdapter

from local.practice import chat_wire, responses_request
from local.practice.heard import BadRequest, Tool
from tests.history import problems_of_chat, problems_of_responses
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


class Mood(BaseModel):
    mood: Literal["good", "bad"]
    why: str


def test_the_stock_client_parses_answers_in_a_form(client: OpenAI) -> None:
    text = 'It is a bad day, "rain" all over.'
    with client:
        response = client.responses.parse(model="practice", input=text, text_format=Mood)
        completion = client.chat.completions.parse(
            model="practice",
            messages=[{"role": "user", "content": text}],
            response_format=Mood,
        )
    assert response.output_parsed == Mood(mood="bad", why="rain")
    assert completion.choices[0].message.parsed == response.output_parsed
    assert response.text is not None
    assert response.text.format is not None
    assert response.text.format.type == "json_schema"


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
    "content": None,
    "tool_calls": [{"id": "c", "type": "function", "function": {"name": "t", "arguments": "{}"}}],
}
DONE = {"role": "tool", "tool_call_id": "c", "content": "x"}


FORM = {
    "type": "object",
    "properties": {"mood": {"type": "string", "enum": ["good", "bad"]}},
    "required": ["mood"],
    "additionalProperties": False,
}


def formed(**form: Any) -> dict[str, Any]:
    return {"model": "m", "input": "x", "text": {"format": {"type": "json_schema", **form}}}


def chat_formed(form: Any) -> dict[str, Any]:
    given = {"type": "json_schema", "json_schema": form}
    return {"model": "m", "messages": [HELLO], "response_format": given}


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
        ("responses", {"model": "m", "input": "x", "text": "x"}, "Invalid type for 'text'"),
        ("responses", {"model": "m", "input": "x", "text": {"tone": 1}}, "'text.tone'"),
        (
            "responses",
            {"model": "m", "input": "x", "text": {"format": {"type": "xml"}}},
            "Supported values are: 'text', 'json_object', 'json_schema'",
        ),
        ("responses", formed(schema=FORM), "Missing required parameter: 'text.format.name'"),
        ("responses", formed(name="n"), "Missing required parameter: 'text.format.schema'"),
        ("responses", formed(name="a b", schema=FORM), "does not match pattern"),
        ("responses", formed(name="n" * 65, schema=FORM), "does not match pattern"),
        ("responses", formed(name="n", schema=7), "Invalid type for 'text.format.schema'"),
        ("responses", formed(name="n", schema={"type": "array"}), "must be 'type: \"object\"'"),
        ("responses", formed(name="n", schema=FORM, strict="yes"), "text.format.strict"),
        ("responses", formed(name="n", schema=FORM, json_schema={}), "text.format.json_schema"),
        (
            "responses",
            formed(name="n", schema={"type": "object"}, strict=True),
            "'additionalProperties' is required and must be false",
        ),
        (
            "responses",
            formed(name="n", schema={**FORM, "required": []}, strict=True),
            "'required' must include every key in properties",
        ),
        ("chat/completions", chat_formed(None), "Invalid type for 'response_format.json_schema'"),
        ("chat/completions", chat_formed({"schema": FORM}), "response_format.json_schema.name"),
        (
            "chat/completions",
            {"model": "m", "messages": [HELLO], "response_format": formed(name="n")["text"]},
            "Supported values are",
        ),
        ("chat/completions", {"model": "m", "messages": []}, "empty array"),
        ("chat/completions", {"model": "m", "messages": "x"}, "Invalid type for 'messages'"),
        ("chat/completions", {"model": "m", "messages": [{"role": "u"}]}, "Invalid value: 'u'"),
        ("chat/completions", {"model": "m", "messages": [{"role": "user"}]}, "got null"),
        ("chat/completions", {"model": "m", "messages": [HELLO, CALLS]}, "did not have response"),
        ("chat/completions", {"model": "m", "messages": [HELLO, CALLS, HELLO, DONE]}, "did not"),
        ("chat/completions", {"model": "m", "messages": [HELLO, DONE]}, "must be a response to"),
        (
            "chat/completions",
            {"model": "m", "messages": [HELLO, {**CALLS, "tool_calls": []}]},
            "empty array",
        ),
        ("chat/completions", {"model": "m", "messages": [HELLO, CALLS, DONE, DONE]}, "must be a"),
        ("chat/completions", {"model": "m", "messages": [{**HELLO, "mood": 1}]}, "mood"),
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


# What may stand in a history: right, or wrong in one way.
TEXTS: list[Any] = ["x", "x", "x", "", None, [], [{"type": "text", "text": ""}], 7]
IDS: list[Any] = ["a", "b", "c", "", None, "x" * 41, "x" * 65]
FUNCTIONS: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["t", "t", "t", "t", "", "a tool", "t" * 65, None]),
        "arguments": st.sampled_from(["{}", "{}", "{}", "{}", "[]", "{", "", {}, None]),
    }
)
MADE = st.builds(
    lambda id_, function: {"id": id_, "type": "function", "function": function},
    st.sampled_from(IDS),
    FUNCTIONS,
)
MESSAGES = st.one_of(
    st.builds(
        lambda role, content: {"role": role, "content": content},
        st.sampled_from(["user", "user", "assistant", "system", "developer", "odd", None]),
        st.sampled_from(TEXTS),
    ),
    st.builds(
        lambda made, content: {"role": "assistant", "tool_calls": made, **content},
        st.lists(MADE, max_size=2),
        st.sampled_from([{"content": None}, {"content": None}, {"content": ""}, {}]),
    ),
    st.builds(
        lambda call, content: {"role": "tool", "tool_call_id": call, "content": content},
        st.sampled_from(IDS),
        st.sampled_from(["x", "", None]),
    ),
    st.sampled_from([CALLS, DONE, {**HELLO, "mood": 1}, 7]),
)
ITEMS = st.one_of(
    st.builds(
        lambda role, content: {"role": role, "content": content},
        st.sampled_from(["user", "user", "assistant", "system", "developer", "tool", None]),
        st.sampled_from(["x", "x", "x", "", None, [], [{"type": "input_text", "text": ""}], 7]),
    ),
    st.builds(
        lambda call, function: {"type": "function_call", "call_id": call, **function},
        st.sampled_from(IDS),
        FUNCTIONS,
    ),
    st.builds(
        lambda call, output: {"type": "function_call_output", "call_id": call, "output": output},
        st.sampled_from(IDS),
        st.sampled_from(["x", "x", "", None]),
    ),
    st.sampled_from([CALL, OUTPUT, {**HELLO, "mood": 1}, {"type": "odd"}, 7]),
)


def refused(read: Callable[[Any], object], body: dict[str, Any]) -> bool:
    try:
        read(body)
    except BadRequest:
        return True
    return False


@settings(max_examples=400)
@given(st.lists(MESSAGES, max_size=5))
def test_it_refuses_every_chat_history_that_some_server_refuses(messages: list[Any]) -> None:
    body = {"model": "m", "messages": messages}
    assert refused(chat_wire.read, body) == bool(problems_of_chat(body))


@settings(max_examples=400)
@given(st.lists(ITEMS, max_size=5))
def test_it_refuses_every_responses_history_that_some_server_refuses(items: list[Any]) -> None:
    body = {"model": "m", "input": items}
    assert refused(responses_request.read, body) == bool(problems_of_responses(body))


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
