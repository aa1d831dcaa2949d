"""Pages in a real browser: a headless Chromium, and what its rules make of every door."""

import json
import os
import platform
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import pytest

from tests.clients.guiding import agent, made, transcript
from tests.clients.noding import run_module

__all__ = ["agent", "made"]

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
BUNDLED = sys.platform == "linux" and platform.machine() == "x86_64"
CHROME = os.environ.get("CHROME", "")
pytestmark = pytest.mark.skipif(
    not (BUNDLED or CHROME),
    reason="The bundled Chromium is for Linux on x86_64: name one as CHROME",
)


@pytest.fixture(scope="module")
def unpacked() -> Iterator[str]:
    """Where the first of these tests lays the browser down."""
    with TemporaryDirectory() as folder:
        yield folder


class Browser:
    """Shows a page, and runs a program that looks at it."""

    def __init__(self, url: str, unpacked: str) -> None:
        self._given = {"CUELINE_URL": url, "TMPDIR": unpacked, "CHROME": CHROME}

    async def show(self, page: str, program: str, **environment: str) -> Any:
        """What the program comes to; `page` is a script."""
        source = (HERE / "node/browser.mjs").read_text() + program
        given = {**self._given, "PAGE": f"<script>{page}</script>", **environment}
        return json.loads(await run_module(source, **given))


@pytest.fixture
def browser(url: str, unpacked: str) -> Browser:
    return Browser(url, unpacked)


END = """
console.log(JSON.stringify(result));
await browser.close();
process.exit(0);
"""


def shown_in(path: str) -> str:
    [found] = re.findall(r"```js\n(.*?)```", (ROOT / path).read_text(), re.DOTALL)
    return str(found)


async def test_the_page_of_the_docs_shows_the_whole_conversation_though_it_is_cut_off(
    browser: Browser, url: str, agent: str, made: dict[str, Any]
) -> None:
    page = f"""
        {shown_in("docs/client-commands.md")}
        const post = (body) => fetch("{url}/public/agents/{agent}/connections", {{
            method: "POST", headers: {{ "content-type": "application/json" }}, body,
        }}).then((answer) => answer.json());
        const sessionId = {json.dumps(made["connection"]["sessionId"])};
        let connections = 0, current = {json.dumps(made["connection"]["id"])};
        async function again(after) {{
            const made = await post(JSON.stringify({{ sessionId, after }}));
            connections += 1;
            current = made.connection.id;
            return made.token;
        }}
        addEventListener("load", () => talk({json.dumps(made["token"])}, again));
    """
    program = """
        const sent = (text) => page.evaluate((text) => say(text), text);
        const over = (many) => Object.values(said).filter((one) => one.over).length === many;
        const count = (messages) => until(over, messages);
        await until(() => ws !== undefined);
        await sent("Hello!");
        await count(2);
        await sent("And now?");
        await until(() => Object.keys(said).length === 4);
        const [before, current] = await page.evaluate(() => [connections, current]);
        const gone = `${url}/public/connections/${current}`;
        assert.equal((await fetch(gone, { method: "DELETE" })).ok, true);
        await until((before) => ws.readyState !== WebSocket.OPEN || connections > before, before);
        await sent("And then?");
        await count(6);
        const back = (before) => connections > before && Object.keys(unanswered).length === 0;
        await until(back, before);
        const result = await page.evaluate(() => document.body.innerText);
    """
    told = await browser.show(page, program + END)
    said = [text for _, text in transcript(url, made)]
    assert len(said) == 6
    assert told == "\n\n".join(said)


async def test_the_page_of_the_readme_hears_and_speaks(
    browser: Browser, url: str, made: dict[str, Any]
) -> None:
    page = f"const token = {json.dumps(made['token'])}\n{shown_in('README.md')}"
    program = """
        await until(() => ws.readyState === WebSocket.OPEN);
        await page.evaluate(() => say("Hello!"));
        await until(() => Object.values(said).filter((one) => one.over).length === 2);
        const result = await page.evaluate(() => document.body.innerText);
    """
    told = await browser.show(page, program + END)
    assert told == "\n\n".join(text for _, text in transcript(url, made))


async def test_a_page_hears_an_answer_on_its_way_from_doors_1_and_2(
    browser: Browser, url: str, agent: str
) -> None:
    """By `fetch` after a preflight, and by an EventSource."""
    httpx.post(f"{url}/v2/agents/{agent}/sessions", json={"key": "s"}).raise_for_status()
    page = f"""
        const chunks = [], heard = [];
        addEventListener("load", async () => {{
            const source = new EventSource("{url}/sessions/{agent}.s/events?sse=true");
            source.onmessage = (message) => heard.push(JSON.parse(message.data));
            await new Promise((resolve) => source.addEventListener("open", resolve));
            const body = JSON.stringify({{
                messages: [{{ type: "text", content: "Hello!" }}], stream_response: true,
            }});
            const answer = await fetch("{url}/v2/agents/{agent}/sessions/s/events", {{
                method: "POST", body,
                headers: {{ "content-type": "application/json", "idempotency-key": "{agent}" }},
            }});
            const text = answer.body.pipeThrough(new TextDecoderStream());
            for await (const chunk of text) chunks.push(chunk);
        }});
    """
    program = """
        const answered = (one) => one.kind === "message" && one.source === "ai_agent";
        await until(`heard.some(${answered})`);
        await until(() => chunks.join("").includes('"type": "end"'));
        const result = await page.evaluate(() => ({ chunks, heard }));
    """
    result = await browser.show(page, program + END)
    assert len(result["chunks"]) > 2, "it comes as it is made"
    frames = [
        json.loads(line.removeprefix("data:"))
        for line in "".join(result["chunks"]).splitlines()
        if line.startswith("data:")
    ]
    streamed = [f["content"] for f in frames if f["type"] == "streaming_agent_output"]
    messages = [e["data"]["message"] for e in result["heard"] if e["kind"] == "message"]
    assert messages == ["Hello!", "".join(streamed)]


async def test_a_page_of_another_site_gets_nowhere(
    browser: Browser, url: str, agent: str, made: dict[str, Any]
) -> None:
    socket = "JSON.parse(atob(token)).url"
    page = f"""
        const token = {json.dumps(made["token"])};
        const post = (type) => fetch("{url}/v2/agents/{agent}/sessions", {{
            method: "POST", headers: {{ "content-type": type }}, body: '{{"key":"theirs"}}',
        }}).then(() => "read", () => "refused");
        const opened = () => new Promise((resolve) => {{
            const ws = new WebSocket({socket});
            ws.onopen = () => resolve("open");
            ws.onerror = () => resolve("refused");
        }});
    """
    program = """
        const result = await page.evaluate(async () => [
            await post("application/json"), await post("text/plain"), await opened(),
        ]);
    """
    told = await browser.show(page, program + END, HOST="other.localhost")
    assert told == ["refused"] * 3
    assert httpx.get(f"{url}/v2/agents/{agent}/sessions/theirs").status_code == 404
