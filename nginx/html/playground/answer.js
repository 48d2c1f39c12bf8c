// One answer on the page: thinking that folds, Markdown, tool calls, pictures, sound, its end.

import { markdownInto } from "./markdown.js";

const DATA_IMAGE = /^data:image\/(png|jpe?g|gif|webp|avif);base64,[A-Za-z0-9+/=\s]+$/;

export class AnswerView {
  #markdown;
  #pending = "";
  #thinking;
  #tools = new Map();
  #images = new Map();
  #sound = [];

  constructor(element) {
    this.element = element;
    this.text = "";
    element.classList.add("answer", "running");
    this.body = element.appendChild(document.createElement("div"));
    this.body.className = "markdown";
    this.body.dir = "auto";
    this.#markdown = markdownInto(this.body);
  }

  add(part) {
    if (part.kind === "text") this.#addText(part.text);
    else if (part.kind === "thinking") this.#think(part.text);
    else if (part.kind === "tool") this.#tool(part);
    else if (part.kind === "image") this.#image(part);
    else if (part.kind === "audio") this.#sound.push(part.data);
  }

  /** Writes what has come since the last frame. */
  draw() {
    if (!this.#pending) return;
    this.#markdown.write(this.#pending);
    this.#pending = "";
  }

  /** The answer is over; `bad` says why, if it was cut. */
  end(note, bad) {
    this.draw();
    this.#markdown.end();
    this.element.classList.remove("running");
    if (this.#thinking) this.#thinking.open = false;
    if (this.#sound.length) this.#play();
    const line = document.createElement("p");
    line.className = bad ? "ended bad" : "ended";
    line.textContent = note;
    this.element.append(line);
  }

  #addText(text) {
    this.text += text;
    this.#pending += text;
  }

  #think(text) {
    if (!this.#thinking) {
      this.#thinking = document.createElement("details");
      this.#thinking.className = "thinking";
      this.#thinking.open = true;
      const summary = Object.assign(document.createElement("summary"), { textContent: "Thinking" });
      this.#thinking.append(summary, document.createElement("div"));
      this.#thinking.lastChild.dir = "auto";
      this.element.insertBefore(this.#thinking, this.body);
    }
    grow(this.#thinking.lastChild, text);
  }

  #tool({ index, name, text }) {
    if (!this.#tools.has(index)) {
      const box = this.element.appendChild(document.createElement("div"));
      box.className = "tool";
      box.append(document.createElement("strong"), document.createElement("pre"));
      this.#tools.set(index, box);
    }
    const box = this.#tools.get(index);
    if (name) box.firstChild.textContent = `Tool call: ${name}`;
    grow(box.lastChild, text ?? "");
  }

  #image({ url, replaces }) {
    if (!DATA_IMAGE.test(url ?? "")) return this.#addText(`\n[picture](${encodeURI(url ?? "")})\n`);
    const known = this.#images.get(replaces);
    const image = known ?? Object.assign(document.createElement("img"), { alt: "Picture in the answer" });
    image.src = url;
    if (replaces) this.#images.set(replaces, image);
    if (!known) this.element.append(image);
    return undefined;
  }

  #play() {
    const pieces = this.#sound.map((piece) => Uint8Array.from(atob(piece), (one) => one.charCodeAt(0)));
    const sound = Object.assign(document.createElement("audio"), { controls: true });
    sound.src = URL.createObjectURL(new Blob(riff(pieces), { type: "audio/wav" }));
    this.element.append(sound);
  }
}

function grow(element, text) {
  if (element.lastChild) element.lastChild.appendData(text);
  else element.append(text);
}

/** Sound comes as 16-bit mono at 24 kHz without a header, unless it has one of its own. */
function riff(pieces) {
  const known = pieces[0]?.length > 3 && "RIFF,ID3,OggS".split(",").some((mark) => [...mark].every((one, at) => pieces[0][at] === one.charCodeAt(0)));
  if (known) return pieces;
  const size = pieces.reduce((sum, piece) => sum + piece.length, 0);
  const head = new DataView(new ArrayBuffer(44));
  [..."RIFF"].forEach((one, at) => head.setUint8(at, one.charCodeAt(0)));
  [..."WAVEfmt "].forEach((one, at) => head.setUint8(8 + at, one.charCodeAt(0)));
  [..."data"].forEach((one, at) => head.setUint8(36 + at, one.charCodeAt(0)));
  head.setUint32(4, 36 + size, true);
  head.setUint32(16, 16, true);
  head.setUint16(20, 1, true);
  head.setUint16(22, 1, true);
  head.setUint32(24, 24_000, true);
  head.setUint32(28, 48_000, true);
  head.setUint16(32, 2, true);
  head.setUint16(34, 16, true);
  head.setUint32(40, size, true);
  return [head.buffer, ...pieces];
}
