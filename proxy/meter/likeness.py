"""How one token's event resembles the next, so that most need not be parsed.

The events of a chat stream differ in one string: the token. Once an event has been parsed and was
one token and nothing else, any other whose bytes outside that string are the same is one too, if
the string is not empty: it is the same document with another string in the same place. Nothing
is guessed. Only a broken escape inside that string goes unseen.

OpenAI and Mistral end each event with a random string against eavesdroppers who measure lengths;
that one may differ as well.
"""

from __future__ import annotations

import re

_NEVER = b"\0"
"""Begins no event."""
_TOKEN = re.compile(rb'"(?:content|text|reasoning(?:_content|_text)?|arguments)" ?: ?"([^"\\]+)"')
_PADDING = re.compile(rb'"(?:obfuscation|p)":"([A-Za-z0-9]*)"\}\Z')
_MOST_STRIKES = 8
"""Lessons in a row that no event made use of; then this stream's events are not alike."""


class Likeness:
    """The shape of one stream's plain tokens, once one has been seen."""

    __slots__ = ("_before", "_begin", "_ending", "_learned_at", "_padding", "_strikes", "channel")

    def __init__(self) -> None:
        self.channel = 0
        """The channel of the tokens that `fits` tells."""
        self._before = _NEVER
        self._begin = 0
        self._ending = b""
        self._padding = b""
        """What stands between the token and the padding; empty if there is none."""
        self._learned_at = 0
        self._strikes = 0

    def fits(self, data: bytes) -> bool:
        """Whether this event is one more token of the channel, and nothing else."""
        if not data.startswith(self._before):
            return False
        end = data.find(b'"', self._begin)
        if end <= self._begin:
            return False
        if not self._padding:
            return data[end:] == self._ending
        return (
            data.startswith(self._padding, end)
            and data[data.find(b'"', end + len(self._padding)) :] == self._ending
        )

    def learn(self, data: bytes, channel: int, counted: int) -> None:
        """Take the shape of an event that, parsed, was one token of the channel.

        `counted` is the number of the event among all that carry tokens.
        """
        found = _TOKEN.search(data)
        if found is None:
            return
        self._strikes = self._strikes + 1 if counted == self._learned_at + 1 else 0
        self._learned_at = counted
        if self._strikes >= _MOST_STRIKES:
            self._before = _NEVER
            return
        self.channel = channel
        self._before, self._begin = data[: found.start(1)], found.start(1)
        padding = _PADDING.search(data, found.end())
        self._padding = data[found.end(1) : padding.start(1)] if padding else b""
        self._ending = data[padding.end(1) if padding else found.end(1) :]

    @property
    def worth_learning(self) -> bool:
        """Whether lessons have not been in vain."""
        return self._strikes < _MOST_STRIKES
