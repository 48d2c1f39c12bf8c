// The turns of a conversation, on the page and as they are sent.

export class Conversation {
  constructor(element, { edit, regenerate }) {
    this.element = element;
    this.on = { edit, regenerate };
    this.turns = [];
  }

  addQuestion(text) {
    this.turns.push({ role: "user", content: text });
    const at = this.turns.length - 1;
    const turn = this.#turn("user", "You", [["Edit", () => this.#edit(at, text)]]);
    const body = turn.appendChild(document.createElement("div"));
    body.className = "text";
    body.dir = "auto";
    body.textContent = text;
    turn.scrollIntoView({ block: "nearest" });
  }

  /** The element for an answer to the last question. */
  addAnswer() {
    return this.#turn("assistant", "Answer", [["Regenerate", () => this.#regenerate()]]);
  }

  answered(text) {
    this.turns.push({ role: "assistant", content: text });
  }

  clear() {
    this.turns = [];
    this.element.replaceChildren();
  }

  busy(busy) {
    for (const button of this.element.querySelectorAll(".who button")) button.disabled = busy;
  }

  #turn(role, who, actions) {
    for (const old of role === "assistant" ? this.element.querySelectorAll(".assistant .who button") : []) old.remove();
    const turn = this.element.appendChild(document.createElement("article"));
    turn.className = `turn ${role}`;
    const head = turn.appendChild(document.createElement("div"));
    head.className = "who";
    head.append(who);
    for (const [text, action] of actions) {
      const button = Object.assign(document.createElement("button"), { type: "button", textContent: text });
      button.addEventListener("click", action);
      head.append(button);
    }
    return turn;
  }

  #edit(at, text) {
    this.#cutAt(at);
    this.on.edit(text);
  }

  #regenerate() {
    const last = this.turns.findLastIndex((turn) => turn.role === "user");
    this.#cutAt(last + 1);
    this.on.regenerate();
  }

  /** Forgets the turns from this one on. */
  #cutAt(at) {
    this.turns.length = at;
    while (this.element.children.length > at) this.element.lastElementChild.remove();
  }
}
