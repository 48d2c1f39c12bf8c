"""A template of one token's event, so that most of the next need not be parsed.

The events of a chat stream differ in one string: the token. Once an event has been parsed and was
one token and nothing else, any other whose bytes outside that string are the same is one too, if
the string is not empty and ends no line: it is the same document with another string in the same
place. Nothing is guessed. Only a broken escape inside that string goes unseen.

Events are compared as they stand in the stream, so that most need not be framed either.

OpenAI and Mistral end each event with a random string against eavesdroppers who measure lengths;
that one may differ as well.
"""

from __future__ import annotations

import re

_NEVER = b"\0"
"""Begins no event."""
_LF, _CR = 10, 13
_TOKEN = re.compile(
    rb'"(?:content|text|reasoning(?:_content|_text)?|thinking|arguments|partial_json)"'
    rb' ?: ?"([^"\\]+)"'
)
_PADDING = re.compile(rb'"(?:obfuscation|p)":"([A-Za-z0-9]*)"\}\n\n\Z')
_MAX_MISSES = 8
"""Templates in a row that no event matched; then this stream's events are not alike."""


def event_bytes(name: bytes, data: bytes) -> bytes:
    """An event as upstreams commonly write it: a line for its name, if any, and one of data."""
    return b"event: %b\ndata: %b\n\n" % (name, data) if name else b"data: %b\n\n" % data


class TokenTemplate:
    """The shape of one stream's plain tokens, once one has been seen."""

    __slots__ = ("_before", "_begin", "_ending", "_learned_at", "_misses", "_padding", "channel")

    def __init__(self) -> None:
        self.channel = 0
        """The channel of the tokens that `matches` tells."""
        self._before = _NEVER
        self._begin = 0
        self._ending = b""
        self._padding = b""
        """What stands between the token and the padding; empty if there is none."""
        self._learned_at = 0
        self._misses = 0

    def matches(self, event: bytes) -> bool:
        """Whether these bytes are one more token of the channel in an event of its own."""
        begin = self._begin
        if not event.startswith(self._before):
            return False
        end = event.find(b'"', begin)
        token = event[begin:end]
        if end <= begin or _LF in token or _CR in token:
            return False
        if not self._padding:
            return event[end:] == self._ending
        begin = end + len(self._padding)
        end = event.find(b'"', begin)
        padding = event[begin:end]
        return (
            event.startswith(self._padding, begin - len(self._padding))
            and event[end:] == self._ending
            and _LF not in padding
            and _CR not in padding
        )

    def learn(self, name: bytes, data: bytes, channel: int, counted: int) -> None:
        """Take the shape of an event that, parsed, was one token of the channel.

        `counted` is the number of the event among all that carry tokens.
        """
        event = event_bytes(name, data)
        found = _TOKEN.search(event, len(event) - len(data) - 2)
        if found is None or _LF in data or _CR in data:
            return
        self._misses = self._misses + 1 if counted == self._learned_at + 1 else 0
        self._learned_at = counted
        if self._misses >= _MAX_MISSES:
            self._before = _NEVER
            return
        self.channel = channel
        self._before, self._begin = event[: found.start(1)], found.start(1)
        padding = _PADDING.search(event, found.end())
        self._padding = event[found.end(1) : padding.start(1)] if padding else b""
        self._ending = event[padding.end(1) if padding else found.end(1) :]

    @property
    def worth_learning(self) -> bool:
        """Whether templates have matched often enough."""
        return self._misses < _MAX_MISSES
