"""Scripted peers for the relay: a body that says when it has what, and a client that obeys."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class ScriptedBody:
    """Gives its script's chunks one a read; an exception is raised, a callable awaited."""

    source = None
    first = b""

    def __init__(self, *script: bytes | BaseException | Callable[[], object]) -> None:
        self._script = list(script)
        self.reads = 0
        self.first = b""

    async def read(self) -> bytes:
        self.reads += 1
        if not self._script:
            return b""
        step = self._script.pop(0)
        if isinstance(step, BaseException):
            raise step
        if callable(step):
            result = step()
            if asyncio.iscoroutine(result):
                await result
            return await self.read()
        await asyncio.sleep(0)
        return step


async def for_ever() -> None:
    """What an upstream does that hangs."""
    await asyncio.Event().wait()


class FakeTransport(asyncio.Transport):
    """Keeps what is written; a stuck one takes none of it."""

    def __init__(self, *, stuck: bool = False) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.stuck = stuck
        self.closing = False
        self.taken = asyncio.Event()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))

    def get_write_buffer_size(self) -> int:
        return sum(map(len, self.written)) if self.stuck else 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.high = high

    def is_closing(self) -> bool:
        return self.closing

    async def drain(self) -> None:
        """The stream writer's part: wait while stuck."""
        while self.stuck:
            await self.taken.wait()

    def take_all(self) -> None:
        """The client reads everything."""
        self.stuck = False
        self.taken.set()

    @property
    def text(self) -> bytes:
        return b"".join(self.written)
