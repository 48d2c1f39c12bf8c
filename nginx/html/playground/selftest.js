// Whether something between this page and the gateway holds events back: timed events, compared.

import { SseParser } from "./sse.js";

const LATE_SECONDS = 0.15;

/** Asks for the timed events and says in one sentence what became of them. */
export async function bufferingVerdict(fetch = globalThis.fetch.bind(globalThis)) {
  const response = await fetch("/selftest/stream", { cache: "no-store" });
  if (!response.ok) return `The self-test answered ${response.status}.`;
  const [arrivals, parser, reader] = [[], new SseParser(), response.body.getReader()];
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    const at = performance.now() / 1000;
    for (const event of parser.feed(value)) {
      if (event.data === undefined) continue;
      const { seconds } = JSON.parse(event.data);
      if (typeof seconds === "number") arrivals.push({ at, seconds });
    }
  }
  return verdict(arrivals, response.headers.get("Via"), response.headers.get("Content-Encoding"));
}

/** Pure: arrival and sending times in, a sentence out. */
export function verdict(arrivals, via, encoding) {
  if (arrivals.length < 2) return "The events did not come: something in front ends or swallows streams.";
  const offsets = arrivals.map(({ at, seconds }) => at - seconds);
  const late = Math.max(...offsets) - Math.min(...offsets);
  if (late <= LATE_SECONDS) return `No buffering: ${arrivals.length} events came as they were sent, ${Math.round(late * 1000)} ms apart at most.`;
  const where = via ? ` The answer came through: ${via}.` : encoding ? ` The answer is compressed (${encoding}): compressors hold events back.` : "";
  const whole = arrivals.at(-1).at - arrivals[0].at < LATE_SECONDS;
  const how = whole ? "All events came in one piece at the end" : `Events were held back by up to ${late.toFixed(1)} s`;
  return `${how}: something between this page and the gateway buffers. Switch buffering and compression off there for this path.${where}`;
}
