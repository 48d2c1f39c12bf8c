// Asks under one package over the resuming fetch, prints the text; ARGUMENTS: package, address.
import { resumingFetch } from "../browser/resuming-fetch.js";

const [kind, url, stopAfter] = process.argv.slice(2);
const model = process.env.MODEL ?? "m";
const fetch = resumingFetch();
const messages = [{ role: "user", content: "Hello" }];
const stop = new AbortController();

async function* openai() {
  const { default: OpenAI } = await import("openai");
  const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "x", maxRetries: 0, fetch });
  const stream = await client.chat.completions.create({ model, stream: true, messages }, { signal: stop.signal });
  for await (const { choices } of stream) yield choices[0]?.delta.content ?? "";
}

async function* anthropic() {
  const { default: Anthropic } = await import("@anthropic-ai/sdk");
  const client = new Anthropic({ baseURL: url, apiKey: "x", maxRetries: 0, fetch });
  const stream = await client.messages.create({ model, max_tokens: 999, stream: true, messages }, { signal: stop.signal });
  for await (const event of stream) yield event.delta?.text ?? "";
}

async function* ai() {
  const { streamText } = await import("ai");
  const { createOpenAICompatible } = await import("@ai-sdk/openai-compatible");
  const provider = createOpenAICompatible({ name: "sluice", baseURL: `${url}/v1`, apiKey: "x", fetch });
  const { fullStream } = streamText({ model: provider(model), messages, maxRetries: 0, abortSignal: stop.signal, onError: () => {} });
  for await (const part of fullStream) {
    if (part.type === "error") throw part.error;
    if (part.type === "text-delta") yield part.text;
  }
}

let count = 0;
try {
  for await (const text of { openai, anthropic, ai }[kind]()) {
    process.stdout.write(text);
    count += 1;
    if (count === Number(stopAfter)) stop.abort();
  }
} catch (error) {
  console.error(String(error));
  process.exitCode = 1;
}
