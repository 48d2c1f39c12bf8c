// What the reader measures of one stream: times to the first token, pace, longest gap.

const WINDOW_SECONDS = 0.5;
const MOST_POINTS = 600;

export class Figures {
  constructor(now) {
    this.startedAt = now;
    this.firstTokenAt = undefined;
    this.firstTextAt = undefined;
    this.lastAt = undefined;
    this.longestGap = 0;
    this.pieces = 0;
    this.usage = {};
    this.server = {};
    this.points = []; // Pieces per half second; a stream of hours is thinned out, not cut.
    this.window = WINDOW_SECONDS;
  }

  /** A piece of the answer came; `text` says whether a person sees it. Times are milliseconds. */
  piece(now, text) {
    this.pieces += 1;
    this.firstTokenAt ??= now;
    if (text) this.firstTextAt ??= now;
    if (this.lastAt !== undefined) this.longestGap = Math.max(this.longestGap, now - this.lastAt);
    this.lastAt = now;
    const index = Math.floor((now - this.firstTokenAt) / 1000 / this.window);
    while (this.points.length <= index) this.points.push(0);
    this.points[index] += 1;
    if (this.points.length > MOST_POINTS) this.#thin();
  }

  counted({ input, output }) {
    if (input !== undefined) this.usage.input = input;
    if (output !== undefined) this.usage.output = output;
  }

  /** Server-Timing, and the comment with the figures that ends the stream. */
  serverTiming(header) {
    for (const [, name, ms] of (header ?? "").matchAll(/([\w-]+);dur=([\d.]+)/g)) this.server[name] = Number(ms);
  }

  trailing(comment) {
    if (!comment.startsWith("sluice-figures")) return;
    for (const [, name, value] of comment.matchAll(/(\w+)=(\S+)/g)) this.server[name] = value;
  }

  tokensPerSecond() {
    const seconds = (this.lastAt - this.firstTokenAt) / 1000;
    const tokens = this.usage.output ?? this.pieces;
    return seconds > 0 ? (tokens - 1) / seconds : undefined;
  }

  rows({ endedBy, requestId, state }) {
    const ms = (at) => (at === undefined ? undefined : `${Math.round(at - this.startedAt)} ms`);
    const { server, usage } = this;
    return [
      ["first token", ms(this.firstTokenAt)],
      ["first text", ms(this.firstTextAt)],
      ["tokens per second", this.tokensPerSecond()?.toFixed(1)],
      ["longest gap", this.pieces > 1 ? `${Math.round(this.longestGap)} ms` : undefined],
      ["wait for a slot", server.queue === undefined ? undefined : `${server.queue} ms`],
      ["input tokens", usage.input ?? server.input_tokens],
      ["output tokens", usage.output ?? server.output_tokens ?? (this.pieces ? `${this.pieces} pieces` : undefined)],
      ["cost", server.cost_usd === undefined ? undefined : `$${server.cost_usd}`],
      ["ended by", endedBy ?? state],
      ["request id", requestId],
    ].filter(([, value]) => value !== undefined);
  }

  #thin() {
    this.window *= 2;
    const pairs = [];
    for (let at = 0; at < this.points.length; at += 2) pairs.push(this.points[at] + (this.points[at + 1] ?? 0));
    this.points = pairs;
  }
}

/** Draws the pace as a line, its highest value as text. */
export function drawPace(canvas, figures) {
  const pen = canvas.getContext("2d");
  const { width, height } = canvas;
  const style = getComputedStyle(canvas);
  const whole = figures.points.length > 1 ? figures.points.slice(0, -1) : figures.points; // The last still fills.
  const rates = whole.map((count) => count / figures.window);
  const top = Math.max(...rates, 1);
  pen.clearRect(0, 0, width, height);
  pen.strokeStyle = style.getPropertyValue("--accent");
  pen.lineWidth = 2;
  pen.beginPath();
  rates.forEach((rate, at) => {
    const x = rates.length < 2 ? 0 : (at / (rates.length - 1)) * width;
    pen.lineTo(x, height - 2 - (rate / top) * (height - 24));
  });
  pen.stroke();
  pen.fillStyle = style.getPropertyValue("--soft");
  pen.font = "18px system-ui";
  pen.fillText(`${top.toFixed(0)}/s`, 2, 16);
  canvas.setAttribute("aria-label", `tokens per second over time, at most ${top.toFixed(0)}`);
}
