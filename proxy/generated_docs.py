"""Replaces the generated parts of documentation pages, each between two marks."""

from __future__ import annotations

from pathlib import Path


def put_between(text: str, begin: str, end: str, generated: str) -> str:
    """Return the text with the generated part between its two marks, each on its own line.

    Raises `ValueError` if a mark is missing.
    """
    head, first, rest = text.partition(begin)
    _, last, tail = rest.partition(end)
    if not first or not last:
        raise ValueError(f"the marks {begin} and {end} are missing")
    return f"{head}{begin}\n{generated}\n{end}{tail}"


def update(path: str, begin: str, end: str, generated: str) -> None:
    """Update the generated part of a file. Raises as `put_between` does, and `OSError`."""
    page = Path(path)
    page.write_text(put_between(page.read_text(encoding="utf-8"), begin, end, generated), "utf-8")
