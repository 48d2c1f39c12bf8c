"""Memory that is free goes back to the system."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

from proxy.edge import malloc_trim
from proxy.edge.malloc_trim import TRIMMED_FROM, Trimmer

PIECES = 2000
PIECE_BYTES = 32 * 1024


FRAGMENTED = f"""
import resource
from pathlib import Path
from proxy.edge.malloc_trim import trim
def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
before = resident()
large, small = [], []
for _ in range({PIECES}):
    large.append(b"x" * {PIECE_BYTES})
    small.append(bytearray(600))
full = resident()
del large
trim()
print(full - before, resident() - before)
"""


def test_what_lies_between_small_pieces_goes_back() -> None:
    """The C library keeps it otherwise, for as long as the last of those is there."""
    # In a process of its own, whose memory has no holes from before that the pieces could fill.
    program = [sys.executable, "-c", FRAGMENTED]
    printed = subprocess.run(program, capture_output=True, check=True, text=True).stdout
    full, left = map(int, printed.split())
    assert full > PIECES * PIECE_BYTES // 2
    assert left < full // 2


def test_threads_have_no_heaps_of_their_own() -> None:
    """Of which a part would never go back; as the C library says (malloc_info(3))."""
    program = """
import ctypes, threading
from proxy.edge.malloc_trim import use_one_arena
%s
for _ in range(4):
    thread = threading.Thread(target=lambda: bytes(100_000))
    thread.start()
    thread.join()
libc = ctypes.CDLL(None)
libc.fdopen.restype = ctypes.c_void_p
libc.malloc_info(0, ctypes.c_void_p(libc.fdopen(1, b"w")))
libc.fflush(None)
"""
    heaps = [
        subprocess.run(
            [sys.executable, "-c", program % first], capture_output=True, check=True, text=True
        ).stdout.count("<heap nr=")
        for first in ("use_one_arena()", "")
    ]
    assert heaps[0] == 1
    assert heaps[1] > 1


async def test_it_is_trimmed_for_many_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A moment after much has become free and once more later, and not for little."""
    trimmed: list[int] = []
    monkeypatch.setattr(malloc_trim, "trim", lambda: trimmed.append(1))
    monkeypatch.setattr(malloc_trim, "_AFTER_SECONDS", 0.01)
    monkeypatch.setattr(malloc_trim, "_AGAIN_SECONDS", 0.01)
    trimmer = Trimmer()
    trimmer.freed(TRIMMED_FROM - 1)
    await asyncio.sleep(0.03)
    assert trimmed == []
    for _ in range(5):
        trimmer.freed(TRIMMED_FROM)
    while len(trimmed) < 2:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.03)
    assert trimmed == [1, 1]
    for _ in range(TRIMMED_FROM // 10_000 + 1):
        trimmer.freed(10_000)
    await asyncio.sleep(0.03)
    assert trimmed == [1, 1]
