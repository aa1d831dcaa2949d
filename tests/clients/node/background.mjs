// A trigger from its making to its end, its events in every documented form, and what came of them.
import assert from "node:assert/strict";
import { ChatBotKit } from "@chatbotkit/sdk";
import { TriggerIntegrationClient } from "@chatbotkit/sdk/integration/trigger/index.js";

const baseUrl = process.env.CUELINE_URL;
const client = new ChatBotKit({ secret: "any", baseUrl });
const triggers = client.integration.trigger;
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function until(what, found) {
    const deadline = Date.now() + 90_000;
    for (;;) {
        const value = await found();
        if (value) return value;
        assert.ok(Date.now() < deadline, `no ${what} came`);
        await sleep(200);
    }
}

// --- the trigger

const { id } = await triggers.create({
    name: "Orders",
    description: "What to do with orders",
    botId: process.env.AGENT,
    meta: { team: "sales" },
    sessionDuration: 60_000,
});
const made = await triggers.fetch(id);
assert.equal(made.name, "Orders");
assert.equal(made.botId, process.env.AGENT);
assert.deepEqual(made.meta, { team: "sales" });
assert.equal(made.sessionDuration, 60_000);
assert.match(made.secret, /^[0-9a-f]{64}$/);
assert.equal(typeof made.createdAt, "number");
assert.deepEqual(await triggers.update(id, { name: "Orders of today" }), { id });
assert.equal((await triggers.fetch(id)).name, "Orders of today");
assert.deepEqual(await triggers.setup(id, {}), { id });
const listed = await triggers.list({ meta: { team: "sales" } });
assert.ok(listed.items.some((item) => item.id === id && item.secret === made.secret));
const streamed = [];
for await (const { type, data } of triggers.list().stream()) if (type === "item") streamed.push(data.id);
assert.ok(streamed.includes(id));

// --- its events

const events = new TriggerIntegrationClient({ secret: made.secret, baseUrl });
const path = `/api/v1/integration/trigger/${id}/event`;
const send = (options) => events.clientFetch(path, options);
const first = await send({ record: { text: "Hello there", session: "one" } });
assert.equal(first.ok, true);
assert.ok(first.id);
const second = await send({ record: { text: "Again", session: "one" } });
assert.equal(second.conversationId, first.conversationId);
const email = `jane-${id}@example.com`;
const byContact = await send({
    record: { text: "From Jane", contact: { name: "Jane", email } },
});
assert.notEqual(byContact.conversationId, first.conversationId);
const byQuery = await send({
    query: { session: "two", contact: { email: "bob@example.com" } },
    record: { text: "In the query" },
});
const key = { "Idempotency-Key": `once-${id}` };
const once = await send({ record: { text: "Once" }, headers: key });
assert.deepEqual(await send({ record: { text: "Once" }, headers: key }), once);
await assert.rejects(
    new TriggerIntegrationClient({ secret: "wrong", baseUrl }).clientFetch(path, { record: {} }),
    (error) => error.code === "NOT_AUTHENTICATED",
);
assert.equal((await triggers.invoke(id, { text: "By hand" })).id, id);

// --- what came of them

const answered = await until("answer", async () => {
    const { items } = await client.conversation.message.list(first.conversationId);
    return items.filter((item) => item.type === "bot").length === 2 && items;
});
const said = answered.filter((item) => ["user", "bot"].includes(item.type));
assert.deepEqual(
    said.map((item) => item.type).sort(),
    ["bot", "bot", "user", "user"],
);
assert.ok(said.some((item) => item.text === "Hello there"));
assert.ok(said.some((item) => item.type === "bot" && item.text.includes("Hello there")));
const mine = await client.conversation.list({ meta: { "trigger.integrationId": id } });
for (const one of [first, byContact, byQuery, once]) {
    assert.ok(mine.items.some((item) => item.id === one.conversationId));
}
const fetched = await client.conversation.fetch(first.conversationId);
assert.equal(fetched.botId, process.env.AGENT);
const lines = [];
for await (const { type, data } of client.conversation.message.list(first.conversationId).stream()) {
    if (type === "item") lines.push(data.id);
}
assert.deepEqual(lines, answered.map((item) => item.id));
const { items: contacts } = await client.contact.list();
const jane = contacts.find((contact) => contact.email === email);
assert.equal(jane.name, "Jane");
const hers = await client.contact.conversation.list(jane.id);
assert.deepEqual(hers.items.map((item) => item.id), [byContact.conversationId]);

// --- the end

assert.deepEqual(await triggers.delete(id), { id });
await assert.rejects(triggers.fetch(id), (error) => error.code === "NOT_FOUND");
console.log("done");
process.exit(0);
