// A streamed answer with the `openai` package: node openai-chat.js QUESTION
//
// The package waits for `Retry-After`, splits events and throws on the error event of a stream. It
// does not notice a stream that just ends: without a finish reason the answer was cut off.

import OpenAI from "openai";

const { SLUICE_URL = "http://127.0.0.1:8080", SLUICE_MODEL = "demo", SLUICE_KEY = "none" } = process.env;
const client = new OpenAI({ baseURL: `${SLUICE_URL}/v1`, apiKey: SLUICE_KEY, maxRetries: 5 });
const stop = new AbortController(); // aborting closes the connection, and the answer stops upstream
process.once("SIGINT", () => stop.abort());

async function* tokens(question) {
  let finished = false;
  const stream = await client.chat.completions.create(
    { model: SLUICE_MODEL, stream: true, messages: [{ role: "user", content: question }] },
    { signal: stop.signal },
  );
  for await (const { choices } of stream) {
    for (const { delta, finish_reason } of choices) { // the chunk with the usage has none
      finished ||= Boolean(finish_reason);
      yield delta.content ?? "";
    }
  }
  if (!finished) throw new Error("the answer was cut off"); // an abort ends the loop, too
}

try {
  for await (const text of tokens(process.argv.slice(2).join(" "))) process.stdout.write(text);
} catch (error) {
  console.error(`\nNo whole answer: ${stop.signal.aborted ? "you stopped it" : error.message}`);
  process.exitCode = 1;
}
