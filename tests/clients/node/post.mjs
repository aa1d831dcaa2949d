// Posts one event, and prints what it is answered.
import { ParlantClient } from "parlant-client";

const client = new ParlantClient({ baseUrl: process.env.CUELINE_URL });
const event = await client.sessions.createEvent(process.env.SESSION, JSON.parse(process.env.EVENT));
console.log(JSON.stringify(event));
