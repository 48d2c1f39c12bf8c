// A streamed answer with fetch and an SSE reader: node fetch-chat.js QUESTION
//
// Ctrl-C aborts the fetch; the connection closes, and the answer stops upstream, too.

import { chatText, events } from "./sse.js";

const { SLUICE_URL = "http://127.0.0.1:8080", SLUICE_MODEL = "demo", SLUICE_KEY = "none" } = process.env;
const stop = new AbortController();
process.once("SIGINT", () => stop.abort());

const pause = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

/** Asks; while Sluice is busy, again after `Retry-After` or after ever longer waits. */
async function ask(question, tries = 5) {
  for (let attempt = 1; ; attempt += 1) {
    const response = await fetch(`${SLUICE_URL}/v1/chat/completions`, {
      method: "POST",
      headers: { "Content-Type": "application/json", Authorization: `Bearer ${SLUICE_KEY}` },
      body: JSON.stringify({ model: SLUICE_MODEL, stream: true, messages: [{ role: "user", content: question }] }),
      signal: stop.signal,
    });
    if (response.ok) return response;
    if (![429, 503].includes(response.status) || attempt === tries) {
      throw new Error(`${response.status}: ${await response.text()}`);
    }
    const wait = Number(response.headers.get("Retry-After")) || 2 ** attempt;
    await pause(wait * (1 + Math.random() / 5)); // not all clients at once
  }
}

try {
  const response = await ask(process.argv.slice(2).join(" "));
  for await (const text of chatText(events(response.body))) process.stdout.write(text);
} catch (error) {
  console.error(`\nNo whole answer: ${stop.signal.aborted ? "you stopped it" : error.message}`);
  process.exitCode = 1;
}
