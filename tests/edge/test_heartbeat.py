"""A worker beats whether or not anybody feels it."""

from __future__ import annotations

import os

import pytest

from proxy.edge import heartbeat


async def test_a_supervisor_that_reads_nothing_holds_nobody_up() -> None:
    """A full pipe, and then a broken one, stop neither the beats nor the loop."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with pytest.raises(BlockingIOError):
        while True:
            os.write(writing, b"." * 65536)
    beating = heartbeat.Heartbeat(writing)
    os.close(reading)
    beating._beat()
    beating.close()
