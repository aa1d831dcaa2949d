// What goes wrong, as the SDK's own errors.
import assert from "node:assert/strict";
import { Parlant, ParlantClient, ParlantError } from "parlant-client";

const client = new ParlantClient({ baseUrl: process.env.CUELINE_URL });
const agent = await client.agents.create({ name: "Rest Agent" });
const { id } = await client.sessions.create({ agentId: agent.id });

async function failure(call, type, statusCode) {
    const error = await call().then(
        () => assert.fail("it did not fail"),
        (reason) => reason,
    );
    assert.ok(error instanceof type, String(error));
    assert.equal(error.statusCode, statusCode);
    return error.body;
}

const hello = { kind: "message", source: "customer", message: "Hello" };
for (const missing of [
    () => client.sessions.retrieve("nobody.nothing"),
    () => client.sessions.createEvent("nobody.nothing", hello),
    () => client.sessions.listEvents("nobody.nothing", { waitForData: 5 }),
    () => client.agents.retrieve("nobody"),
    () => client.customers.retrieve("nobody"),
    () => client.guidelines.retrieve("nobody"),
]) {
    const body = await failure(missing, Parlant.NotFoundError, 404);
    assert.equal(typeof body.detail, "string");
}
await failure(() => client.sessions.create({ agentId: "nobody" }), ParlantError, 404);
for (const wrong of [
    () => client.sessions.createEvent(id, { ...hello, message: undefined }),
    () => client.sessions.createEvent(id, { ...hello, source: "ai_agent" }),
    () => client.sessions.listEvents(id, { kinds: "nonsense" }),
]) {
    assert.ok((await failure(wrong, Parlant.UnprocessableEntityError, 422)).detail);
}

// After a 504 the SDK asks again by itself, unless it is told not to.
const began = Date.now();
const idle = () => client.sessions.listEvents(id, { waitForData: 1 }, { maxRetries: 0 });
const body = await failure(idle, Parlant.GatewayTimeoutError, 504);
assert.deepEqual(body, { detail: "Request timed out" });
assert.ok(Date.now() - began < 5000);

assert.deepEqual(await client.sessions.listEvents(id, { waitForData: 0 }), []);
await client.sessions.delete(id);
await client.agents.delete(agent.id);
console.log("done");
