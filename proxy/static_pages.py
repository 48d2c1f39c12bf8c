"""The static pages: where their files lie, and the headers that nginx and a lone worker send.

The policy lets a page run its own scripts, talk to its own origin and load nothing from elsewhere,
so text of an answer can do nothing even where it became markup (CSP level 3, W3C).
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

    from proxy.settings import Settings

PLAYGROUND: Final = "/playground/"
INDEX: Final = "index.html"

CONTENT_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".LICENSE": "text/plain; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
}
"""By the file's ending; no other file is a page."""

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "media-src blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
HEADERS: Final = {
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}


def playground_is_on(settings: Settings) -> bool:
    """Whether `/playground/` is served: as set, else only in front of the demo upstream."""
    if settings.playground == "auto":
        return settings.upstream_url is None and not settings.upstreams
    return settings.playground == "on"


def source() -> Traversable:
    """The folder `nginx/`: inside an installed package, beside it in a checkout."""
    package = resources.files("proxy")
    installed = package / "_nginx"
    return installed if installed.is_dir() else Path(str(package)).parent / "nginx"


def files(folder: str) -> dict[str, Traversable]:
    """The files of one page by their path below it, such as `vendor/streaming-markdown.js`."""
    found: dict[str, Traversable] = {}
    _collect(source() / "html" / folder, "", found)
    return found


def _collect(folder: Traversable, prefix: str, found: dict[str, Traversable]) -> None:
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            _collect(entry, f"{prefix}{entry.name}/", found)
        elif content_type(entry.name):
            found[prefix + entry.name] = entry


def content_type(name: str) -> str:
    """The media type of a page's file; empty for what is none."""
    return CONTENT_TYPES.get(Path(name).suffix, "")
