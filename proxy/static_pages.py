"""The static pages: their files, and the headers that nginx and a standalone worker send.

The content security policy allows only a page's own scripts and its own origin. So even if text of
an answer became markup, it could not run a script or load anything (W3C, "CSP Level 3").
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
"""The media types by file extension; files with another extension are not served."""

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
    """Whether `/playground/` is served: as set, or if `auto`, only with the demo upstream."""
    if settings.playground == "auto":
        return settings.upstream_url is None and not settings.upstreams
    return settings.playground == "on"


def source() -> Traversable:
    """Return the folder `nginx/`: inside an installed package, or next to it in a checkout."""
    package = resources.files("proxy")
    installed = package / "_nginx"
    return installed if installed.is_dir() else Path(str(package)).parent / "nginx"


def files(folder: str) -> dict[str, Traversable]:
    """Return one page's files by their relative path, such as `vendor/streaming-markdown.js`."""
    collected: dict[str, Traversable] = {}
    _collect(source() / "html" / folder, "", collected)
    return collected


def _collect(folder: Traversable, prefix: str, collected: dict[str, Traversable]) -> None:
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            _collect(entry, f"{prefix}{entry.name}/", collected)
        elif content_type(entry.name):
            collected[prefix + entry.name] = entry


def content_type(name: str) -> str:
    """Return the media type of a page's file; empty if the file is not served."""
    return CONTENT_TYPES.get(Path(name).suffix, "")
