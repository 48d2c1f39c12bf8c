from __future__ import annotations

import asyncio

import pytest

from proxy.demo.recorded_calls import DemoState, RecordedCall


async def begun(state: DemoState, run: str = "") -> RecordedCall:
    """Begin a call."""
    return state.begin("POST", "/v1/chat/completions", run)


@pytest.mark.parametrize("ended_by", ["finished", "left", "fault"])
async def test_each_call_ends_in_one_counter(ended_by: str) -> None:
    """A call is open until it ends, and then counted once by how it ended."""
    state = DemoState()
    call = await begun(state)
    assert (state.seen, len(state.open)) == (1, 1)
    call.ended_by = ended_by
    state.end(call)
    counted = {"finished": state.finished, "left": state.left, "fault": state.faults}
    assert counted == {name: int(name == ended_by) for name in counted}
    assert not state.open
    assert call.ended_at is not None


async def test_attempts_are_counted_by_run() -> None:
    """Runs do not share their count."""
    state = DemoState()
    assert [state.attempt(run) for run in ("a", "a", "b", "a")] == [1, 2, 1, 3]


async def test_runs_are_forgotten_some_day() -> None:
    """The oldest of very many runs begins anew, so that memory stays bounded."""
    state = DemoState()
    state.attempt("first")
    for number in range(10_000):
        state.attempt(str(number))
    assert state.attempt("first") == 1


async def test_calls_are_remembered_up_to_a_bound() -> None:
    """Only the latest calls are kept; the counters know them all."""
    state = DemoState()
    for _ in range(2_100):
        state.end(await begun(state))
    assert (state.seen, len(state.calls)) == (2_100, 2_000)


async def test_waiting_for_something_to_come_true() -> None:
    """Who waits is woken by the change, and told when it does not come."""
    state = DemoState()
    call = await begun(state)
    waiting = asyncio.ensure_future(state.until(lambda now: now.calls[0].events >= 2))
    await asyncio.sleep(0)
    call.sent(10, 1)
    assert not waiting.done()
    call.sent(10, 1)
    await waiting
    await state.until(lambda now: now.seen == 1)
    with pytest.raises(TimeoutError):
        await state.until(lambda now: now.seen == 2, 0.01)
    assert not state.watched


async def test_forgetting() -> None:
    """Reset clears all but the calls that are still open."""
    state = DemoState()
    call = await begun(state, "a")
    state.end(await begun(state))
    state.attempt("a")
    state.reset()
    assert (state.seen, list(state.calls), state.attempt("a")) == (0, [call], 1)


async def test_what_is_shown() -> None:
    """The picture is plain values, for one run if asked."""
    state = DemoState()
    await begun(state, "a")
    await begun(state, "b")
    shown = state.as_dict("a")
    assert (shown["seen"], shown["open"], len(shown["calls"])) == (2, 2, 1)
    assert shown["calls"][0]["run"] == "a"
    assert "task" not in shown["calls"][0]
    assert "state" not in shown["calls"][0]
