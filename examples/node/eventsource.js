// A question as the URL of an EventSource, on node: node eventsource.js QUESTION
//
// The package reconnects by itself and says which event it had last; Sluice goes on after it.

import { EventSource } from "eventsource";

const { SLUICE_URL = "http://127.0.0.1:8080", SLUICE_MODEL = "demo", SLUICE_KEY = "none" } = process.env;

function answer(question, show) {
  const query = new URLSearchParams({ model: SLUICE_MODEL, q: question });
  const source = new EventSource(`${SLUICE_URL}/v1/stream?${query}`, {
    fetch: (url, init) => fetch(url, { ...init, headers: { ...init.headers, Authorization: `Bearer ${SLUICE_KEY}` } }),
  });
  let finished = false;
  return new Promise((resolve, reject) => {
    const end = (why) => {
      source.close(); // or it would connect again
      if (finished) resolve();
      else reject(new Error(why));
    };
    source.addEventListener("message", ({ data }) => {
      if (!data.startsWith("{")) return; // [DONE], or no JSON
      const { error, choices = [] } = JSON.parse(data);
      if (error) return end(error.message);
      for (const { delta, finish_reason } of choices) {
        finished ||= Boolean(finish_reason);
        show(delta?.content ?? "");
      }
    });
    source.addEventListener("done", () => end("the answer was cut off"));
    source.addEventListener("error", ({ code, message }) => {
      if (source.readyState === EventSource.CLOSED) end(message ?? `status ${code}`);
    });
  });
}

try {
  await answer(process.argv.slice(2).join(" "), (text) => process.stdout.write(text));
} catch (error) {
  console.error(`\nNo whole answer: ${error.message}`);
  process.exitCode = 1;
}
