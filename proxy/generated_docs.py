"""Parts of pages that are made from the code: what stands between two marks is written anew."""

from __future__ import annotations

from pathlib import Path


def put_between(text: str, begin: str, end: str, made: str) -> str:
    """The text with what was made between its two marks, each on a line of its own.

    Raises `ValueError` if the marks are not there.
    """
    head, first, rest = text.partition(begin)
    _, last, tail = rest.partition(end)
    if not first or not last:
        raise ValueError(f"the marks {begin} and {end} are missing")
    return f"{head}{begin}\n{made}\n{end}{tail}"


def update(path: str, begin: str, end: str, made: str) -> None:
    """Bring a file up to date. Raises `ValueError` as `put_between` does, and `OSError`."""
    page = Path(path)
    page.write_text(put_between(page.read_text(encoding="utf-8"), begin, end, made), "utf-8")
