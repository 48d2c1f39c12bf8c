// A backend of one's own before Sluice, for ../browser/: node express-backend.js [PORT]
//
// The key stays here; put your own login before it. Browsers get what Sluice says as it comes.

import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { fileURLToPath } from "node:url";
import express from "express";

const { SLUICE_URL = "http://127.0.0.1:8080", SLUICE_MODEL = "demo", SLUICE_KEY = "none" } = process.env;
const KEPT = ["Content-Type", "Cache-Control", "Retry-After"];

async function relay(request, response, path, { headers = {}, ...options } = {}) {
  const left = new AbortController(); // a browser that leaves closes the connection to Sluice, too
  response.on("close", () => left.abort());
  const last = request.get("Last-Event-ID"); // where an EventSource was
  const more = last ? { "Last-Event-ID": last } : {};
  try {
    const answer = await fetch(SLUICE_URL + path, {
      ...options,
      headers: { Authorization: `Bearer ${SLUICE_KEY}`, ...more, ...headers },
      signal: left.signal,
    });
    response.status(answer.status);
    for (const name of KEPT) if (answer.headers.has(name)) response.set(name, answer.headers.get(name));
    response.flushHeaders();
    if (answer.body) await pipeline(Readable.fromWeb(answer.body), response);
    else response.end();
  } catch {
    if (response.headersSent) response.destroy(); // end() would make the cut look like an end
    else response.status(502).json({ error: { message: "Sluice cannot be reached." } });
  }
}

function ask(request, response, headers = {}) {
  const messages = [{ role: "user", content: request.body.prompt }];
  return relay(request, response, "/v1/chat/completions", {
    method: "POST",
    headers: { "Content-Type": "application/json", ...headers },
    body: JSON.stringify({ model: SLUICE_MODEL, stream: true, messages }),
  });
}

const app = express();
app.use(express.static(fileURLToPath(new URL("../browser", import.meta.url))), express.json());
app.post("/api/chat", (request, response) => ask(request, response));
app.post("/api/chat/create-task", (request, response) => ask(request, response, { Prefer: "respond-async" }));
app.get("/api/chat", (request, response) => {
  const query = new URLSearchParams({ model: SLUICE_MODEL, q: request.query.q });
  return relay(request, response, `/v1/stream?${query}`);
});
app.all("/api/chat/stream/:id", (request, response) => { // GET listens, DELETE stops the answer
  const path = `/v1/streams/${encodeURIComponent(request.params.id)}?ids=1&progress=1`;
  return relay(request, response, path, { method: request.method });
});
app.listen(Number(process.argv[2] ?? 8090), "127.0.0.1");
