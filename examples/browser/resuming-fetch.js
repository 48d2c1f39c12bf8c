// A fetch that survives a lost connection: `new OpenAI({ fetch: resumingFetch() })`.
//
// It asks for a resumable answer and counts the whole events that it has handed on. When the
// connection breaks it asks for the rest, so the reader sees every event once. An abort by the
// user is something else: it stops the answer, upstream included.

const BUSY = [429, 502, 503, 504];
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export function resumingFetch({ fetch = globalThis.fetch.bind(globalThis), patience = 60_000, onReconnect } = {}) {
  return async (input, init = {}) => {
    const { method = "GET", signal, headers: given } = { ...pick(input), ...init };
    if (method !== "POST") return fetch(input, init);
    const headers = new Headers(given);
    headers.set("Sluice-Resumable", "true");
    const response = await fetch(input, { ...init, headers });
    const id = response.headers.get("Sluice-Stream-Id");
    if (!id || !response.body) return response;
    const url = response.url.replace(/\/v1(beta)?\/.*$/, `/v1/streams/${id}`);
    for (const name of ["Accept", "Content-Type", "Content-Length", "Sluice-Resumable"]) headers.delete(name);
    const from = (after) => fetch(`${url}?after=${after}`, { headers, signal });
    const stop = () => fetch(url, { method: "DELETE", headers, keepalive: true }).catch(() => {});
    const body = survivingBody(response.body, { from, stop, signal, patience, onReconnect });
    return new Response(body, { status: response.status, headers: response.headers });
  };
}

const pick = (input) => (input instanceof Request ? { method: input.method, signal: input.signal, headers: input.headers } : {});

function survivingBody(first, { from, stop, signal, patience, onReconnect }) {
  let [reader, held, seen] = [first.getReader(), new Uint8Array(0), 0];
  async function reconnect(lost) {
    held = new Uint8Array(0); // Half an event: it comes again, whole.
    onReconnect?.(seen);
    const until = Date.now() + patience;
    for (let wait = 250; Date.now() < until; wait = Math.min(wait * 2, 5000)) {
      const response = await from(seen).catch(() => undefined);
      if (signal?.aborted) break;
      if (response?.status === 200) return response.body.getReader();
      if (response?.status === 204 && response.headers.get("Sluice-Ended-By") === "complete") return undefined;
      if (response && !BUSY.includes(response.status)) break;
      await pause(1000 * Number(response?.headers.get("Retry-After")) || wait);
    }
    throw lost;
  }
  async function pull(controller) {
    while (reader) {
      try {
        const { done, value } = await reader.read();
        if (done) break;
        const joined = new Uint8Array(held.length + value.length);
        joined.set(held);
        joined.set(value, held.length);
        const { end, events } = wholeEvents(joined);
        held = joined.slice(end);
        seen += events;
        if (end) return controller.enqueue(joined.slice(0, end));
      } catch (lost) {
        if (signal?.aborted) stop();
        reader = await reconnect(lost);
      }
    }
    if (held.length) controller.enqueue(held);
    controller.close();
  }
  const cancel = () => Promise.all([reader?.cancel().catch(() => {}), stop()]);
  return new ReadableStream({ pull, cancel }, { highWaterMark: 0 });
}

/** Where the last whole event ends, and how many there are; comments and progress do not count. */
export function wholeEvents(bytes) {
  const text = new TextDecoder("latin1").decode(bytes); // One character for each byte.
  let [end, events] = [0, 0];
  for (const { 0: block, index } of text.matchAll(/[^]*?(?:\r\n\r\n|\n\n|\r\r)/g)) {
    end = index + block.length;
    if (/^(?!:)[^\r\n]/m.test(block) && !/^event: ?progress\r?$/m.test(block)) events += 1;
  }
  return { end, events };
}
