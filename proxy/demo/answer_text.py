"""The text of the demo's answers, split into tokens that are already encoded for JSON.

A token is encoded as the inside of a JSON string, so tokens can be joined within a JSON string, and
no answer encodes text again.
"""

from __future__ import annotations

import json
import re
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

# Placeholders: JSON cannot contain these bytes unescaped (RFC 8259, section 7).
FILL = b"\x00"  # a filler that is too long to be buffered; it is written piece by piece
STAMP = b"\x01"  # the time at which the token is sent

_THOUGHTS = """\
The question is about water, or about waiting; let me take both. First the facts: a gate, a level \
on each side, a keeper who must decide. Zuerst prüfen, dann öffnen. 水位 matters more than speed. \
If the level differs, wait; if nobody waits, rest; if the wind turns, look again. ✓ So the answer \
should be calm, complete and a little longer than asked. """

_TEXT = """\
Grüezi! 🌊 A sluice is a simple thing: a gate, a channel, and someone who knows when to open it. \
The water above would like to be the water below — all of it, at once — and the gate says: “one \
measure at a time, please.” That is the whole art.

Old keepers had a rule of thumb: öffne langsam, schließe schnell. Open slowly, close quickly. In \
the valley near Kõpu they say it shorter, 「水は待つ」, water waits 🐟, and it does. Nobody has \
seen a river in a hurry; only people beside it.

What happens when the far side stops taking? Then the level rises, and a good gate notices before \
the banks do. It lets in less. What happens when the near side runs dry? Then it says so, plainly, \
instead of pretending that an empty channel is a full one. A half measure must never be sold for \
a whole one. ⚖️

Three things to check each morning:
1. Does the wheel turn freely? (A drop of oil, naïve as it sounds, has saved many a Tuesday.)
2. Is the gauge readable — 0.25 m, 0.50 m, 0.75 m — and does it tell the truth?
3. Who is waiting? A barge 🚢, two swans 🦢🦢, nobody at all?

```python
def open_gate(level: float) -> str:
    return "dicht" if level < 0.25 else "läuft ✅"
```

And in the evening you write into the book: so much came, so much went, nothing was lost. Ça \
suffit. Спокойной ночи, gate. Tomorrow the water will be back, as it always is, asking the same \
question in a slightly different voice. 🌙

"""


def json_bytes(value: Any) -> bytes:
    """Encode compactly as UTF-8; placeholders stay unescaped, to be replaced later."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    if b"\\u000" in text:
        text = text.replace(b"\\u0000", FILL).replace(b"\\u0001", STAMP)
    return text


def inside(text: str) -> bytes:
    """Encode text as the inside of a JSON string."""
    return json_bytes(text)[1:-1]


def template(value: Any) -> tuple[bytes, bytes]:
    """Encode a value in which one string is FILL; return the text before and after it."""
    before, after = json_bytes(value).split(FILL)
    return before, after


@cache
def _pool(*, thoughts: bool) -> tuple[bytes, ...]:
    text = _THOUGHTS if thoughts else _TEXT
    return tuple(inside(piece) for piece in re.findall(r" ?(?:\w{1,7}|[^\w\s])|\s+", text))


def tokens(count: int, *, start: int = 0, thoughts: bool = False) -> Iterator[bytes]:
    """Yield `count` tokens, the text again and again, from its token number `start` on."""
    pool = _pool(thoughts=thoughts)
    return islice(_round(pool, start), count)


def _round(pool: tuple[bytes, ...], start: int) -> Iterator[bytes]:
    position = start % len(pool)
    yield from pool[position:]
    while True:
        yield from pool
