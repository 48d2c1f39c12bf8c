"""What a fuzzer's bytes mean to every target: a choice, how the text is cut, and the text.

The first byte chooses, the second says how many sizes follow, the sizes are gone through in turn,
again and again. A size of 0 cuts after the next mark: where the quick ways through are taken.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

_MOST_SIZES = 8
CUTS = (b"", b"\x00", b"\x01", b"\x02", b"\x07\x03", b"\x00\x1b", b"\x00\xff", b"\x28")
"""Whole, at every mark, byte by byte, and in odd pieces."""


class Given(NamedTuple):
    """One input, taken apart."""

    choice: int
    sizes: bytes
    text: bytes


class Target(NamedTuple):
    """What is fuzzed: the check raises where a promise is broken."""

    check: Callable[[bytes], None]
    texts: tuple[bytes, ...]
    """Where the fuzzer begins."""
    choices: tuple[int, ...] = (0,)
    dictionary: tuple[bytes, ...] = ()
    """Words that chance would not find."""

    def seeds(self, turns: int = 1, more: Iterable[bytes] = ()) -> list[bytes]:
        """Every text with every choice, cut in so many of the ways; more texts, with one each."""
        seeds = [
            made(text, CUTS[(first + second + turn) % len(CUTS)], choice)
            for first, text in enumerate(self.texts)
            for second, choice in enumerate(self.choices)
            for turn in range(turns)
        ]
        return seeds + [
            made(text, CUTS[n % len(CUTS)], self.choices[n % len(self.choices)])
            for n, text in enumerate(more)
        ]


def given(data: bytes) -> Given:
    """Take an input apart; any bytes are one."""
    count = data[1] % (_MOST_SIZES + 1) if len(data) > 1 else 0
    return Given(data[0] if data else 0, data[2 : 2 + count], data[2 + count :])


def made(text: bytes, sizes: bytes = b"", choice: int = 0) -> bytes:
    """Make the input that is taken apart into these."""
    return bytes((choice, len(sizes))) + sizes + text


def pieces(text: bytes, sizes: bytes, mark: re.Pattern[bytes]) -> list[bytes]:
    """Cut the text; without sizes it stays whole."""
    cut: list[bytes] = []
    at = 0
    while at < len(text):
        size = sizes[len(cut) % len(sizes)] if sizes else len(text)
        match = None if size else mark.search(text, at)
        end = at + size if size else match.end() if match else len(text)
        cut.append(text[at:end])
        at = end
    return cut
