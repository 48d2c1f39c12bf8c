"""Gives free memory back to the system, which glibc keeps where small pieces lie between."""

from __future__ import annotations

import asyncio
import ctypes

TRIMMED_FROM = 8 * 1024 * 1024
"""Bytes that must have become free: below that nobody would notice."""
_COUNTED_FROM = 256 * 1024
"""Smaller ones are in use again at once, however many they are."""
_AFTER_SECONDS = 1.0
"""Who gave the bytes back may still be letting go of them; and many do so at once."""
_AGAIN_SECONDS = 8.0
"""Connections that were refused let go of what they had read when their clients do."""


def trim() -> None:
    """Give back what is free (malloc_trim(3)); a C library without that does so by itself.

    Takes some milliseconds for a hundred MiB.
    """
    trim_heap = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim_heap is not None:
        trim_heap(0)


class Trimmer:
    """Trims a moment after much has become free, and once more later; for many at once."""

    def __init__(self) -> None:
        self._freed = 0
        self._due: asyncio.TimerHandle | None = None

    def freed(self, size: int) -> None:
        """So many bytes are no longer needed."""
        if size < _COUNTED_FROM:
            return
        self._freed += size
        if self._freed >= TRIMMED_FROM and self._due is None:
            self._due = asyncio.get_running_loop().call_later(_AFTER_SECONDS, self._trim)

    def _trim(self) -> None:
        trim()
        self._due = None
        if self._freed >= TRIMMED_FROM:
            self._freed = 0
            self._due = asyncio.get_running_loop().call_later(_AGAIN_SECONDS, self._trim)
