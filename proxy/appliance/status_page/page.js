// The status page: asks /status every two seconds and shows it. Colours never stand alone: each
// has its word, and a mark for those who do not see it.

const EVERY_MS = 2000;
const $ = (id) => document.getElementById(id);
const MARKS = { good: "●", warn: "▲", bad: "■" };
const FAILED = new Set(["upstream_cut", "error_event", "connect_timeout", "first_token_timeout", "idle_timeout", "total_timeout", "failed", "drained"]);
const HELD_BACK = new Set(["shed", "limited", "rejected", "slow_client"]);

let earlier; // The report before this one: rates are what grew between the two.

async function refresh() {
  try {
    const response = await fetch("/status", { cache: "no-store" });
    if (!response.ok) throw new Error(`the admin port answered ${response.status}`);
    const now = await response.json();
    show(now);
    earlier = { at: performance.now(), ...now };
    $("fresh").textContent = `as of ${new Date().toLocaleTimeString()}`;
    $("fresh").className = "";
  } catch (error) {
    $("fresh").textContent = `${MARKS.bad} no news: ${error.message}`;
    $("fresh").className = "bad";
  }
  setTimeout(refresh, document.hidden ? 5 * EVERY_MS : EVERY_MS);
}

function show(now) {
  $("version").textContent = now.version;
  $("uptime").textContent = duration(now.uptime_seconds);
  state($("state"), now.state, now.state === "ready" ? "good" : "bad");
  pairs($("levels"), [
    ["streams in flight", `${now.streams} of ${now.slots} slots`, now.slots && now.streams >= now.slots ? "warn" : ""],
    ["waiting in line", now.waiting, now.waiting ? "warn" : ""],
  ]);
  showRates(now);
  showLatencies(now.recent);
  showEndings(now.recent.ended_by);
  rows($("upstreams"), Object.entries(now.upstreams).map(upstreamRow));
  showKeys(now);
  rows($("processes"), processRows(now));
  rows($("warnings"), (now.warnings ?? []).map((one) => [one.at.slice(0, 19).replace("T", " "), mark(one.level, one.level === "warning" ? "warn" : "bad"), `${one.event} ${one.detail}`]));
  if (!now.warnings?.length) rows($("warnings"), [["", mark("none", "good"), ""]]);
}

function showRates({ recent }) {
  const seconds = earlier && (performance.now() - earlier.at) / 1000;
  const rate = (name) => (seconds ? Math.max(0, recent[name] - earlier.recent[name]) / seconds : undefined);
  pairs($("rates"), [
    ["requests per second", figure(rate("requests_total"), 1), "", recent.requests],
    ["tokens per second", figure(rate("output_tokens_total"), 0), "", recent.output_tokens],
    ["cost per hour", `$${recent.cost_usd_per_hour.toFixed(2)}`],
  ]);
}

function showLatencies(recent) {
  const spread = (name, unit, digits) => {
    const { p50, p95 } = recent[name] ?? {};
    return p50 === null || p50 === undefined ? "–" : `${p50.toFixed(digits)} ${unit} · p95 ${p95.toFixed(digits)}`;
  };
  pairs($("latencies"), [
    ["time to first byte", spread("time_to_first_byte_seconds", "s", 2)],
    ["time to first token", spread("time_to_first_token_seconds", "s", 2)],
    ["time to first text", spread("time_to_first_text_seconds", "s", 2)],
    ["tokens/s of a stream", spread("tokens_per_second", "/s", 0)],
  ]);
}

function showEndings(endings) {
  const total = Object.values(endings).reduce((sum, count) => sum + count, 0);
  const sorted = Object.entries(endings).sort((one, other) => other[1] - one[1]);
  const kind = (name) => (FAILED.has(name) ? "bad" : HELD_BACK.has(name) ? "warn" : "good");
  pairs($("ended"), sorted.map(([name, count]) => [name, `${count} (${((100 * count) / total).toFixed(1)} %)`, kind(name)]));
  if (!total) pairs($("ended"), [["nothing yet", "–"]]);
}

function upstreamRow([name, { states, streams, last_failure: failure, back_in_seconds: back, benched_for_seconds: paused, failures_in_a_row: row }]) {
  const out = Object.keys(states).some((one) => one !== "up");
  const reasons = [];
  if (out || row) reasons.push(failure || "failing", `${row} failures in a row`);
  if (back) reasons.push(`tried again in ${Math.ceil(back)} s`);
  if (paused) reasons.push(`asked for a pause of ${Math.ceil(paused)} s`);
  const kind = out ? "bad" : row || paused ? "warn" : "good";
  const text = Object.entries(states).map(([one, count]) => (Object.keys(states).length > 1 ? `${one} (${count})` : one)).join(", ");
  return [name, mark(text, kind), reasons.join(", "), streams];
}

function showKeys({ keys = {}, limits_checked: checked }) {
  const all = Object.entries(keys);
  $("keys-section").hidden = !all.length;
  $("unchecked").hidden = checked !== false;
  rows($("keys"), all.flatMap(([name, limits]) => keyRows(name, limits)));
}

function keyRows(name, limits) {
  const known = Object.entries(limits).filter(([, one]) => one?.limit !== undefined);
  if (!known.length) return [[name, "no limit", "", ""]];
  return known.map(([limit, one], at) => [at ? "" : name, `${limit}: ${one.limit}`, one.used ?? "unknown", one.left === 0 ? mark("0", "bad") : one.left ?? "unknown"]);
}

function processRows(now) {
  const kind = (state) => (state === "ready" ? "good" : ["starting", "waiting"].includes(state) ? "warn" : "bad");
  const row = (name, one, streams = "") => [name, mark(one.state, kind(one.state)), one.pid ?? "–", streams, one.restarts];
  const known = [["nginx", now.nginx], ["store", now.store], ["demo", now.demo]].filter(([, one]) => one?.state);
  return [...now.workers.map((one) => row(`worker-${one.index}`, one, one.streams)), ...known.map(([name, one]) => row(name, one))];
}

function mark(text, kind) {
  const span = document.createElement("span");
  state(span, text, kind);
  return span;
}

function state(element, text, kind) {
  element.textContent = `${MARKS[kind]} ${text}`;
  element.className = kind;
}

/** Rows of [term, value, kind, series]. */
function pairs(list, entries) {
  list.replaceChildren(...entries.flatMap(([term, value, kind, series]) => {
    const [dt, dd] = [document.createElement("dt"), document.createElement("dd")];
    dt.textContent = term;
    if (series) dd.append(line(series));
    if (kind) dd.append(mark(String(value), kind));
    else dd.append(String(value));
    return [dt, dd];
  }));
}

function rows(body, all) {
  body.replaceChildren(...all.map((cells) => {
    const row = document.createElement("tr");
    for (const cell of cells) row.insertCell().append(cell instanceof Node ? cell : String(cell));
    return row;
  }));
}

/** A small line of the last ten minutes; its figures stand beside it as text. */
function line(series) {
  const ns = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(ns, "svg");
  svg.setAttribute("width", "80");
  svg.setAttribute("height", "18");
  svg.setAttribute("aria-hidden", "true");
  const top = Math.max(...series, 1);
  const points = series.map((value, at) => `${(at / (series.length - 1)) * 80},${17 - (value / top) * 16}`);
  const drawn = document.createElementNS(ns, "polyline");
  drawn.setAttribute("points", points.join(" "));
  svg.append(drawn);
  return svg;
}

const figure = (value, digits) => (value === undefined ? "–" : value.toFixed(digits));

function duration(seconds) {
  const parts = [[86400, "d"], [3600, "h"], [60, "min"]].filter(([size]) => seconds >= size).slice(0, 1);
  return parts.length ? `${(seconds / parts[0][0]).toFixed(1)} ${parts[0][1]}` : `${Math.round(seconds)} s`;
}

refresh();
