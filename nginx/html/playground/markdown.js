// Markdown as it comes, append-only: what stands on the page is never parsed again.
//
// streaming-markdown decides what a piece of text is; this renderer makes the nodes. It knows a
// fixed list of elements, sets text only as text, takes links of three schemes, and loads no
// picture from another host: an answer can never become markup of its own.

import * as smd from "./vendor/streaming-markdown.js";

const ELEMENTS = {
  [smd.PARAGRAPH]: "p",
  [smd.BLOCKQUOTE]: "blockquote",
  [smd.HEADING_1]: "h3", // The page has its own h1 and h2.
  [smd.HEADING_2]: "h4",
  [smd.HEADING_3]: "h5",
  [smd.HEADING_4]: "h6",
  [smd.HEADING_5]: "h6",
  [smd.HEADING_6]: "h6",
  [smd.CODE_INLINE]: "code",
  [smd.ITALIC_AST]: "em",
  [smd.ITALIC_UND]: "em",
  [smd.STRONG_AST]: "strong",
  [smd.STRONG_UND]: "strong",
  [smd.STRIKE]: "s",
  [smd.LINK]: "a",
  [smd.RAW_URL]: "a",
  [smd.IMAGE]: "a", // A link to it: the page loads nothing that an answer names.
  [smd.LINE_BREAK]: "br",
  [smd.RULE]: "hr",
  [smd.LIST_UNORDERED]: "ul",
  [smd.LIST_ORDERED]: "ol",
  [smd.LIST_ITEM]: "li",
  [smd.TABLE]: "table",
  [smd.TABLE_ROW]: "tr",
  [smd.EQUATION_BLOCK]: "pre",
  [smd.EQUATION_INLINE]: "code",
};
const SAFE_LINK = /^(https?:|mailto:)/i;

/** A writer of Markdown into an element: `write(text)` as often as text comes, `end()` once. */
export function markdownInto(root) {
  const parser = smd.parser(renderer(root));
  return { write: (text) => smd.parser_write(parser, text), end: () => smd.parser_end(parser) };
}

function renderer(root) {
  const data = { nodes: [root] };
  return { data, add_token: addToken, end_token: endToken, add_text: addText, set_attr: setAttribute };
}

function addToken(data, token) {
  const parent = data.nodes.at(-1);
  if (token === smd.DOCUMENT) return;
  if (token === smd.CODE_BLOCK || token === smd.CODE_FENCE) {
    data.nodes.push(codeBlock(parent));
  } else if (token === smd.CHECKBOX) {
    const box = Object.assign(document.createElement("input"), { type: "checkbox", disabled: true });
    box.setAttribute("aria-label", "task");
    data.nodes.push(parent.appendChild(box));
  } else if (token === smd.TABLE_CELL) {
    const heading = parent === parent.parentNode.firstElementChild;
    data.nodes.push(parent.appendChild(document.createElement(heading ? "th" : "td")));
  } else {
    const node = document.createElement(ELEMENTS[token] ?? "span");
    node.dir = "auto";
    data.nodes.push(parent.appendChild(node));
  }
}

function codeBlock(parent) {
  const figure = document.createElement("figure");
  figure.className = "code";
  const copy = Object.assign(document.createElement("button"), { type: "button", textContent: "Copy" });
  const code = document.createElement("code");
  const pre = document.createElement("pre");
  pre.tabIndex = 0; // Long lines scroll, by keyboard too.
  copy.addEventListener("click", async () => {
    await navigator.clipboard.writeText(code.textContent);
    copy.textContent = "Copied";
    setTimeout(() => (copy.textContent = "Copy"), 1500);
  });
  pre.append(code);
  figure.append(copy, pre);
  parent.append(figure);
  return code;
}

function endToken(data) {
  if (data.nodes.length > 1) data.nodes.pop();
}

function addText(data, text) {
  const node = data.nodes.at(-1);
  // One text node grows; one for each token would be tens of thousands in a long answer.
  if (node.lastChild?.nodeType === Node.TEXT_NODE) node.lastChild.appendData(text);
  else node.append(text);
}

function setAttribute(data, attribute, value) {
  const node = data.nodes.at(-1);
  if (attribute === smd.HREF || attribute === smd.SRC) {
    if (!SAFE_LINK.test(value)) return;
    node.href = value;
    node.rel = "noopener noreferrer nofollow";
    node.target = "_blank";
  } else if (attribute === smd.LANG) {
    node.dataset.language = value.slice(0, 40);
  } else if (attribute === smd.CHECKED) {
    node.checked = true;
  } else if (attribute === smd.START) {
    node.start = Number(value) || 1;
  }
}
