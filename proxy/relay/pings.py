"""The bytes of a ping in each family, in a form that no client misreads.

| form | problem |
|---|---|
| `: ping` and one line end | clients that split on empty lines attach it to the next event |
| `: ping` and an empty line | Gemini's readers parse every block as JSON, and raise or stop |
| one bare line end | the same as the first |
| two bare line ends | none |
| an event with data | OpenAI's chat readers expect choices in it, and raise |

A comment is the customary ping, so it is used wherever it causes no problem. Anthropic's API has a
ping event of its own ("Streaming messages: ping events"). Each client's behaviour is in
`docs/clients.md`.
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
    """Return a ping with the stream's line ends: some readers support only one kind."""
    ping = PINGS[family]
    return ping if line_end == b"\n" else ping.replace(b"\n", line_end)
