"""The kill table's figures, written into the docs."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections import Counter

PAGE = Path(__file__).parents[2] / "docs" / "kills.md"
_HEAD = """# What is seen and counted when a part dies

`make test-kills` writes this table: an appliance with two workers under the demo's streams, and a
part of it that dies or runs out in their midst. Each row's two columns hold the same requests: the
target fails where a client saw what is not counted as that.

| what dies | clients saw | /metrics says |
|---|---|---|
"""


def write(row: str, saw: Counter[str], counted: Counter[str] | str) -> None:
    """Write the row in place of that of the last run; the others stay.

    For `make test-kills` alone: a checkout is not changed by being tested.
    """
    if not os.environ.get("TEST_KILLS_WRITES"):
        return
    counts = counted if isinstance(counted, str) else _listed(counted)
    with PAGE.open("r+", encoding="utf-8") as page:
        # Other rows may be proved by other processes just now; closing the file lets go.
        fcntl.flock(page, fcntl.LOCK_EX)
        rows = {
            line.split("|")[1].strip(): line
            for line in page.read().splitlines()
            if line.startswith("| ")
        }
        rows.pop("what dies", None)
        rows[row] = f"| {row} | {_listed(saw)} | {counts} |"
        page.seek(0)
        page.write(_HEAD + "\n".join(rows[name] for name in sorted(rows)) + "\n")
        page.truncate()


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{number} {what}" for what, number in sorted(counts.items()) if number)
