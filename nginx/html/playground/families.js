// What differs between the API families: how a question is asked, and what an event of the answer
// says. An event becomes parts: {kind: text | thinking | tool | image | audio | usage | finish |
// error | end, …}. Nothing here touches the page.

const json = { "Content-Type": "application/json" };

export const FAMILIES = {
  chat: {
    title: "Chat completions",
    path: "/v1/chat/completions",
    headers: (key) => ({ ...json, ...(key && { Authorization: `Bearer ${key}` }) }),
    body: ({ model, system, turns, maxTokens }) => ({
      model,
      stream: true,
      stream_options: { include_usage: true },
      ...(maxTokens && { max_tokens: maxTokens }),
      messages: [...(system ? [{ role: "system", content: system }] : []), ...turns],
    }),
    parts: chatParts,
  },
  responses: {
    title: "Responses",
    path: "/v1/responses",
    headers: (key) => ({ ...json, ...(key && { Authorization: `Bearer ${key}` }) }),
    body: ({ model, system, turns, maxTokens }) => ({
      model,
      stream: true,
      ...(system && { instructions: system }),
      ...(maxTokens && { max_output_tokens: maxTokens }),
      input: turns,
    }),
    parts: responsesParts,
  },
  messages: {
    title: "Messages",
    path: "/v1/messages",
    headers: (key) => ({ ...json, "anthropic-version": "2023-06-01", ...(key && { "x-api-key": key }) }),
    body: ({ model, system, turns, maxTokens }) => ({
      model,
      stream: true,
      max_tokens: maxTokens || 4096,
      ...(system && { system }),
      messages: turns,
    }),
    parts: messagesParts,
  },
};

/** The parts of one event; an event whose data is no JSON gives none, and harms nothing. */
export function partsOf(family, event) {
  if (event.data === undefined) return [];
  if (event.data === "[DONE]") return [{ kind: "end" }];
  let document;
  try {
    document = JSON.parse(event.data);
  } catch {
    return [];
  }
  if (document === null || typeof document !== "object") return [];
  return FAMILIES[family].parts(document, event.name);
}

function errorPart(error) {
  const text = typeof error === "string" ? error : error?.message ?? JSON.stringify(error);
  return { kind: "error", text, code: error?.code ?? error?.type };
}

function chatParts(document) {
  const parts = [];
  if (document.error) parts.push(errorPart(document.error));
  for (const choice of document.choices ?? []) {
    const delta = choice.delta ?? choice.message ?? {};
    const thinking = delta.reasoning_content ?? delta.reasoning;
    if (thinking) parts.push({ kind: "thinking", text: String(thinking) });
    parts.push(...contentParts(delta.content));
    if (delta.refusal) parts.push({ kind: "text", text: delta.refusal });
    for (const call of delta.tool_calls ?? []) {
      parts.push({ kind: "tool", index: call.index ?? 0, name: call.function?.name, text: call.function?.arguments ?? "" });
    }
    for (const image of delta.images ?? []) parts.push({ kind: "image", url: image.image_url?.url });
    if (delta.audio?.data) parts.push({ kind: "audio", data: delta.audio.data });
    if (delta.audio?.transcript) parts.push({ kind: "text", text: delta.audio.transcript });
    if (choice.finish_reason) parts.push({ kind: "finish", reason: choice.finish_reason });
  }
  const usage = document.usage ?? document.x_groq?.usage;
  if (usage) parts.push({ kind: "usage", input: usage.prompt_tokens, output: usage.completion_tokens });
  return parts;
}

function contentParts(content) {
  if (typeof content === "string") return content ? [{ kind: "text", text: content }] : [];
  return (Array.isArray(content) ? content : []).flatMap((part) => {
    if (part.type === "thinking") return [{ kind: "thinking", text: [part.thinking].flat().map((one) => one?.text ?? one).join("") }];
    if (part.image_url) return [{ kind: "image", url: part.image_url.url ?? part.image_url }];
    return part.text ? [{ kind: "text", text: part.text }] : [];
  });
}

const RESPONSES = {
  "response.output_text.delta": (event) => [{ kind: "text", text: event.delta }],
  "response.refusal.delta": (event) => [{ kind: "text", text: event.delta }],
  "response.reasoning_text.delta": (event) => [{ kind: "thinking", text: event.delta }],
  "response.reasoning_summary_text.delta": (event) => [{ kind: "thinking", text: event.delta }],
  "response.output_item.added": ({ item, output_index: index }) =>
    item?.type === "function_call" ? [{ kind: "tool", index, name: item.name, text: item.arguments ?? "" }] : [],
  "response.function_call_arguments.delta": (event) => [{ kind: "tool", index: event.output_index, text: event.delta }],
  "response.image_generation_call.partial_image": (event) => [
    { kind: "image", replaces: event.item_id, url: `data:image/png;base64,${event.partial_image_b64}` },
  ],
  "response.output_item.done": ({ item }) =>
    item?.type === "image_generation_call" && item.result
      ? [{ kind: "image", replaces: item.id, url: `data:image/png;base64,${item.result}` }]
      : [],
  "response.audio.delta": (event) => [{ kind: "audio", data: event.delta }],
  "response.completed": (event) => ending(event, "completed"),
  "response.incomplete": (event) => ending(event, event.response?.incomplete_details?.reason ?? "incomplete"),
  "response.failed": (event) => [errorPart(event.error ?? event.response?.error)],
  error: (event) => [errorPart(event.error ?? event)],
};

function ending({ response }, reason) {
  const usage = response?.usage;
  const counted = usage ? [{ kind: "usage", input: usage.input_tokens, output: usage.output_tokens }] : [];
  return [...counted, { kind: "finish", reason }, { kind: "end" }];
}

function responsesParts(document, name) {
  const read = RESPONSES[document.type ?? name];
  if (read) return read(document);
  return document.error ? [errorPart(document.error)] : [];
}

const DELTAS = {
  text_delta: (delta) => [{ kind: "text", text: delta.text }],
  thinking_delta: (delta) => [{ kind: "thinking", text: delta.thinking }],
  input_json_delta: (delta, index) => [{ kind: "tool", index, text: delta.partial_json }],
};

function messagesParts(document) {
  const { type, index } = document;
  if (type === "message_start") return usageParts(document.message?.usage);
  if (type === "content_block_start" && document.content_block?.type === "tool_use") {
    return [{ kind: "tool", index, name: document.content_block.name, text: "" }];
  }
  if (type === "content_block_delta") return DELTAS[document.delta?.type]?.(document.delta, index) ?? [];
  if (type === "message_delta") {
    const reason = document.delta?.stop_reason;
    return [...usageParts(document.usage), ...(reason ? [{ kind: "finish", reason }] : [])];
  }
  if (type === "message_stop") return [{ kind: "end" }];
  return type === "error" ? [errorPart(document.error)] : [];
}

function usageParts(usage) {
  if (!usage) return [];
  const cached = (usage.cache_read_input_tokens ?? 0) + (usage.cache_creation_input_tokens ?? 0);
  const input = usage.input_tokens === undefined ? undefined : usage.input_tokens + cached;
  return [{ kind: "usage", input, output: usage.output_tokens }];
}
