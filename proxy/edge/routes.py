"""Maps request paths to routes: the API family, and a label of bounded cardinality."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

from proxy.record import Family

ALWAYS_PASSED = ("/v1", "/v1beta")
"""The prefixes that are relayed without being listed in `SLUICE_PATHS`."""
OTHER = "other"

_UNDERSTOOD = {
    "/v1/chat/completions": Family.CHAT,
    "/v1/responses": Family.RESPONSES,
    "/v1/completions": Family.COMPLETIONS,
    "/v1/messages": Family.MESSAGES,
}
_GEMINI = re.compile(r"/v1(?:beta)?/models/(?P<model>[^/]+):(?P<verb>\w+)")
_GEMINI_VERBS = {"generateContent", "streamGenerateContent"}
_PASSED = re.compile(
    r"/v1(?:beta)?/(?:audio|batches|embeddings|files|images|models|moderations|rerank"
    r"|responses|messages)(?=/|$)"
)
_STREAMS = re.compile(r"/v1/streams?(?=/|$)")
"""Sluice's own routes for resumable streams."""
_END = re.compile(r"/(?:[^/]+/)+?(?P<end>(?:chat/)?completions|responses|messages)")
_GEMINI_END = re.compile(r"/(?:[^/]+/)+models/(?P<model>[^/]+):(?P<verb>\w+)")


@dataclass(frozen=True, slots=True)
class Route:
    """A parsed path."""

    label: str
    """One of a small fixed set, so that clients cannot create new label values."""
    family: Family = Family.UNKNOWN
    model: str = ""
    """The model, if the path names one."""
    streams: bool = False
    """Whether the path itself asks for a stream."""

    @property
    def understood(self) -> bool:
        """Whether the body of a POST here must be JSON that Sluice reads."""
        return self.family is not Family.UNKNOWN


_SLASHES = re.compile("/+")
_PARAMETERS = re.compile(";[^/]*")


def route_of(path: str) -> Route:
    """Return the route of a raw path without its query.

    Servers differ in which spellings of a path they accept. A path that some upstream could serve
    as a metered API is metered here, too, so that no spelling bypasses metering.
    """
    route = _route_of(path)
    if route.understood:
        return route
    for reading in _as_lenient_servers_read(path):
        if reading != path and (read := _route_of(reading)).understood:
            return read
    return route


def is_passed(path: str, paths: tuple[str, ...]) -> bool:
    """Whether a raw path literally begins with a relayed prefix.

    Another spelling (`/%761/models`) would not be recognized when the path is appended to an
    upstream's base URL, and could escape that.
    """
    return any(path.startswith(f"{prefix}/") for prefix in (*ALWAYS_PASSED, *paths))


def _as_lenient_servers_read(path: str) -> tuple[str, ...]:
    """Return the path without parameters, empty segments and trailing slash; decoded; lowercase."""
    decoded = _tidy(unquote(path)) if "%" in path else _tidy(path)
    return _tidy(path), decoded, decoded.lower()


def _tidy(path: str) -> str:
    return _SLASHES.sub("/", _PARAMETERS.sub("", path)).rstrip("/ ")


def _route_of(path: str) -> Route:
    if family := _UNDERSTOOD.get(path):
        return Route(path, family)
    if (match := _GEMINI.fullmatch(path)) and match["verb"] in _GEMINI_VERBS:
        return _gemini(match)
    if not path.startswith(("/v1/", "/v1beta/")):
        return _by_its_end(path)
    if match := _STREAMS.match(path):
        return Route(match.group())
    if match := _PASSED.match(path):
        return Route(match.group())
    return Route(OTHER)


def _by_its_end(path: str) -> Route:
    """Match a path under a prefix of `SLUICE_PATHS`, such as Azure's or Vertex's, by its end."""
    if (match := _GEMINI_END.fullmatch(path)) and match["verb"] in _GEMINI_VERBS:
        return _gemini(match)
    if (match := _END.fullmatch(path)) and "/threads/" not in path:
        label = f"/v1/{match['end']}"
        return Route(label, _UNDERSTOOD[label])
    return Route(OTHER)


def _gemini(match: re.Match[str]) -> Route:
    verb = match["verb"]
    streams = verb == "streamGenerateContent"
    return Route(f"/v1beta/models/:{verb}", Family.GEMINI, unquote(match["model"]), streams)
