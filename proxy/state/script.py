"""Scripts that the store runs: one atomic step each, loaded from `scripts/`."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).with_name("scripts")
_COMMON = "common"


@dataclass(frozen=True, slots=True)
class Script:
    """One script. Every key that it touches is in its `KEYS`, so that a cluster can run it."""

    name: str
    source: str
    sha: str

    @classmethod
    def of(cls, name: str, source: str) -> Script:
        """A script by its text."""
        digest = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()
        return cls(name, source, digest)


@cache
def load(name: str, common: str = _COMMON) -> Script:
    """The script of that name, what all of its kind share put before it.

    Raises `OSError` where the package is not whole.
    """
    texts = [(_FOLDER / f"{one}.lua").read_text(encoding="utf-8") for one in (common, name)]
    return Script.of(name, "\n".join(texts))
