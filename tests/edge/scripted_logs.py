"""Logs that are what a test says, for a worker whose routes are asked over real sockets."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from proxy.edge.resumable_streams import ResumableStreams
from proxy.state.log_entry import End, EntryId
from proxy.state.log_reader import Events
from proxy.state.stream_logs import LogState
from tests.state.answering_store import AnsweringStore

if TYPE_CHECKING:
    from tests.integration.conftest import Worker

STREAM = "0123456789abcdef" * 2
COMPLETE = End("complete", whole=True, events=2)


def log_state(end: End | None = COMPLETE, *, first: int = 1, events: int = 2, **more: Any) -> Any:
    """What the store says of a log; `readers`, `oldest` or fields of its header may be given."""
    readers, oldest = more.pop("readers", 0), more.pop("oldest", b"")
    header = {"family": "chat", "progress": '{"stage": "generating"}', **more}
    if end is not None:
        header["ended"] = end.encoded()
    return LogState(STREAM, header, first, EntryId(events), readers, oldest)


class ScriptedReader:
    """Gives its events one by one, and then the end, or nothing."""

    def __init__(self, stream_id: str, first: int, events: list[bytes], end: End | None) -> None:
        self.stream_id = stream_id
        self._steps = [Events(number, (event,)) for number, event in enumerate(events, first)]
        if end is not None:
            self._steps.append(Events(first + len(events), (), end))

    async def next(self, seconds: float) -> Events | None:
        """The next step; where there is none left, nothing for so long."""
        if self._steps:
            return self._steps.pop(0)
        await asyncio.sleep(seconds)
        return None


class ScriptedLogs:
    """Looks at a log are answered in turn, and the last answer again; an exception is raised."""

    def __init__(self, *looks: Any) -> None:
        self.looks = list(looks)
        self.events = [b"data: 1\n\n", b"data: 2\n\n"]
        self.asked: list[tuple[Any, ...]] = []
        self.left = 0
        self.dead = False
        self.anybodys = False
        self.stops: Any = True
        self.reads: Exception | None = None
        self.store = AnsweringStore(pipeline=[None])
        self.writer = SimpleNamespace(running={})
        self.orphans = SimpleNamespace(end=self._end_orphan)

    async def look(self, stream_id: str, owner: str) -> LogState | None:
        self.asked.append(("look", stream_id, owner))
        outcome = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        if isinstance(outcome, Exception):
            raise outcome
        return cast("LogState | None", outcome)

    async def exists(self, _stream_id: str) -> bool:
        return self.anybodys

    async def read(self, stream_id: str, owner: str, cursor: int) -> Any:
        self.asked.append(("read", stream_id, owner, cursor))
        if self.reads is not None:
            raise self.reads
        log = self.looks[-1]
        if log is None:
            return None
        return log, ScriptedReader(stream_id, cursor + 1, self.events[cursor:], log.end)

    def leave(self, _reader: Any) -> None:
        self.left += 1

    async def whole(self, _log: LogState) -> list[bytes]:
        return self.events

    async def stop(self, stream_id: str, owner: str) -> bool:
        self.asked.append(("stop", stream_id, owner))
        if isinstance(self.stops, Exception):
            raise self.stops
        return bool(self.stops)

    async def is_dead(self, _log: LogState) -> bool:
        return self.dead

    async def _end_orphan(self, stream_id: str) -> bool:
        self.asked.append(("end_orphan", stream_id))
        return True

    def calls(self, name: str) -> list[tuple[Any, ...]]:
        """What was asked by this name."""
        return [asked for asked in self.asked if asked[0] == name]

    def serve(self, worker: Worker, readers: int = 2) -> ResumableStreams:
        """Let this worker serve these logs."""
        resumables = ResumableStreams(worker.state.settings, cast("Any", self), readers)
        worker.state.resumables = resumables
        return resumables
