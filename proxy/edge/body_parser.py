"""Parses large bodies in a process of their own.

A thread would not do: the parser holds the interpreter's lock to the end, and 32 MiB take it some
fifty milliseconds, in which no token of any stream would pass.
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

from proxy.edge.request_params import RequestFields, RequestParams, parse, to_params
from proxy.edge.trimming import trim
from proxy.errors import BadRequest, Overloaded

if TYPE_CHECKING:
    from proxy.edge.body_memory import BodyMemory
    from proxy.edge.routes import Route
    from proxy.http.decompress import DecompressedBody

PARSED_INLINE_BYTES = 512 * 1024
"""Up to here parsing takes less than a millisecond, and moving it elsewhere would take longer."""
_TRIES = 2
ANSWER_SECONDS = 10.0
"""A hundred times what the largest body takes: a process that is silent for so long is frozen."""
_PR_SET_PDEATHSIG = 1


class BodyParser:
    """One parsing process, begun with the first large body, and the threads that feed it.

    It has one body at a time, the only copy of which is counted among the bytes that the worker
    holds. The threads are its own: whatever a client makes them do, the pool that all else shares
    (name look-ups, the stop) is free.
    """

    def __init__(self, memory: BodyMemory) -> None:
        self._memory = memory
        self._pool: ProcessPoolExecutor | None = None
        self._turn = asyncio.Lock()
        self._asking = ThreadPoolExecutor(1, "parsing")
        self._threads = ThreadPoolExecutor(2, "unpacking")

    async def parse(
        self, route: Route, body: bytes, *, include_usage: bool, find_model: bool = False
    ) -> RequestParams:
        """As `request_params.read_params`, without holding the event loop up for a large body.

        Raises `Overloaded` where the process does not live to parse it.
        """
        if len(body) <= PARSED_INLINE_BYTES:
            fields = parse(body, find_model=find_model)
        else:
            parsing = partial(self._parse_elsewhere, body, find_model=find_model)
            async with self._turn:
                with self._memory.copied(len(body)):
                    loop = asyncio.get_running_loop()
                    fields = await loop.run_in_executor(self._asking, parsing)
        return to_params(route, body, fields, include_usage=include_usage)

    async def piece(self, body: DecompressedBody, most: int) -> bytes:
        """The next piece of a compressed body; a caller that is cancelled asks for no more."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, body.piece, most)

    def close(self) -> None:
        """End the process."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
        self._asking.shutdown(wait=False, cancel_futures=True)
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _parse_elsewhere(self, body: bytes, *, find_model: bool) -> RequestFields:
        """Have the process parse it; where it was killed or stands still, a new one.

        Not here instead: whoever has it killed by a body must not have the streams stand still.
        """
        for _ in range(_TRIES):
            try:
                found = self._ask(body, find_model=find_model)
            except (BrokenProcessPool, TimeoutError):
                self._give_up()
            else:
                if isinstance(found, str):
                    raise BadRequest(found)
                return found
        raise Overloaded("The gateway is short of memory for large bodies.", retry_after=5.0)

    def _ask(self, body: bytes, *, find_model: bool) -> RequestFields | str:
        """Hand the body over in memory that both processes see; nothing of it touches a disk."""
        shared = os.memfd_create("body", os.MFD_CLOEXEC)
        try:
            _write(shared, body)
            path = f"/proc/{os.getpid()}/fd/{shared}"
            asked = self._process().submit(_parse_file, path, find_model=find_model)
            return asked.result(ANSWER_SECONDS)
        finally:
            os.close(shared)

    def _process(self) -> ProcessPoolExecutor:
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                max_workers=1,
                mp_context=get_context("spawn"),
                initializer=_end_with,
                initargs=(os.getpid(),),
            )
        return self._pool

    def _give_up(self) -> None:
        pool, self._pool = self._pool, None
        if pool is None:
            return
        # The pool has no way to end a process that does not answer; a worker has no other children.
        for process in active_children():
            process.kill()
        pool.shutdown(wait=False, cancel_futures=True)


def _end_with(parent: int) -> None:
    """In the other process: end as soon as the worker does, however it ends (prctl(2))."""
    with contextlib.suppress(AttributeError):  # No Linux, then.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def _write(descriptor: int, body: bytes) -> None:
    left = memoryview(body)
    while left:
        left = left[os.write(descriptor, left) :]


def _parse_file(path: str, *, find_model: bool) -> RequestFields | str:
    """In the other process: what the body asks for, or what is wrong with it.

    It is looked at where it is, and its memory is free as soon as both have let it go.
    """
    try:
        with Path(path).open("r+b") as file:
            body = mmap(file.fileno(), 0)
        return parse(body, find_model=find_model)
    except BadRequest as error:
        return error.happened
    finally:
        trim()
