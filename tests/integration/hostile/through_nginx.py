"""Where nginx reads a hostile request otherwise than a worker, and why no harm comes of it.

What its configuration can decide is the same for all versions. The rest is here, by version.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from proxy.appliance import nginx_program
from tests.integration.hostile.asking import Row
from tests.integration.hostile.http2_rows import MODELS_REACHED, REFUSED_OR_BROKEN, Http2Row
from tests.integration.hostile.request_framing import BARE_LF

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from proxy.appliance.nginx_program import NginxProgram

Reading = tuple[int, tuple[bytes, ...]]
"""The status, and method and target of each request that reaches the upstream."""
Version = tuple[int, ...]

_MODELS = (b"GET /v1/models",)
_FILES = (b"POST /v1/files",)
_OTHERWISE: dict[str, Reading] = {
    # Other words for the same refusal.
    "CONNECT to a URL": (405, ()),
    "the version b'0.9'": (400, ()),
    "the version b'11'": (505, ()),
    "the preface of HTTP/2": (400, ()),
    "an internal route behind dots": (404, ()),
    # What it takes for a request goes to the worker written anew, so there is one reading of it.
    "an absolute target of ftp": (200, _MODELS),
    "the field b'X-A: 1\\nX-B: 2'": (200, _MODELS),
    "lines that end in LF": (200, _MODELS),
    "a last line that ends in LF": (200, _MODELS),
    "a size and a word": (200, _FILES),
}
_OTHERWISE_BEFORE: dict[Version, dict[str, Reading]] = {
    # Chunks: it sends the body on in chunks of its own (tests/nginx/test_rewriting.py).
    (1, 29, 4): {row.name: (200, _FILES) for row in BARE_LF},
}
_SINCE = {
    # Of several fields an older one tells workers the first (docs/upstreams.md, `Connection`).
    "two Connections": nginx_program.JOINS_FIELDS_SINCE,
}
AFTER_DEBIAN_12: Version = (1, 23)
"""Debian 12 has 1.22. By HTTP/2 that one resets a stream that later ones answer with 400, and sends
the head of an answer with its first byte. Nothing between it and 1.26 has been tried."""
_HTTP2_OTHERWISE_BEFORE: dict[Version, dict[str, Reading]] = {
    # A valid request, which these versions take for one with two hosts (nginx 1.29.1, CHANGES).
    (1, 29, 1): {"a host that agrees": (400, ())},
    # The request line is written anew, from the only path and the only method that there are.
    (1, 31, 3): {
        "a path after the fields": (200, (MODELS_REACHED,)),
        "a method after the fields": (200, (MODELS_REACHED,)),
    },
}


def programs() -> list[NginxProgram]:
    """The nginx that Sluice would run, and those that `TEST_NGINX` names."""
    more = filter(None, os.environ.get("TEST_NGINX", "").split(os.pathsep))
    programs_found = [nginx_program.find(), *map(nginx_program.find, more)]
    return list({program.path: program for program in programs_found}.values())


_PROGRAMS = programs()
_WAYS = {"alone": None, **{f"nginx {program.version_text}": program for program in _PROGRAMS}}
every_way = pytest.mark.parametrize("nginx", _WAYS.values(), ids=_WAYS)
"""A worker alone, for which `nginx` is None, and one behind each nginx."""
every_nginx = pytest.mark.parametrize("nginx", _PROGRAMS, ids=list(_WAYS)[1:])


def rows_as_read(rows: Iterable[Row], nginx: NginxProgram | None) -> list[Row]:
    """The rows that hold for an nginx, or for a worker alone, as they are read there."""
    return [
        _as_read(row, nginx)
        for row in rows
        if nginx is None or nginx.version >= _SINCE.get(row.name, nginx.version)
    ]


def _as_read(row: Row, nginx: NginxProgram | None) -> Row:
    # nginx knows where a request ends that only the worker refuses, so its connection may stay.
    if nginx is None:
        return row
    changed = _OTHERWISE | _before(nginx.version, _OTHERWISE_BEFORE)
    status, reached = changed.get(row.name, (row.status, row.reached))
    return replace(row, status=status, reached=reached, closes=row.closes and row.status < 400)


def http2_as_read(row: Http2Row, nginx: NginxProgram) -> Http2Row:
    """The row as an nginx reads it."""
    changed = _before(nginx.version, _HTTP2_OTHERWISE_BEFORE)
    if row.name in changed:
        status, reached = changed[row.name]
        return replace(row, statuses=(status,), reached=reached)
    if row.statuses == (400,) and nginx.version < AFTER_DEBIAN_12:
        return replace(row, statuses=REFUSED_OR_BROKEN)
    return row


def all_known(rows: Iterable[Row | Http2Row]) -> bool:
    """Whether each of the differences is of a row that there is."""
    tables = (_OTHERWISE, *_OTHERWISE_BEFORE.values(), *_HTTP2_OTHERWISE_BEFORE.values())
    differing = set(_SINCE).union(*tables)
    return {row.name for row in rows} >= differing


def _before(
    version: Version, changes: Mapping[Version, Mapping[str, Reading]]
) -> dict[str, Reading]:
    return {
        name: reading
        for changed_in, table in changes.items()
        if version < changed_in
        for name, reading in table.items()
    }
