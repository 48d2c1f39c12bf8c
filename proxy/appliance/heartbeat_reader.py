"""A worker's heartbeat: bytes that its event loop sends periodically through a pipe.

An HTTP probe would be answered late by a worker under a burst. The heartbeat is a timer, which runs
before all waiting work, so that only a blocked event loop misses it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os


class HeartbeatReader:
    """The supervisor's reading end; `writing` is for the worker."""

    def __init__(self) -> None:
        self._reading, self.writing = os.pipe()
        os.set_blocking(self._reading, False)
        # A supervisor that does not read must not block a worker.
        os.set_blocking(self.writing, False)
        self.beats = 0
        """The number of bytes received; 0 for a worker without one."""
        asyncio.get_running_loop().add_reader(self._reading, self._read)

    def close_writing_end(self) -> None:
        """Close the supervisor's copy of the worker's end."""
        os.close(self.writing)

    def close(self) -> None:
        """Close the reading end."""
        asyncio.get_running_loop().remove_reader(self._reading)
        os.close(self._reading)

    def _read(self) -> None:
        with contextlib.suppress(BlockingIOError):
            received = len(os.read(self._reading, 4096))
            self.beats += received
            if not received:
                # End of file: further reads would report it in a busy loop.
                asyncio.get_running_loop().remove_reader(self._reading)
