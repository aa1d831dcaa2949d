"""The pages of the docs, word for word, in Node: on frames, a network and a clock that are made."""

import re
from pathlib import Path

import pytest

from tests.clients.noding import run_module

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
WHOLE, HEART = ROOT / "docs/client-commands.md", ROOT / "README.md"
BOTH = pytest.mark.parametrize("opened", ["whole", "heart"])

OPENED = {
    "whole": (WHOLE, "const { talk, say } = page('talk', 'say'); talk(token, async () => token);"),
    "heart": (HEART, "const { say } = page('say');"),
}
BEGUN = """
    const [ws] = sockets;
    ws.opens();
    ws.hears(session(1));
"""


def script(path: Path) -> str:
    [found] = re.findall(r"```js\n(.*?)```", path.read_text(), re.DOTALL)
    return str(found)


async def run(opened: str, program: str) -> None:
    path, opening = OPENED[opened]
    await act(path, opening + BEGUN + program)


async def act(path: Path, program: str) -> None:
    source = (HERE / "node/page.mjs").read_text()
    await run_module(source + program, PAGE=script(path))


# --- what it shows -------------------------------------------------------------------------------


@BOTH
async def test_an_answer_grows_and_is_right_when_it_is_complete(opened: str) -> None:
    await run(
        opened,
        """
        ws.hears(asked(2, "Hello"), part("created", "t1"));
        ws.hears(delta("t1", 0, "One "), delta("t1", 4, "two"));
        assert.deepEqual(shown(), ["Hello", "One two"]);
        ws.hears(delta("t1", 4, "moment"), ended("t1", 4));
        assert.deepEqual(shown(), ["Hello", "One moment"]);
        ws.hears(part("completed", "t1", { offset: 4, final: true, content: "One moment." }));
        ws.hears(delta("t1", 3, "late"), part("created", "t1"), delta("t1", 3, "late"));
        assert.deepEqual(shown(), ["Hello", "One moment."]);
        """,
    )


@BOTH
async def test_failures_are_shown_beside_what_had_been_said(opened: str) -> None:
    await run(
        opened,
        """
        const failed = (offset, why) => ({ offset, error: failure(why) });
        const item = { item_id: "e3", content: "", inputs: ["e2"], ...failed(3, "Nobody came.") };
        ws.hears(asked(2, "One"), answer("failed", "e3", item));
        ws.hears(asked(4, "Two"), answer("failed", "t1", failed(5, "No model.")));
        ws.hears(asked(6, "Three"), answer("failed", "t2", failed(7, "No more.")));
        ws.hears(asked(8, "Four"), part("created", "t3"), delta("t3", 0, "First you"));
        ws.hears(part("failed", "t3", { content: "First you", ...failed(9, "Cut.") }));
        const first = ["One", "Nobody came.", "Two", "No model.", "Three", "No more."];
        assert.deepEqual(shown(), [...first, "Four", "First you", "Cut."]);
        """,
    )


@BOTH
@pytest.mark.parametrize("reason", ["taken_over", "postponed"])
async def test_half_an_answer_goes_away_when_another_begins_anew(opened: str, reason: str) -> None:
    await run(
        opened,
        f"""
        const looks = {{ offset: 3, final: false, content: "I look." }};
        ws.hears(asked(2, "Well?"), part("completed", "t1", looks));
        const half = {{ item_id: "t1-1", position: 0, content: "It costs 12, but" }};
        ws.hears(answer("delta", "t1", half), ended("t1", 4));
        ws.hears(answer("cancelled", "t1", {{ offset: 4, reason: "{reason}" }}));
        ws.hears(answer("delta", "t1", half), delta("t2", 0, "It costs 15"));
        assert.deepEqual(shown(), ["Well?", "I look.", "It costs 15"]);
        """,
    )


@BOTH
async def test_what_was_said_before_an_interrupt_stays(opened: str) -> None:
    await run(
        opened,
        """
        const reason = "interrupted";
        ws.hears(delta("t1", 0, "Once upon a"), answer("cancelled", "t1", { offset: 3, reason }));
        ws.hears(asked(4, "Stop"), delta("t1", 11, " time"));
        assert.deepEqual(shown(), ["Once upon a", "Stop"]);
        ws.hears(part("cancelled", "t1", { offset: 5, reason, content: "Once upon" }));
        assert.deepEqual(shown(), ["Once upon", "Stop"]);
        """,
    )


@BOTH
async def test_an_empty_answer_and_frames_that_are_no_messages_show_nothing(opened: str) -> None:
    await run(
        opened,
        """
        ws.hears(gateway, { event: "pong", data: { server_time: "now" } });
        ws.hears(part("completed", "t1", { offset: 3, final: true, content: "" }));
        ws.hears(asked(4, "Well?"));
        assert.deepEqual(shown(), ["Well?"]);
        assert.deepEqual(alerts, []);
        """,
    )


async def test_frames_that_come_again_show_nothing_twice_and_nothing_old() -> None:
    await run(
        "whole",
        """
        const piece = (content, position, more) =>
            part("completed", "t1", { offset: 3, content, position, more });
        const long = [piece("Once ", 0, true), piece("upon", 5, false)];
        const all = [asked(2, "Tell"), ...long, asked(4, "On")];
        ws.hears(...all, ...all, { event: "settings_updated", data: { settings: {}, offset: 5 } });
        ws.hears(part("completed", "t1", { offset: 5, content: "old" }));
        assert.deepEqual(shown(), ["Tell", "Once upon", "On"]);
        """,
    )


# --- what it says --------------------------------------------------------------------------------


async def test_what_is_said_is_sent_again_until_it_is_answered() -> None:
    await act(
        WHOLE,
        """
        const { talk, say } = page("talk", "say");
        say("Before anything");
        talk(token, async () => token);
        say("While it opens");
        const [first] = sockets;
        first.opens();
        first.hears(session(1));
        const said = first.commands("send_message");
        assert.deepEqual(said.map((one) => one.data.text), ["Before anything", "While it opens"]);
        first.hears(ack(said[0]));
        first.close();
        say("Are you there?");
        await passes(5);
        const [, second] = sockets;
        second.opens();
        const again = second.commands("send_message");
        assert.deepEqual(again[0], said[1]);
        const text = "Are you there?";
        assert.deepEqual(again[1].data, { role: "user", text, trigger_response: true });
        second.hears(session(1), ack(again[0]), gateway, refused(again[1], "unavailable", true));
        await passes(20);
        assert.deepEqual(second.commands("send_message").slice(2), [again[1]]);
        second.hears(ack(again[1]));
        await passes(100);
        assert.equal(second.commands("send_message").length, 3);
        assert.equal(new Set([...said, ...again].map((one) => one.command_id)).size, 3);
        assert.deepEqual(alerts, []);
        """,
    )


async def test_what_cannot_be_taken_is_shown_and_not_sent_again() -> None:
    await run(
        "whole",
        """
        say("x".repeat(40_000));
        ws.hears(refused(ws.sent[0], "too_large", false));
        await passes(100);
        assert.equal(ws.commands("send_message").length, 1);
        assert.deepEqual(alerts, ["It is too_large."]);
        """,
    )


async def test_a_silent_connection_is_kept_by_pings() -> None:
    await run(
        "whole",
        """
        await passes(40 * 60);
        assert.equal(ws.commands("ping").length, 10);
        assert.equal(ws.commands("send_message").length, 0);
        """,
    )


# --- when the connection is lost -----------------------------------------------------------------

AGAIN = """
    const { talk, say } = page("talk", "say");
    const asks = [];
    let answers = async () => token;
    talk(token, (after) => (asks.push({ after, now }), answers()));
    const [first] = sockets;
    first.opens();
    first.hears(session(1), asked(2, "Hello"), ended("t1", 3));
"""


async def test_it_comes_back_where_it_was_though_the_network_is_away_for_long() -> None:
    await act(
        WHOLE,
        AGAIN
        + """
        answers = async () => { throw new TypeError("Failed to fetch"); };
        first.close();
        await passes(600);
        assert.ok(asks.length >= 10 && asks.length <= 30, `it asks ${asks.length} times`);
        const pauses = asks.map((one, n) => one.now - (asks[n - 1]?.now ?? 0));
        assert.ok(pauses[0] <= 2_000 && Math.max(...pauses) <= 90_000 && pauses.at(-1) >= 30_000);
        answers = async () => token;
        while (sockets.length < 2) await passes(1);
        assert.ok(asks.every((one) => one.after === 2), "of offset 3 there was more");
        sockets[1].opens();
        sockets[1].hears(session(2), asked(4, "And now?"));
        sockets[1].close();
        await passes(2);
        assert.deepEqual([sockets.length, asks.at(-1).after], [3, 4]);
        assert.deepEqual(shown(), ["Hello", "And now?"]);
        """,
    )


async def test_it_asks_ever_more_seldom_where_nobody_lets_it_in() -> None:
    await act(
        WHOLE,
        AGAIN
        + """
        first.close();
        for (let n = 0; n < 600; n += 1) {
            await passes(1);
            sockets.at(-1).close();
        }
        assert.ok(asks.length >= 10 && asks.length <= 30, `it asks ${asks.length} times`);
        """,
    )


async def test_it_leaves_a_connection_on_which_nobody_greets_it() -> None:
    await act(
        WHOLE,
        AGAIN
        + """
        await passes(60);
        assert.equal(first.readyState, 1);
        first.close();
        await passes(2);
        sockets[1].opens();
        await passes(8);
        assert.equal(sockets[1].readyState, 1);
        await passes(3);
        assert.equal(sockets[1].readyState, 3);
        """,
    )


async def test_it_stops_where_it_is_refused_and_where_the_session_is_over() -> None:
    await act(
        WHOLE,
        AGAIN
        + """
        answers = async () => null;
        first.close();
        await passes(600);
        assert.deepEqual([asks.length, sockets.length], [1, 1]);
        assert.deepEqual(alerts, ["This conversation is over."]);
        """,
    )
    await act(
        WHOLE,
        AGAIN
        + """
        first.hears({ event: "session_expired", data: { reason: "deleted", offset: 4 } });
        first.close();
        await passes(600);
        assert.deepEqual([asks.length, sockets.length], [0, 1]);
        """,
    )
