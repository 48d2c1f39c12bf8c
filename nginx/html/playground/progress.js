// The ring: a percentage only where the gateway gives an honest one, else the stage alone.

const STAGES = {
  queued: "waiting for a slot",
  connecting: "connecting to the upstream",
  waiting: "waiting for the first token",
  thinking: "thinking",
  generating: "generating",
};

export class Progress {
  #highest = 0;

  constructor({ ring, stage, left }) {
    Object.assign(this, { ring, stage, left });
  }

  begin() {
    this.#highest = 0;
    this.#show("unknown", undefined, STAGES.connecting, "");
  }

  /** What a `progress` event says; see docs/resuming.md. */
  update({ stage, percent, left_seconds: left, place }) {
    const text = (STAGES[stage] ?? stage ?? "") + (place ? ` (place ${place})` : "");
    if (percent === undefined || percent === null) return this.#show("unknown", undefined, text, "");
    this.#highest = Math.max(this.#highest, percent);
    const rest = left === undefined || left === null ? "" : `about ${Math.ceil(left)} s left`;
    return this.#show("", this.#highest, text, rest);
  }

  stageOnly(stage) {
    if (!this.#highest) this.#show("unknown", undefined, STAGES[stage], "");
  }

  end(good, text) {
    this.#show(good ? "good" : "bad", good ? 100 : this.#highest, text, "");
  }

  #show(kind, percent, text, rest) {
    this.ring.setAttribute("class", kind);
    const bar = this.ring.querySelector(".bar");
    bar.setAttribute("stroke-dasharray", percent === undefined ? "25 75" : `${percent} 100`);
    if (percent !== undefined) bar.style.strokeDasharray = `${percent} 100`;
    else bar.style.strokeDasharray = "";
    this.ring.setAttribute("aria-label", percent === undefined ? text : `${Math.round(percent)} percent, ${text}`);
    this.stage.textContent = percent === undefined || kind ? text : `${Math.round(percent)} % · ${text}`;
    this.left.textContent = rest;
  }
}
