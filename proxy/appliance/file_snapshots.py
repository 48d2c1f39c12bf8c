"""Snapshots of the files that settings name, taken when they were checked.

A worker or nginx that is restarted must load the checked files, not whatever is on the disk by
then. Copies are in the run directory, named by their content's hash, so that an unchanged file
keeps its name; the private key is kept in memory only (memfd_create(2)).
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from proxy.settings import Settings

_COPIED = ("prices", "upstream_ca", "tls_certificate", "tls_client_ca")


class FileSnapshots:
    """The snapshots of one run."""

    def __init__(self, run: Path) -> None:
        self._folder = run / "held"
        self._in_memory: dict[str, int] = {}
        """memfd descriptors, by the path that children open them at."""

    def snapshot(self, settings: Settings) -> Settings:
        """Copy the files of these settings, and return the settings with the copies' paths.

        Raises `OSError` if a file cannot be read or copied.
        """
        update: dict[str, object] = {
            name: self._copy_of(path)
            for name in _COPIED
            if (path := getattr(settings, name)) is not None
        }
        if settings.tls_key is not None:
            update["tls_key"] = self._in_memfd(settings.tls_key)
        if any(upstream.ca is not None for upstream in settings.upstreams):
            update["upstreams"] = tuple(
                upstream.model_copy(update={"ca": self._copy_of(upstream.ca)})
                if upstream.ca is not None
                else upstream
                for upstream in settings.upstreams
            )
        return settings.model_copy(update=update)

    def retain(self, *held: Settings) -> None:
        """Delete all copies that none of these settings, returned by `snapshot`, name."""
        named = {getattr(settings, name) for settings in held for name in (*_COPIED, "tls_key")}
        named |= {upstream.ca for settings in held for upstream in settings.upstreams}
        for path in self._in_memory.keys() - named:
            os.close(self._in_memory.pop(path))
        if self._folder.exists():
            for copy in self._folder.iterdir():
                if str(copy) not in named:
                    copy.unlink()

    def _copy_of(self, path: str) -> str:
        content = Path(path).read_bytes()
        name = hashlib.sha256(content).hexdigest()[:32]
        # Keep the suffix: it tells JSON prices from TOML ones.
        copy = self._folder / f"{name}{Path(path).suffix}"
        if not copy.exists():
            self._folder.mkdir(exist_ok=True)
            unfinished = copy.with_name("unfinished")
            unfinished.write_bytes(content)
            unfinished.rename(copy)
        return str(copy)

    def _in_memfd(self, path: str) -> str:
        content = Path(path).read_bytes()
        for known, descriptor in self._in_memory.items():
            if os.pread(descriptor, len(content) + 1, 0) == content:
                return known
        descriptor = os.memfd_create("tls-key")
        remaining = memoryview(content)
        while remaining:
            remaining = remaining[os.write(descriptor, remaining) :]
        memory_path = f"/proc/{os.getpid()}/fd/{descriptor}"
        self._in_memory[memory_path] = descriptor
        return memory_path
