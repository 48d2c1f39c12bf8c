// A reader by hand that splits lines: node split-lines.js QUESTION
//
// Enough where each event is one `data:` line, as every chat API sends it today. What makes it safe:
// the decoder keeps half a character, the last piece waits for its line end, and no end is a cut.

import { chatText } from "./sse.js";

const { SLUICE_URL = "http://127.0.0.1:8080", SLUICE_MODEL = "demo", SLUICE_KEY = "none" } = process.env;

async function* dataLines(body) {
  let rest = "";
  for await (const text of body.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop();
    for (const line of lines) if (line.startsWith("data:")) yield line.slice(5).trim();
  }
}

try {
  const response = await fetch(`${SLUICE_URL}/v1/chat/completions`, {
    method: "POST",
    headers: { "Content-Type": "application/json", Authorization: `Bearer ${SLUICE_KEY}` },
    body: JSON.stringify({
      model: SLUICE_MODEL,
      stream: true,
      messages: [{ role: "user", content: process.argv.slice(2).join(" ") }],
    }),
  });
  if (!response.ok) throw new Error(`${response.status}: ${await response.text()}`);
  for await (const text of chatText(dataLines(response.body))) process.stdout.write(text);
} catch (error) {
  console.error(`\nNo whole answer: ${error.message}`);
  process.exitCode = 1;
}
