"""Parses large bodies in a process of their own.

A thread would not do: the parser holds the interpreter's lock to the end, and 32 MiB take it some
fifty milliseconds, in which no token of any stream would pass.
"""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path

from proxy.edge.decompress import Unpacked
from proxy.edge.request_params import RequestFields, RequestParams, parse, to_params
from proxy.edge.routes import Route
from proxy.errors import BadRequest

PARSED_INLINE_BYTES = 512 * 1024
"""Up to here parsing takes less than a millisecond, and moving it elsewhere would take longer."""


class BodyParser:
    """One parsing process, begun with the first large body, and the threads that feed it.

    The threads are its own: whatever a client makes them do, the pool that all else shares (name
    look-ups, the stop) is free.
    """

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None
        self._asking = ThreadPoolExecutor(1, "parsing")
        self._threads = ThreadPoolExecutor(2, "unpacking")

    async def parse(self, route: Route, body: bytes, *, include_usage: bool) -> RequestParams:
        """As `request_params.read_params`, without holding the event loop up for a large body."""
        if len(body) <= PARSED_INLINE_BYTES:
            fields = parse(body)
        else:
            loop = asyncio.get_running_loop()
            fields = await loop.run_in_executor(self._asking, self._parse_elsewhere, body)
        return to_params(route, body, fields, include_usage=include_usage)

    async def piece(self, unpacked: Unpacked) -> bytes:
        """The next piece of a compressed body; a caller that is cancelled asks for no more."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, unpacked.piece)

    def close(self) -> None:
        """End the process."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
        self._asking.shutdown(wait=False, cancel_futures=True)
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _parse_elsewhere(self, body: bytes) -> RequestFields:
        """Hand the body over in memory that both processes see; nothing of it touches a disk."""
        shared = os.memfd_create("body", os.MFD_CLOEXEC)
        try:
            _write(shared, body)
            found = self._process().submit(_parse_file, f"/proc/{os.getpid()}/fd/{shared}").result()
        except BrokenProcessPool:
            # It was killed, as memory runs short perhaps: the next large body begins another.
            self._pool = None
            return parse(body)
        finally:
            os.close(shared)
        if isinstance(found, str):
            raise BadRequest(found)
        return found

    def _process(self) -> ProcessPoolExecutor:
        if self._pool is None:
            self._pool = ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn"))
        return self._pool


def _write(descriptor: int, body: bytes) -> None:
    left = memoryview(body)
    while left:
        left = left[os.write(descriptor, left) :]


def _parse_file(path: str) -> RequestFields | str:
    """In the other process: what the body asks for, or what is wrong with it."""
    try:
        return parse(Path(path).read_bytes())
    except BadRequest as error:
        return error.happened
