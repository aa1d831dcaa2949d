"""What `make run` says once it is ready."""

_AGENT = (
    '{"key":"guide","name":"Guide","tool_configurations":{},"model":{"name":"practice"},'
    '"first_step":{"name":"main","instructions":[{"type":"inline","name":"main",'
    '"template":"You are a kind guide."}],"output_parser":{"type":"default"}}}'
)
_TRIGGER = (
    '{"kind":"message","source":"ai_agent","guidelines":[{"action":"Ask how you can help",'
    '"rationale":"follow_up"}]}'
)
_CONNECTION = '{"channelType":"websocket","initialSpeech":"Say hello"}'
_MESSAGE = '{"messages":[{"type":"text","content":"Hello!"}],"stream_response":true}'


def model(provider: str | None) -> str:
    """`provider` is None for the practice model."""
    if provider is None:
        return "a practice model answers, no real one: set OPENAI_API_KEY or OPENAI_BASE_URL"
    return f"the model at {provider} answers"


def key(endpoint: str) -> str:
    return (
        "\nEvery request needs a key in x-api-key. To make one, in a shell of its own:\n"
        f"  export AWS_ENDPOINT_URL={endpoint} AWS_DEFAULT_REGION=us-east-1"
        " AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test\n"
        "  KEY=$(make -s key NAME=me)\n"
        "`make keys`, `make key ROTATE=<id>` and `make key REVOKE=<id>` work there too."
    )


def ready(url: str, *, checked: bool) -> str:
    """`checked` says that access is."""
    key = '-H "x-api-key: $KEY" ' if checked else ""
    base, post = f"{url}/v2/agents", f"{key}-H 'content-type: application/json' -d"
    return (
        f"\nCueline is ready at {url}. Commands to try; the fourth has the agent speak first, the\n"
        "token of the last is base64 of where a WebSocket may be opened within a minute:\n"
        f"  curl {base} {post} '{_AGENT}'\n"
        f'  curl {base}/guide/sessions {post} \'{{"key":"first"}}\'\n'
        f"  curl -N {base}/guide/sessions/first/events {post} '{_MESSAGE}'\n"
        f"  curl {url}/sessions/guide.first/events {post} '{_TRIGGER}'\n"
        f"  curl {url}/public/agents/guide/connections {post} '{_CONNECTION}'"
    )
