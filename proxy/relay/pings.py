"""What a ping looks like in each family: the form in which no client loses text.

| form | who minds |
|---|---|
| `: ping` and one line end | it sticks to the next event for all who split on empty lines |
| `: ping` and an empty line | Gemini's readers take every block for JSON, and raise or stop |
| one bare line end | the same as the first: it leads the next block |
| two bare line ends | nobody loses a thing |
| an event with data | OpenAI's chat readers look for choices in it, and raise |

A comment is what people and other gateways know for a ping, so it is the form wherever it harms
nobody. Anthropic's API has an event of its own ("Streaming messages: ping events"). The tables with
each client's behaviour are in `docs/clients.md`.
"""

from __future__ import annotations

from proxy.record import Family

COMMENT = b": ping\n\n"
_EMPTY_LINES = b"\n\n"
_OWN_EVENT = b'event: ping\ndata: {"type": "ping"}\n\n'

PINGS: dict[Family, bytes] = {
    Family.CHAT: COMMENT,
    Family.COMPLETIONS: COMMENT,
    Family.RESPONSES: COMMENT,
    Family.MESSAGES: _OWN_EVENT,
    Family.GEMINI: _EMPTY_LINES,
    Family.UNKNOWN: COMMENT,
}


def ping_of(family: Family, line_end: bytes = b"\n") -> bytes:
    """A ping with the line ends of the stream it stands in: some readers know only one kind."""
    ping = PINGS[family]
    return ping if line_end == b"\n" else ping.replace(b"\n", line_end)
