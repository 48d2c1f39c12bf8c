// The same request as code, ready to paste. The key is never in it: it comes from the environment.

import { FAMILIES } from "./families.js";

const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

export const LANGUAGES = { curl, Python: python, JavaScript: javascript };

function curl(family, request, origin) {
  const { path, headers, body } = FAMILIES[family];
  const lines = Object.entries(headers("")).map(([name, value]) => `-H ${quoted(`${name}: ${value}`)}`);
  const key = family === "messages" ? '-H "x-api-key: $API_KEY"' : '-H "Authorization: Bearer $API_KEY"';
  return [`curl -N ${quoted(origin + path)}`, ...lines, key, `-d ${quoted(JSON.stringify(body(request)))}`].join(" \\\n  ");
}

function python(family, request, origin) {
  const { stream, ...body } = FAMILIES[family].body(request);
  const given = Object.entries(body).map(([name, value]) => `    ${name}=${literal(value)},`).join("\n");
  return PYTHON[family](origin, given);
}

const PYTHON = {
  chat: (origin, given) => `import os
from openai import OpenAI

client = OpenAI(base_url=${literal(`${origin}/v1`)}, api_key=os.environ["API_KEY"])
stream = client.chat.completions.create(
${given}
    stream=True,
)
for chunk in stream:
    if chunk.choices:
        print(chunk.choices[0].delta.content or "", end="", flush=True)
`,
  responses: (origin, given) => `import os
from openai import OpenAI

client = OpenAI(base_url=${literal(`${origin}/v1`)}, api_key=os.environ["API_KEY"])
stream = client.responses.create(
${given}
    stream=True,
)
for event in stream:
    if event.type == "response.output_text.delta":
        print(event.delta, end="", flush=True)
`,
  messages: (origin, given) => `import os
from anthropic import Anthropic

client = Anthropic(base_url=${literal(origin)}, api_key=os.environ["API_KEY"])
with client.messages.stream(
${given}
) as stream:
    for text in stream.text_stream:
        print(text, end="", flush=True)
`,
};

function javascript(family, request, origin) {
  const { stream, ...body } = FAMILIES[family].body(request);
  const given = JSON.stringify({ ...body, stream: true }, null, 2);
  return JAVASCRIPT[family](origin, given);
}

const openai = (origin) => `import OpenAI from "openai";

const client = new OpenAI({ baseURL: ${JSON.stringify(`${origin}/v1`)}, apiKey: process.env.API_KEY });
`;
const JAVASCRIPT = {
  chat: (origin, given) => `${openai(origin)}const stream = await client.chat.completions.create(${given});
for await (const chunk of stream) process.stdout.write(chunk.choices[0]?.delta?.content ?? "");
`,
  responses: (origin, given) => `${openai(origin)}const stream = await client.responses.create(${given});
for await (const event of stream) {
  if (event.type === "response.output_text.delta") process.stdout.write(event.delta);
}
`,
  messages: (origin, given) => `import Anthropic from "@anthropic-ai/sdk";

const client = new Anthropic({ baseURL: ${JSON.stringify(origin)}, apiKey: process.env.API_KEY });
const stream = await client.messages.create(${given});
for await (const event of stream) {
  if (event.delta?.type === "text_delta") process.stdout.write(event.delta.text);
}
`,
};

/** A JSON value as Python writes it. */
function literal(value) {
  if (value === true) return "True";
  if (value === false) return "False";
  if (value === null) return "None";
  if (Array.isArray(value)) return `[${value.map(literal).join(", ")}]`;
  if (typeof value === "object") return `{${Object.entries(value).map(([name, one]) => `${JSON.stringify(name)}: ${literal(one)}`).join(", ")}}`;
  return JSON.stringify(value);
}
