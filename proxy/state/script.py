"""Lua scripts that the store runs atomically, loaded from `scripts/`."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).with_name("scripts")
_COMMON = "common"


@dataclass(frozen=True, slots=True)
class Script:
    """One script. It uses only keys in `KEYS`, as a cluster requires."""

    name: str
    source: str
    sha: str

    @classmethod
    def of(cls, name: str, source: str) -> Script:
        """Build a script from its source."""
        digest = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()
        return cls(name, source, digest)


@cache
def load(name: str, common: str = _COMMON) -> Script:
    """Load the script `name`, preceded by the functions of `common`.

    Raises `OSError` if the file is missing from the installed package.
    """
    texts = [(_FOLDER / f"{part}.lua").read_text(encoding="utf-8") for part in (common, name)]
    return Script.of(name, "\n".join(texts))
