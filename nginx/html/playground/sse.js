// Server-sent events from bytes (WHATWG HTML, 9.2.6): the same events however the bytes are cut.

export class SseParser {
  #decoder = new TextDecoder(); // Joins characters that were cut, and drops a leading BOM.
  #text = "";
  #event = { name: "", data: [], id: undefined, comments: [] };

  /** Takes bytes and returns the events that are whole now: {name, data, id, comments}. */
  feed(bytes) {
    this.#text += this.#decoder.decode(bytes, { stream: true });
    const events = [];
    let start = 0;
    for (;;) {
      const end = nextLineEnd(this.#text, start);
      if (end === undefined) break;
      const event = this.#line(this.#text.slice(start, end.at));
      if (event) events.push(event);
      start = end.next;
    }
    this.#text = this.#text.slice(start);
    return events;
  }

  /** The body has ended: comments that no empty line followed; half an event is none. */
  end() {
    const { comments } = this.#event;
    return comments.length ? [{ name: "", data: undefined, id: undefined, comments }] : [];
  }

  #line(line) {
    if (line === "") return this.#dispatch();
    const colon = line.indexOf(":");
    if (colon === 0) {
      this.#event.comments.push(line.slice(1).trim());
      return undefined;
    }
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "data") this.#event.data.push(value);
    else if (field === "event") this.#event.name = value;
    else if (field === "id") this.#event.id = value;
    return undefined;
  }

  #dispatch() {
    const { name, data, id, comments } = this.#event;
    this.#event = { name: "", data: [], id: undefined, comments: [] };
    if (data.length === 0 && comments.length === 0) return undefined;
    return { name, data: data.length ? data.join("\n") : undefined, id, comments };
  }
}

/** Where the line ends and the next begins. A CR at the very end waits: an LF may follow it. */
function nextLineEnd(text, from) {
  for (let at = from; at < text.length; at += 1) {
    if (text[at] === "\n") return { at, next: at + 1 };
    if (text[at] !== "\r") continue;
    if (at + 1 === text.length) return undefined;
    return { at, next: text[at + 1] === "\n" ? at + 2 : at + 1 };
  }
  return undefined;
}
