"""Returns freed memory to the system; glibc keeps it when the heap is fragmented."""

from __future__ import annotations

import asyncio
import ctypes

TRIMMED_FROM = 8 * 1024 * 1024
"""The freed bytes that trigger a trim."""
_COUNTED_FROM = 256 * 1024
"""Smaller blocks are not counted: they are reused at once."""
_AFTER_SECONDS = 1.0
"""The delay before a trim: the caller may still hold the bytes, and many are freed together."""
_AGAIN_SECONDS = 8.0
"""The delay before a second trim: refused connections free their buffers later."""
_M_ARENA_MAX = -8
"""Of `mallopt` (malloc.h)."""


def use_one_arena() -> None:
    """Have all threads that start from now on allocate from one heap (mallopt(3)).

    glibc gives threads heaps of their own, whose upper end `malloc_trim` leaves as it is: two
    threads that decompressed large bodies kept 17 MiB each. Does nothing in a C library without it.
    """
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is not None:
        set_option(_M_ARENA_MAX, 1)


def trim() -> None:
    """Return free memory (malloc_trim(3)); do nothing in a C library without it.

    Takes a few milliseconds per hundred MiB.
    """
    trim_heap = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim_heap is not None:
        trim_heap(0)


class Trimmer:
    """Trims once shortly after many bytes were freed, and once more later."""

    def __init__(self) -> None:
        self._freed = 0
        self._due: asyncio.TimerHandle | None = None

    def freed(self, size: int) -> None:
        """Note that `size` bytes were freed."""
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
