// The playground: what the controls do, and what is drawn in each frame.

import { AnswerView } from "./answer.js";
import { ask, breakableFetch } from "./ask.js";
import { Conversation } from "./conversation.js";
import { FAMILIES } from "./families.js";
import { drawPace, Figures } from "./figures.js";
import { Progress } from "./progress.js";
import { RawView } from "./raw.js";
import { bufferingVerdict } from "./selftest.js";
import { LANGUAGES } from "./snippets.js";

const $ = (id) => document.getElementById(id);
const FIGURES_EVERY_MS = 250;

const progress = new Progress({ ring: $("ring"), stage: $("stage"), left: $("left") });
const raw = new RawView($("raw"), $("events"));
const conversation = new Conversation($("conversation"), { edit, regenerate });
let running; // The answer under way: {stop, plug}.
let language = "curl";

function settings() {
  return {
    model: $("model").value.trim(),
    system: $("system").value.trim(),
    maxTokens: Number($("max-tokens").value) || undefined,
    turns: conversation.turns,
  };
}

async function send() {
  const question = $("question").value.trim();
  if (!question || running) return;
  $("question").value = "";
  conversation.addQuestion(question);
  await answer();
}

async function answer() {
  const [stop, plug] = [new AbortController(), breakableFetch()];
  running = { stop, plug };
  announce("The answer is on its way.");
  raw.clear();
  progress.begin();
  const family = $("family").value;
  const request = settings();
  const view = new AnswerView(conversation.addAnswer());
  enable();
  const figures = new Figures(performance.now());
  const shown = { state: "running" };
  const frames = drawWhileRunning(view, figures, shown);
  const outcome = await ask({
    family,
    request,
    key: $("key").value.trim(),
    plug,
    signal: stop.signal,
    on: {
      open: (response) => opened(response, figures, shown),
      event: (event, parts) => took(event, parts, view, figures),
      reconnect: (seen) => announce(`The connection was lost after ${seen} events. Reconnecting.`),
    },
  });
  frames.stop();
  conclude(outcome, view, figures, shown);
}

function opened(response, figures, shown) {
  shown.requestId = response.headers.get("X-Request-ID") ?? undefined;
  figures.serverTiming(response.headers.get("Server-Timing"));
  progress.stageOnly("waiting");
}

function took(event, parts, view, figures) {
  const now = performance.now();
  raw.add((now - figures.startedAt) / 1000, event);
  for (const comment of event.comments) figures.trailing(comment);
  if (event.name === "progress") return progress.update(JSON.parse(event.data));
  for (const part of parts) {
    if (part.kind === "usage") figures.counted(part);
    else if (["text", "thinking", "tool", "audio", "image"].includes(part.kind)) {
      figures.piece(now, part.kind === "text");
      progress.stageOnly(part.kind === "thinking" ? "thinking" : "generating");
      view.add(part);
    }
  }
  return undefined;
}

function conclude(outcome, view, figures, shown) {
  running = undefined;
  const id = shown.requestId ? ` Request ${shown.requestId}.` : "";
  view.end(outcome.good ? outcome.note : `The answer was cut (${outcome.endedBy}). ${outcome.note}${outcome.note.includes(shown.requestId) ? "" : id}`, !outcome.good);
  conversation.answered(view.text);
  shown.endedBy = outcome.endedBy;
  progress.end(outcome.good && !outcome.stopped, outcome.stopped ? "stopped" : outcome.good ? "done" : "cut");
  showFigures(figures, shown);
  raw.draw();
  showCode();
  announce(outcome.good ? "The answer is complete." : `The answer was cut: ${outcome.note}`);
  enable();
}

/** Text is written once a frame; a tab in the background gets no frames and catches up later. */
function drawWhileRunning(view, figures, shown) {
  let [alive, figuresAt] = [true, 0];
  const frame = (now) => {
    if (!alive) return;
    const follows = innerHeight + scrollY >= document.documentElement.scrollHeight - 80;
    view.draw();
    raw.draw();
    if (now - figuresAt > FIGURES_EVERY_MS) {
      figuresAt = now;
      showFigures(figures, shown);
    }
    if (follows) scrollTo(0, document.documentElement.scrollHeight);
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
  return { stop: () => (alive = false) };
}

function showFigures(figures, shown) {
  const cells = figures.rows(shown).flatMap(([name, value]) => {
    const [term, detail] = [document.createElement("dt"), document.createElement("dd")];
    term.textContent = name;
    detail.textContent = value;
    return [term, detail];
  });
  $("figures").replaceChildren(...cells);
  drawPace($("plot"), figures);
}

function edit(text) {
  if (running) return;
  $("question").value = text;
  $("question").focus();
}

function regenerate() {
  if (!running) answer();
}

function announce(text) {
  $("announcement").textContent = text;
}

function enable() {
  $("send").disabled = Boolean(running);
  $("stop").disabled = $("unplug").disabled = !running;
  conversation.busy(Boolean(running));
}

function showCode() {
  const request = settings();
  if (!request.turns.length) request.turns = [{ role: "user", content: $("question").value || "Hello" }];
  if (request.turns.at(-1).role === "assistant") request.turns = request.turns.slice(0, -1);
  $("snippet").textContent = LANGUAGES[language]($("family").value, request, location.origin);
  for (const button of $("languages").children) button.setAttribute("aria-pressed", String(button.textContent === language));
}

async function loadModels() {
  const key = $("key").value.trim();
  const response = await fetch("/v1/models", { headers: key ? { Authorization: `Bearer ${key}` } : {} }).catch(() => undefined);
  if (!response?.ok) return;
  const { data = [] } = await response.json();
  $("models").replaceChildren(...data.map(({ id }) => Object.assign(document.createElement("option"), { value: id })));
  if (!$("model").value && data.length) $("model").value = data[0].id;
  showCode();
}

function setUp() {
  for (const [name, { title }] of Object.entries(FAMILIES)) $("family").add(new Option(title, name));
  for (const name of Object.keys(LANGUAGES)) {
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: name });
    button.addEventListener("click", () => {
      language = name;
      showCode();
    });
    $("languages").append(button);
  }
  $("key").value = sessionStorage.getItem("key") ?? "";
  $("key").addEventListener("change", () => {
    sessionStorage.setItem("key", $("key").value.trim());
    loadModels();
  });
  $("settings").addEventListener("input", showCode);
  $("settings").addEventListener("submit", (event) => event.preventDefault());
  $("ask").addEventListener("submit", (event) => {
    event.preventDefault();
    send();
  });
  $("question").addEventListener("keydown", (event) => {
    // While an input method composes, Enter chooses a word; Safari says so only by the key code.
    if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
    event.preventDefault();
    send();
  });
  $("stop").addEventListener("click", () => running?.stop.abort());
  $("unplug").addEventListener("click", () => running?.plug.pull());
  $("clear").addEventListener("click", () => {
    running?.stop.abort();
    conversation.clear();
  });
  $("copy-code").addEventListener("click", () => navigator.clipboard.writeText($("snippet").textContent));
  $("selftest").addEventListener("click", async () => {
    $("verdict").textContent = "Testing…";
    $("verdict").textContent = await bufferingVerdict().catch((error) => `The self-test failed: ${error.message}`);
  });
  $("code").addEventListener("toggle", showCode);
}

setUp();
loadModels();
