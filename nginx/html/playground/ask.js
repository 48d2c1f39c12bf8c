// Asks one question and reads the answer to its end, whatever that is.

import { FAMILIES, partsOf } from "./families.js";
import { resumingFetch } from "./resuming-fetch.js";
import { SseParser } from "./sse.js";

/** A fetch whose connection can be broken off without aborting the request: the pulled plug. */
export function breakableFetch() {
  let connection = new AbortController();
  const fetch = (input, init = {}) => {
    connection = new AbortController();
    const signals = [connection.signal, init.signal].filter(Boolean);
    return globalThis.fetch(input, { ...init, signal: AbortSignal.any(signals) });
  };
  return { fetch, pull: () => connection.abort(new TypeError("The plug was pulled.")) };
}

/**
 * Streams an answer. `on.open(response)`, `on.event(event, parts)`, `on.reconnect(seen)` are told
 * as it goes. Returns how it ended: {endedBy, good, note}.
 */
export async function ask({ family, request, key, plug, signal, on }) {
  const fetch = resumingFetch({ fetch: plug.fetch, onReconnect: on.reconnect });
  const { path, headers, body } = FAMILIES[family];
  const more = { "Sluice-Figures": "trailing", "Sluice-Progress": "true" };
  let response;
  try {
    response = await fetch(path, {
      method: "POST",
      headers: { ...headers(key), ...more },
      body: JSON.stringify(body(request)),
      signal,
    });
  } catch (error) {
    return signal.aborted ? stopped() : cut("connection_lost", `No answer: ${error.message}`);
  }
  on.open(response);
  if (!response.ok) return refused(response);
  return readToEnd(response, { family, signal, on });
}

async function readToEnd(response, { family, signal, on }) {
  const [parser, reader] = [new SseParser(), response.body.getReader()];
  let error;
  let [finished, ended] = [undefined, false];
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      for (const event of parser.feed(value)) {
        const parts = event.name === "progress" ? [] : partsOf(family, event);
        error ??= parts.find((part) => part.kind === "error");
        finished ??= parts.find((part) => part.kind === "finish")?.reason;
        ended ||= parts.some((part) => part.kind === "end");
        on.event(event, parts);
      }
    }
    for (const event of parser.end()) on.event(event, []);
  } catch (lost) {
    if (signal.aborted) return stopped();
    if (!error && !ended) return cut("connection_lost", `The connection was lost: ${lost.message}`);
  }
  if (error) return cut(error.code ?? "error_event", error.text);
  if (ended || finished) return { endedBy: "complete", good: true, note: finished ? `Finished: ${finished}.` : "Finished." };
  return cut("upstream_cut", "The answer broke off before its end.");
}

async function refused(response) {
  const text = await response.text();
  let message = text.slice(0, 500);
  let code = `status ${response.status}`;
  try {
    const { error } = JSON.parse(text);
    message = error?.message ?? message;
    code = error?.code ?? error?.type ?? code;
  } catch {
    // Not every refusal is JSON; its text says enough.
  }
  const after = response.headers.get("Retry-After");
  return cut(String(code), `${response.status}: ${message}${after ? ` (again in ${after} s)` : ""}`);
}

const stopped = () => ({ endedBy: "stopped", good: true, stopped: true, note: "Stopped by you." });
const cut = (endedBy, note) => ({ endedBy, good: false, note });
