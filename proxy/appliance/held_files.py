"""The files that settings name, kept as they were when they were checked.

What is on the disk may be half written, or wrong, by the time that a worker or nginx dies and is
started again: it has to come back with what holds, not with what nobody has checked. Copies lie in
the run directory, named by what is in them, so that an unchanged file keeps its name; the private
key lies in memory alone (memfd_create(2)).
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from proxy.settings import Settings

_COPIED = ("prices", "upstream_ca", "tls_certificate", "tls_client_ca")


class HeldFiles:
    """Made for one run directory."""

    def __init__(self, run: Path) -> None:
        self._folder = run / "held"
        self._in_memory: dict[str, int] = {}
        """Descriptors, by the path that children find them at."""

    def hold(self, settings: Settings) -> Settings:
        """The same settings, with the paths of copies of their files.

        Raises `OSError` where one cannot be read or copied.
        """
        update: dict[str, object] = {
            name: self._copied(path)
            for name in _COPIED
            if (path := getattr(settings, name)) is not None
        }
        if settings.tls_key is not None:
            update["tls_key"] = self._kept_in_memory(settings.tls_key)
        if any(upstream.ca is not None for upstream in settings.upstreams):
            update["upstreams"] = tuple(
                upstream.model_copy(update={"ca": self._copied(upstream.ca)})
                if upstream.ca is not None
                else upstream
                for upstream in settings.upstreams
            )
        return settings.model_copy(update=update)

    def keep_only(self, *held: Settings) -> None:
        """Let go of all that none of these settings, which `hold` has given, names."""
        named = {getattr(one, name) for one in held for name in (*_COPIED, "tls_key")}
        named |= {upstream.ca for one in held for upstream in one.upstreams}
        for path in self._in_memory.keys() - named:
            os.close(self._in_memory.pop(path))
        if self._folder.exists():
            for copy in self._folder.iterdir():
                if str(copy) not in named:
                    copy.unlink()

    def _copied(self, path: str) -> str:
        content = Path(path).read_bytes()
        name = hashlib.sha256(content).hexdigest()[:32]
        # The ending tells prices in JSON from those in TOML.
        copy = self._folder / f"{name}{Path(path).suffix}"
        if not copy.exists():
            self._folder.mkdir(exist_ok=True)
            unfinished = copy.with_name("unfinished")
            unfinished.write_bytes(content)
            unfinished.rename(copy)
        return str(copy)

    def _kept_in_memory(self, path: str) -> str:
        content = Path(path).read_bytes()
        for known, descriptor in self._in_memory.items():
            if os.pread(descriptor, len(content) + 1, 0) == content:
                return known
        descriptor = os.memfd_create("tls-key")
        left = memoryview(content)
        while left:
            left = left[os.write(descriptor, left) :]
        found = f"/proc/{os.getpid()}/fd/{descriptor}"
        self._in_memory[found] = descriptor
        return found
