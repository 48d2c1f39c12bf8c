from __future__ import annotations

from bench.guard.hot_path import pass_through


async def test_tokens_through_the_worker_s_own_code() -> None:
    """All bytes come out, so what is counted is the whole path."""
    few, many = await pass_through(10), await pass_through(30)
    assert many > 2 * few
