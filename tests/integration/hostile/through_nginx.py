"""Where nginx reads a hostile request otherwise than a worker, and why no harm comes of it."""

from __future__ import annotations

from dataclasses import replace

from tests.integration.hostile.asking import Row

_MODELS = (b"GET /v1/models",)
_OTHERWISE: dict[str, tuple[int, tuple[bytes, ...]]] = {
    # Other words for the same refusal.
    "the version b'0.9'": (400, ()),
    "the version b'11'": (505, ()),
    "the preface of HTTP/2": (400, ()),
    "CONNECT to a path": (400, ()),
    "an internal route behind dots": (404, ()),
    # What it takes for a request goes to the worker written anew, so there is one reading of it.
    "an absolute target of ftp": (200, _MODELS),
    "the field b'X-A: 1\\nX-B: 2'": (200, _MODELS),
    "lines that end in LF": (200, _MODELS),
    "a last line that ends in LF": (200, _MODELS),
    "a size and a word": (200, (b"POST /v1/files",)),
}


def as_nginx_reads(row: Row) -> Row:
    """The row as it is through nginx.

    nginx knows where a request ends that only the worker refuses, so its connection may stay.
    """
    status, reached = _OTHERWISE.get(row.name, (row.status, row.reached))
    return replace(row, status=status, reached=reached, closes=row.closes and row.status < 400)


def all_known(names: set[str]) -> bool:
    """Whether each of the differences is of a row that there is."""
    return names >= set(_OTHERWISE)
