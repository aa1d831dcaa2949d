// What a browser gives a page, with a clock and a network that the program behind this rules. PAGE is the page's
// script; `names` of it are given back.
import assert from "node:assert/strict";

const sockets = [], alerts = [], timers = [];
let now = 0;

class Socket {
    sent = [];
    readyState = 0;
    constructor(url) {
        this.url = url;
        sockets.push(this);
    }
    send(text) {
        assert.notEqual(this.readyState, 0, "InvalidStateError");
        if (this.readyState === 1) this.sent.push(JSON.parse(text));
    }
    close() {
        if (this.readyState === 3) return;
        this.readyState = 3;
        this.onclose?.();
    }
    opens() {
        this.readyState = 1;
        this.onopen?.();
    }
    hears(...frames) {
        for (const frame of frames) this.onmessage({ data: JSON.stringify(frame) });
    }
    commands(type) {
        return this.sent.filter((command) => command.type === type);
    }
}

const later = (every) => (act, ms) => timers.push({ act, at: now + ms, every: every && ms }) && timers.at(-1);
const cancel = (timer) => timers.includes(timer) && timers.splice(timers.indexOf(timer), 1);

async function passes(seconds) {
    for (const end = now + 1000 * seconds; ; ) {
        await new Promise(setImmediate);
        const [next] = timers.sort((a, b) => a.at - b.at);
        if (!next || next.at > end) return void (now = end);
        now = next.at;
        if (next.every) next.at += next.every;
        else cancel(next);
        next.act();
    }
}

const document = { body: { innerText: "" } };
const shown = () => document.body.innerText.split("\n\n");
const token = btoa(JSON.stringify({ url: "wss://there/?token=t" }));

const page = (...names) => {
    const given = { WebSocket: Socket, document, token, alert: (what) => alerts.push(what) };
    Object.assign(given, { setTimeout: later(false), setInterval: later(true), clearTimeout: cancel });
    const made = new Function(...Object.keys(given), `${process.env.PAGE}; return { ${names} }`);
    return made(...Object.values(given));
};

// --- frames, as they come

const message = (m) => ({ event: "message_received", data: { message: { type: "message", ...m } } });
const session = (offset) => message({ type: "session", session_id: "guide.s", offset });
const asked = (offset, content) => message({ role: "user", action: "completed", item_id: `e${offset}`, offset, content });
const answer = (action, response, more) => message({ role: "assistant", action, response_id: response, ...more });
const part = (action, response, more) => answer(action, response, { item_id: `${response}-0`, ...more });
const delta = (response, position, content) => part("delta", response, { position, content });
const ended = (response, offset) => ({
    event: "talk_state_changed", data: { state: "ended", response_id: response, offset, more: true },
});
const ack = ({ type, command_id }) => ({ event: "command_ack", data: { type, command_id, status: "accepted", offset: 9 } });
const refused = ({ command_id }, code, retryable) => ({
    event: "command_error", data: { command_id, code, message: `It is ${code}.`, param: null, retryable },
});
const gateway = { message: "Internal server error", connectionId: "L0=", requestId: "r" };
const failure = (message) => ({ code: "model_unavailable", message, retryable: true });
