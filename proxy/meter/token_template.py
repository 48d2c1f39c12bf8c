"""A template of a token's event, so that most similar events need not be parsed.

The events of a chat stream differ in one string: the token. Once a parsed event was a single token
and nothing else, any event with the same bytes outside that string is a single token, too, if the
string is not empty and contains no line end: it is the same document with another string in that
place. This is exact, except that a broken escape inside the string is not noticed.
Events are compared as raw bytes of the stream, so that most need not be framed either.
OpenAI and Mistral end each event with random padding, against eavesdroppers who measure lengths;
it may differ as well.
"""

from __future__ import annotations

import re

_NEVER = b"\0"
"""No event begins with this."""
_LF, _CR = 10, 13
_TOKEN = re.compile(
    rb'"(?:content|text|reasoning(?:_content|_text)?|thinking|arguments|partial_json)"'
    rb' ?: ?"([^"\\]+)"'
)
_PADDING = re.compile(rb'"(?:obfuscation|p)":"([A-Za-z0-9]*)"\}\n\n\Z')
_MAX_MISSES = 8
"""Consecutive templates that no event matched, after which learning stops for the stream."""


def event_bytes(name: bytes, data: bytes) -> bytes:
    """Build an event as upstreams commonly write it: an optional name line, and a data line."""
    return b"event: %b\ndata: %b\n\n" % (name, data) if name else b"data: %b\n\n" % data


class TokenTemplate:
    """The template of one stream's token events."""

    __slots__ = ("_before", "_begin", "_ending", "_learned_at", "_misses", "_padding", "channel")

    def __init__(self) -> None:
        self.channel = 0
        """The channel of the tokens that match."""
        self._before = _NEVER
        self._begin = 0
        self._ending = b""
        self._padding = b""
        """The bytes between the token and the padding; empty without padding."""
        self._learned_at = 0
        self._misses = 0

    def matches(self, event: bytes) -> bool:
        """Whether these bytes are a whole event of one more token of the channel."""
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
        """Learn the template from an event that, parsed, was a single token of the channel.

        `counted` is the number of the event among all with tokens.
        """
        event = event_bytes(name, data)
        token = _TOKEN.search(event, len(event) - len(data) - 2)
        if token is None or _LF in data or _CR in data:
            return
        self._misses = self._misses + 1 if counted == self._learned_at + 1 else 0
        self._learned_at = counted
        if self._misses >= _MAX_MISSES:
            self._before = _NEVER
            return
        self.channel = channel
        self._before, self._begin = event[: token.start(1)], token.start(1)
        padding = _PADDING.search(event, token.end())
        self._padding = event[token.end(1) : padding.start(1)] if padding else b""
        self._ending = event[padding.end(1) if padding else token.end(1) :]

    @property
    def worth_learning(self) -> bool:
        """Whether learning has not been stopped by misses."""
        return self._misses < _MAX_MISSES
