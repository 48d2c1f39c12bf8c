"""Parses large request bodies in a separate process.

A thread would not do: the parser holds the GIL until it has finished, and parsing 32 MiB takes
about fifty milliseconds, in which no stream would relay a token.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from mmap import mmap
from multiprocessing import active_children, get_context
from pathlib import Path
from typing import TYPE_CHECKING

from proxy.edge.malloc_trim import trim
from proxy.edge.request_params import RequestFields, RequestParams, parse, to_params
from proxy.errors import BadRequest, Overloaded

if TYPE_CHECKING:
    from proxy.edge.body_memory import BodyMemory
    from proxy.edge.routes import Route
    from proxy.http.decompress import DecompressedBody

PARSED_INLINE_BYTES = 512 * 1024
"""Bodies up to this size parse in less than a millisecond, faster than handing them over."""
_TRIES = 2
ANSWER_SECONDS = 10.0
"""A hundred times what the largest body takes; a process silent for so long is hung."""
IDLE_SECONDS = 300.0
"""How long an idle process is kept: it takes some 45 MiB, and starting it half a second."""
_PR_SET_PDEATHSIG = 1


class BodyParser:
    """A parsing process, started for the first large body, and the threads that feed it.

    The process parses one body at a time, whose copy is counted in the body memory. The threads
    are separate from asyncio's default executor, so that clients cannot block DNS lookups or the
    shutdown.
    """

    def __init__(self, memory: BodyMemory) -> None:
        self._memory = memory
        self._pool: ProcessPoolExecutor | None = None
        self._turn = asyncio.Lock()
        self._idle: asyncio.TimerHandle | None = None
        self._parse_thread = ThreadPoolExecutor(1, "parsing")
        self._decompress_threads = ThreadPoolExecutor(2, "unpacking")

    async def parse(
        self, route: Route, body: bytes, *, include_usage: bool, find_model: bool = False
    ) -> RequestParams:
        """Parse the body of a request, without blocking the event loop if it is large.

        Raises `BadRequest`, naming the byte, if the body is not a JSON object, and `Overloaded` if
        the process dies or hangs repeatedly.
        """
        if len(body) <= PARSED_INLINE_BYTES:
            fields = parse(body, find_model=find_model)
        else:
            parsing = partial(self._parse_elsewhere, body, find_model=find_model)
            async with self._turn:
                loop = asyncio.get_running_loop()
                try:
                    with self._memory.copied(len(body)):
                        fields = await loop.run_in_executor(self._parse_thread, parsing)
                finally:
                    self._end_when_idle(loop)
        return to_params(route, body, fields, include_usage=include_usage)

    async def piece(self, body: DecompressedBody, max_bytes: int) -> bytes:
        """Decompress the next piece of a body in a thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._decompress_threads, body.piece, max_bytes)

    def close(self) -> None:
        """Stop the process and the threads."""
        if self._idle is not None:
            self._idle.cancel()
        self._end()
        self._parse_thread.shutdown(wait=False, cancel_futures=True)
        self._decompress_threads.shutdown(wait=False, cancel_futures=True)

    def _end_when_idle(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._idle is not None:
            self._idle.cancel()
        self._idle = loop.call_later(IDLE_SECONDS, self._end_if_idle)

    def _end_if_idle(self) -> None:
        # A parse that runs, or is about to, sets the timer again.
        if not self._turn.locked():
            self._end()

    def _end(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=False, cancel_futures=True)

    def _parse_elsewhere(self, body: bytes, *, find_model: bool) -> RequestFields:
        """Parse in the process; replace it once if it was killed or hangs.

        There is no fallback in this process: a body that kills the parser must not stall streams.
        """
        for _ in range(_TRIES):
            try:
                fields = self._ask(body, find_model=find_model)
            except (BrokenProcessPool, TimeoutError):
                self._give_up()
            else:
                if isinstance(fields, str):
                    raise BadRequest(fields)
                return fields
        raise Overloaded("The gateway is short of memory for large bodies.", retry_after=5.0)

    def _ask(self, body: bytes, *, find_model: bool) -> RequestFields | str:
        """Pass the body in shared memory (memfd), never through a disk."""
        shared = os.memfd_create("body", os.MFD_CLOEXEC)
        try:
            _write(shared, body)
            path = f"/proc/{os.getpid()}/fd/{shared}"
            parsing = self._process().submit(_parse_file, path, find_model=find_model)
            return parsing.result(ANSWER_SECONDS)
        finally:
            os.close(shared)

    def _process(self) -> ProcessPoolExecutor:
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                max_workers=1,
                mp_context=get_context("spawn"),
                initializer=_die_with_parent,
                initargs=(os.getpid(),),
            )
        return self._pool

    def _give_up(self) -> None:
        pool, self._pool = self._pool, None
        if pool is None:
            return
        # The pool cannot stop a hung process; a worker has no other child processes.
        for process in active_children():
            process.kill()
        pool.shutdown(wait=False, cancel_futures=True)


def _die_with_parent(parent: int) -> None:
    """Run in the parsing process: die with the worker, however that ends (prctl(2))."""
    with contextlib.suppress(AttributeError):  # Not on Linux.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def _write(descriptor: int, body: bytes) -> None:
    remaining = memoryview(body)
    while remaining:
        remaining = remaining[os.write(descriptor, remaining) :]


def _parse_file(path: str, *, find_model: bool) -> RequestFields | str:
    """Run in the parsing process: return the body's fields, or what is wrong with it.

    The body is read in place, and its memory is freed when both processes have closed it.
    """
    try:
        with Path(path).open("r+b") as file:
            body = mmap(file.fileno(), 0)
        return parse(body, find_model=find_model)
    except BadRequest as error:
        return error.happened
    finally:
        trim()
