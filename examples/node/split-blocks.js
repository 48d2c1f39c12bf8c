// A reader by hand that splits on empty lines: node split-blocks.js QUESTION
//
// The decoder keeps half a character, what stands behind the last empty line waits for more, and a
// stream without an end is a cut.

import { chatText } from "./sse.js";

const { SLUICE_URL = "http://127.0.0.1:8080", SLUICE_MODEL = "demo", SLUICE_KEY = "none" } = process.env;

async function* dataOfBlocks(body) {
  let rest = "";
  for await (const text of body.pipeThrough(new TextDecoderStream())) {
    const blocks = (rest + text).split(/\r\n\r\n|\n\n|\r\r/);
    rest = blocks.pop();
    for (const block of blocks) {
      const lines = block.split(/\r\n|\r|\n/).filter((line) => line.startsWith("data:"));
      if (lines.length) yield lines.map((line) => line.slice(5).replace(/^ /, "")).join("\n");
    }
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
  for await (const text of chatText(dataOfBlocks(response.body))) process.stdout.write(text);
} catch (error) {
  console.error(`\nNo whole answer: ${error.message}`);
  process.exitCode = 1;
}
