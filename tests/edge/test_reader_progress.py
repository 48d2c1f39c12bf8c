"""How far a stream is, to a reader that may have come from another worker."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any, cast

import pytest

from proxy.edge.reader_progress import ReaderProgress
from proxy.state.error_map import StoreUnavailable
from tests.edge.scripted_logs import COMPLETE, STREAM, ScriptedLogs, log_state

ASKED_AT = 1000.0


class Asked:
    """A reader that began at 1000 s, of a stream whose request began at 990 s."""

    def __init__(self, *looks: Any) -> None:
        self.logs = ScriptedLogs(*looks)
        self.now = ASKED_AT
        resumables = cast("Any", SimpleNamespace(logs=self.logs))
        self.progress = ReaderProgress(resumables, STREAM, "me", clock=lambda: self.now)


def written(elapsed: float, *, ended: bool = False) -> Any:
    """A log whose producer wrote its figures so many seconds after its request."""
    progress = json.dumps({"stage": "generating", "elapsed_seconds": elapsed})
    return log_state(COMPLETE if ended else None, created="990.000", progress=progress)


@pytest.mark.parametrize(("elapsed", "is_told"), [(9.6, False), (10.0, True), (10.4, True)])
async def test_figures_that_are_older_than_the_reader(elapsed: float, is_told: bool) -> None:
    """They are not told: where it read before its connection broke it may have seen newer ones."""
    figures = await Asked(written(elapsed)).progress.figures()
    assert (figures is not None) is is_told


async def test_a_clock_that_is_ahead_of_the_producers() -> None:
    """It keeps figures back for two seconds, in which newer ones were written; not for ever."""
    asked = Asked(written(1.0))
    assert await asked.progress.figures() is None
    asked.now += 2.0
    assert await asked.progress.figures() == {"stage": "generating", "elapsed_seconds": 1.0}


async def test_after_its_end() -> None:
    """There are no newer ones."""
    assert await Asked(written(1.0, ended=True)).progress.figures() is not None


async def test_of_a_producer_in_this_worker() -> None:
    """They are those of this moment, and the store is not asked."""
    asked = Asked(written(1.0))
    log = SimpleNamespace(progress=lambda: {"progress": b'{"stage": "thinking"}'})
    asked.logs.writer.running[STREAM] = log
    assert await asked.progress.figures() == {"stage": "thinking"}
    assert asked.logs.asked == []


@pytest.mark.parametrize(
    "look", [None, StoreUnavailable("timeout"), log_state(None, progress="null")]
)
async def test_where_there_are_none(look: Any) -> None:
    """The log has expired, the store is away, or the producer has written none yet."""
    assert await Asked(look).progress.figures() is None
