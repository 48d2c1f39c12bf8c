"""A stream's state as a document."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

from proxy.edge.stream_status import describe
from proxy.state.log_entry import End, EntryId
from proxy.state.stream_logs import LogState

CHUNK = (
    b'data: {"object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\n'
)


class Logs:
    """Has one whole stream, and perhaps its producer."""

    def __init__(self, running: dict[str, Any]) -> None:
        self.writer = SimpleNamespace(running=running)

    async def whole(self, _log: LogState) -> list[bytes]:
        return [CHUNK]


def state(first: int = 1, end: End | None = None, **progress: Any) -> LogState:
    header = {"family": "chat", "progress": json.dumps(progress)}
    if end is not None:
        header["ended"] = end.encoded()
    return LogState("s", header, first, EntryId(2))


async def described(log: LogState, **running: Any) -> dict[str, Any]:
    resumables: Any = SimpleNamespace(logs=Logs(running))
    return await describe(resumables, log)


async def test_one_that_waits_says_its_place() -> None:
    """Once, and not among the figures."""
    document = await described(state(stage="queued", place=3))
    assert (document["status"], document["place"]) == ("queued", 3)
    assert "place" not in document["figures"]
    assert "response" not in document


async def test_one_that_has_ended_has_the_whole_answer() -> None:
    """And the figures that its producer wrote at the end."""
    end = End("complete", whole=True, figures={"tokens": 1})
    document = await described(state(end=end, stage="generating", place=2))
    assert (document["status"], document["ended_by"]) == ("ended", "complete")
    assert document["figures"] == {"tokens": 1}
    assert document["response"]["choices"][0]["message"]["content"] == "Hi"
    assert "place" not in document


async def test_half_an_answer_is_not_shown_as_one() -> None:
    """Neither one that was cut nor one whose beginning has been dropped."""
    cut = await described(state(end=End("upstream_cut", "upstream_cut")))
    assert cut["error"] == "upstream_cut"
    assert "response" not in cut
    dropped = await described(state(first=2, end=End("complete")))
    assert "response" not in dropped
    assert dropped["first_event"] == 2


async def test_a_producer_in_this_worker_knows_better_than_the_store() -> None:
    """What the store has of it is up to half a second old."""
    newer = SimpleNamespace(progress=lambda: {"progress": json.dumps({"stage": "generating"})})
    assert (await described(state(stage="queued"), s=newer))["status"] == "generating"


async def test_it_has_not_ended_before_its_end_is_in_the_log() -> None:
    """Whoever saw the end would look for the answer in vain."""
    assert (await described(state(stage="ended")))["status"] == "generating"
