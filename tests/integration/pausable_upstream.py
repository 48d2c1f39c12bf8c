"""An upstream that pauses in its responses until a test lets it continue."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.upstream.peer import EVENTS, LAST_CHUNK, Connection, chunk

_RUN = re.compile(rb"^x-demo-run: *(\S+)", re.IGNORECASE | re.MULTILINE)
_EVENT = re.compile(rb".*?(?:\r\n\r\n|\n\n|\r\r)", re.DOTALL)


@dataclass
class PausedAnswer:
    """One response: the part sent at once, and the part that waits."""

    before: bytes
    rest: bytes
    resume: asyncio.Event = field(default_factory=asyncio.Event)

    @classmethod
    def at(cls, body: bytes, place: Callable[[int], int]) -> PausedAnswer:
        """Pause a response after the share `place` of its events."""
        parts = _EVENT.findall(body)
        events = place(len(parts))
        assert 0 < events < len(parts)
        before = b"".join(parts[:events])
        return cls(before, body.removeprefix(before))


class PausableUpstream:
    """The upstream's script: each response under the run's name that its request has."""

    def __init__(self) -> None:
        self.answers: dict[str, PausedAnswer] = {}

    async def __call__(self, connection: Connection) -> None:
        """Answer one request after the other."""
        while True:
            match = _RUN.search(await connection.request())
            assert match
            held = self.answers[match[1].decode()]
            await connection.say(EVENTS, chunk(held.before))
            await held.resume.wait()
            await connection.say(chunk(held.rest), LAST_CHUNK)
