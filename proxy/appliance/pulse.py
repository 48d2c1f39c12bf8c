"""The pulse of a worker: a byte now and then from its event loop, through a pipe.

A question over HTTP would do, but a worker under a burst answers it late; the pulse is due before
all that waits, and only a loop that stands still misses it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os


class Pulse:
    """The reading end, in the supervisor; give `writing` to the worker."""

    def __init__(self) -> None:
        self._reading, self.writing = os.pipe()
        os.set_blocking(self._reading, False)
        # A supervisor that reads nothing must not hold a worker up.
        os.set_blocking(self.writing, False)
        self.beats = 0
        """Bytes that have come; 0 of a worker that has no pulse at all."""
        asyncio.get_running_loop().add_reader(self._reading, self._read)

    def close_writing_end(self) -> None:
        """Leave it to the worker alone."""
        os.close(self.writing)

    def close(self) -> None:
        """The worker has ended."""
        asyncio.get_running_loop().remove_reader(self._reading)
        os.close(self._reading)

    def _read(self) -> None:
        with contextlib.suppress(BlockingIOError):
            came = len(os.read(self._reading, 4096))
            self.beats += came
            if not came:
                # Asked again it would say so again, as fast as it can.
                asyncio.get_running_loop().remove_reader(self._reading)
