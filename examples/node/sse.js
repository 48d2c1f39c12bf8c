// A reader of server-sent events (WHATWG HTML, 9.2.6): the same events however bytes are split.

/** Gives the data of each whole event of a body; half an event at its end is none. */
export async function* events(body) {
  const decoder = new TextDecoder(); // keeps half a character back, and drops a byte order mark
  let [text, data, afterCr] = ["", [], false];
  for await (const chunk of body) {
    let more = decoder.decode(chunk, { stream: true });
    if (!more) continue;
    if (afterCr && more.startsWith("\n")) more = more.slice(1); // one line end in two reads
    afterCr = more.endsWith("\r");
    const lines = (text + more).split(/\r\n|\r|\n/);
    text = lines.pop();
    for (const line of lines) {
      if (line.startsWith("data:")) data.push(line.slice(5).replace(/^ /, ""));
      else if (line === "" && data.length) {
        yield data.join("\n"); // several data lines are one text
        data = [];
      }
    }
  }
}

/** Gives the text of a chat answer; throws if the stream tells of an error or is cut off. */
export async function* chatText(dataOfEvents) {
  let finished = false;
  for await (const data of dataOfEvents) {
    if (!data.startsWith("{")) continue; // [DONE], or somebody's note on the way
    const event = JSON.parse(data);
    if (event.error) throw new Error(event.error.message);
    for (const { delta, finish_reason } of event.choices ?? []) {
      finished ||= Boolean(finish_reason); // the end: some upstreams send no [DONE]
      yield delta?.content ?? "";
    }
  }
  if (!finished) throw new Error("the answer was cut off");
}
