"""How much the logs of a worker have grown is told once, also where the store is away meanwhile."""

from __future__ import annotations

from proxy.state.error_map import StoreUnavailable
from proxy.state.log_quota import LogQuota
from proxy.state.produced_log import ProducedLog
from tests.state.scripted_store import ScriptedStore, as_store
from tests.state.test_produced_log import Owner

AWAY = StoreUnavailable("timeout")


def log_with(stream_id: str, size: int) -> ProducedLog:
    """A log of which the store has so many bytes."""
    log = ProducedLog(Owner(), stream_id, 10**6)
    log.kept_bytes = size
    return log


async def test_only_what_is_new_is_told() -> None:
    """A log that shrank by its own bound counts less."""
    store = ScriptedStore([], [], [])
    quota, log = LogQuota(as_store(store), 500), log_with("a", 10)
    for size in (10, 30, 25):
        log.kept_bytes = size
        await quota.report([log], 60)
    assert [asked[1] for asked in store.asked] == [
        (500, "a", 10, 60),
        (500, "a", 20, 60),
        (500, "a", -5, 60),
    ]


async def test_nothing_is_asked_where_there_is_no_log() -> None:
    """An idle worker costs the store nothing."""
    store = ScriptedStore()
    await LogQuota(as_store(store), 500).report([], 60)
    assert store.asked == []


async def test_what_the_store_has_not_heard_is_told_again() -> None:
    """Of logs that run and of those that ended; once it has heard, no more."""
    store = ScriptedStore(AWAY, [], [])
    quota, running, ended = LogQuota(as_store(store), 500), log_with("a", 10), log_with("b", 7)
    quota.ended(ended, 99)
    quota.prolonged("c", 98)
    for _ in range(2):
        await quota.report([running], 60)
    expected = (500, "a", 10, 60, "b", 7, 99, "c", 0, 98)
    assert [asked[1] for asked in store.asked] == [expected, expected]
    await quota.report([running], 60)
    assert store.asked[-1][1] == (500, "a", 0, 60)


async def test_the_oldest_logs_make_room() -> None:
    """Each that the store names is trimmed; one that cannot be now expires by itself."""
    store = ScriptedStore([b"x", b"y"], AWAY, None)
    await LogQuota(as_store(store), 500).report([log_with("a", 10)], 60)
    assert ["{s:x}" in asked[0][0] or "{s:y}" in asked[0][0] for asked in store.asked[1:]] == [
        True,
        True,
    ]
