// The raw view: events with their arrival times, the last few hundred of them.

const MOST_ROWS = 400;
const MOST_CHARACTERS = 600;

export class RawView {
  #pending = [];

  constructor(details, body) {
    this.details = details;
    this.body = body;
    details.addEventListener("toggle", () => this.draw());
  }

  clear() {
    this.#pending = [];
    this.body.replaceChildren();
  }

  add(seconds, event) {
    const data = event.data ?? event.comments.map((text) => `: ${text}`).join("\n");
    const text = data.length > MOST_CHARACTERS ? `${data.slice(0, MOST_CHARACTERS)}… (${data.length} characters)` : data;
    this.#pending.push([seconds.toFixed(3), event.name || (event.data === undefined ? "comment" : "message"), text]);
    if (this.#pending.length > MOST_ROWS) this.#pending.shift();
  }

  /** Only while it is open does it cost anything. */
  draw() {
    if (!this.details.open) return;
    for (const cells of this.#pending) {
      const row = this.body.insertRow();
      for (const text of cells) row.insertCell().textContent = text;
    }
    this.#pending = [];
    while (this.body.rows.length > MOST_ROWS) this.body.rows[0].remove();
  }
}
