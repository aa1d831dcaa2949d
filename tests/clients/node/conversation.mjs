// From the making of an agent to its end.
import assert from "node:assert/strict";
import { Parlant, ParlantClient } from "parlant-client";

const client = new ParlantClient({ baseUrl: process.env.CUELINE_URL });
const TURN = ["acknowledged", "processing", "typing", "message", "ready"];
const trigger = { kind: "message", source: "ai_agent" };

const agent = await client.agents.create({ name: "Rest Agent", description: "d" });
assert.equal(agent.maxEngineIterations, 3);
const customer = await client.customers.create({ name: "Alice", metadata: { k: "v" } });
const session = await client.sessions.create({
    agentId: agent.id,
    customerId: customer.id,
    title: "T",
    metadata: { x: 1 },
    labels: ["l1", "l2"],
});
assert.deepEqual([session.title, session.mode, session.metadata], ["T", "auto", { x: 1 }]);
assert.ok(session.creationUtc instanceof Date);

// --- polling

const heard = [];
const told = (events) =>
    events
        .filter((event) => event.source !== "customer")
        .map((event) => (event.kind === "status" ? event.data.status : event.kind));
const under = (trace) => heard.filter((event) => event.traceId === trace);
const messageUnder = (trace) => under(trace).find((e) => e.kind === "message" && e.source === "ai_agent");
async function hearOut(trace) {
    const deadline = Date.now() + 60_000;
    while (!told(under(trace)).includes("ready")) {
        assert.ok(Date.now() < deadline, JSON.stringify(heard));
        const minOffset = heard.length ? heard.at(-1).offset + 1 : 0;
        const from = { minOffset, waitForData: 20 };
        const events = await client.sessions.listEvents(session.id, from); // asks again after a 504
        assert.ok(events.length);
        assert.ok(events[0].offset >= minOffset);
        heard.push(...events);
    }
    return told(under(trace));
}

// --- a message and its answer

const said = await client.sessions.createEvent(session.id, {
    kind: "message",
    source: "customer",
    message: "Hello",
    metadata: { m: 1 },
});
assert.deepEqual([said.offset, said.correlationId], [0, said.traceId]);
assert.deepEqual(said.data, {
    message: "Hello",
    participant: { id: customer.id, display_name: "Alice" },
    flagged: false,
    tags: [],
});
assert.deepEqual(await hearOut(said.traceId), TURN);
assert.deepEqual(heard[0], said);
assert.match(messageUnder(said.traceId).data.message, /You said “Hello”\./);

// --- the agent speaks first

const triggered = await client.sessions.createEvent(session.id, trigger);
assert.deepEqual(triggered.data, { status: "acknowledged", data: {} });
assert.deepEqual(await hearOut(triggered.traceId), TURN);
const asked = Date.now();
const answer = await client.sessions.createEvent(session.id, {
    ...trigger,
    guidelines: [{ action: "Ask if the customer needs any more help", rationale: "follow_up" }],
});
assert.ok(answer.kind === "message" || Date.now() - asked > 15_000);
assert.deepEqual(await hearOut(answer.traceId), TURN);
const guided = messageUnder(answer.traceId);
if (answer.kind === "message") assert.deepEqual(answer, guided);

// --- filters

const list = (request) => client.sessions.listEvents(session.id, { waitForData: 0, ...request });
assert.deepEqual(await list({}), heard);
assert.deepEqual(await list({ source: "customer" }), [said]);
assert.deepEqual(await list({ kinds: "message,status" }), heard);
assert.deepEqual(await list({ kinds: "message", traceId: guided.traceId }), [guided]);
assert.deepEqual(await list({ kinds: "message", minOffset: guided.offset }), [guided]);
assert.deepEqual(await client.sessions.readEvent(session.id, guided.id), guided);

// --- what is changed

const changed = await client.sessions.update(session.id, {
    title: "T2",
    mode: "manual",
    consumptionOffsets: { client: 5 },
    metadata: { set: { y: [2] }, unset: ["x"] },
    labels: { upsert: ["l3"], remove: ["l1"] },
});
assert.deepEqual([changed.title, changed.mode, changed.metadata], ["T2", "manual", { y: [2] }]);
assert.deepEqual([changed.consumptionOffsets.client, changed.labels.sort()], [5, ["l2", "l3"]]);
assert.deepEqual(await client.sessions.list({ agentId: agent.id, labels: ["l2", "l3"] }), [changed]);
const page = await client.sessions.list({ agentId: agent.id, limit: 1 });
assert.deepEqual([page.items, page.totalCount, page.hasMore], [[changed], 1, false]);
const noted = await client.sessions.updateEvent(session.id, said.id, {
    metadata: { set: { seen: true }, unset: ["m"] },
});
assert.deepEqual(noted, { ...said, metadata: { seen: true } });
assert.equal((await client.agents.update(agent.id, { name: "Other" })).name, "Other");
assert.equal((await client.customers.update(customer.id, { name: "Bob" })).name, "Bob");
const tag = `agent:${agent.id}`;
const guideline = await client.guidelines.create({ condition: "c", action: "a", tags: [tag] });
assert.deepEqual(await client.guidelines.list({ tagId: tag }), [guideline]);
const updated = await client.guidelines.update(guideline.id, { action: "b" });
assert.deepEqual(updated.guideline, { ...guideline, action: "b" });
await client.guidelines.delete(guideline.id);

// --- people

const person = { id: "p1", displayName: "Carla" };
const spoke = await client.sessions.createEvent(session.id, {
    kind: "message",
    source: "human_agent",
    message: "Hi",
    participant: person,
});
assert.deepEqual(spoke.data, { message: "Hi", participant: { id: "p1", display_name: "Carla" } });

// --- what is removed

await client.sessions.deleteEvents(session.id, { minOffset: spoke.offset });
assert.equal((await list({})).length, heard.length);
await client.sessions.delete(session.id);
await assert.rejects(client.sessions.retrieve(session.id), Parlant.NotFoundError);
await client.customers.delete(customer.id);
await client.agents.delete(agent.id);
await assert.rejects(client.agents.retrieve(agent.id), Parlant.NotFoundError);
console.log("done");
