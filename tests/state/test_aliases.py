"""What is known under a response's id, and answers a question."""

from __future__ import annotations

import pytest

from proxy.state.aliases import (
    KEPT_SECONDS,
    Alias,
    delete_question,
    get_alias,
    set_alias,
    set_question,
    stream_of_question,
)
from proxy.state.error_map import StoreUnavailable
from tests.state.scripted_store import ScriptedStore, as_store


@pytest.mark.parametrize("stream", ["0" * 32, ""])
async def test_what_was_kept_is_found(stream: str) -> None:
    """With its stream's log or, where it has none, with the upstream alone."""
    command = set_alias("resp_1", stream, "an-upstream")
    store = ScriptedStore([str(command[2]).encode()])
    assert await get_alias(as_store(store), "resp_1") == Alias(stream, "an-upstream")
    [(got, key)] = store.asked[0]
    assert (got, key) == ("GET", command[1])


def test_it_is_kept_for_a_day() -> None:
    """Longer than any client waits, and not for ever."""
    assert set_alias("resp_1", "", "a")[-2:] == ("EX", KEPT_SECONDS)
    assert set_question("question", "0" * 32, 7)[-2:] == ("EX", 7)


@pytest.mark.parametrize("stored", [None, 5])
async def test_what_was_never_kept_is_not_made_up(stored: object) -> None:
    """Neither of an id nor of a question."""
    assert await get_alias(as_store(ScriptedStore([stored])), "resp_1") is None
    assert await stream_of_question(as_store(ScriptedStore([stored])), "question") is None


async def test_a_question_that_has_been_answered_is_forgotten() -> None:
    """Under the key that it was kept by; a response of the same name is another thing."""
    kept, forgotten = set_question("x", "0" * 32, 7), delete_question("x")
    assert kept[1] == forgotten[1] != set_alias("x", "", "a")[1]
    assert await stream_of_question(as_store(ScriptedStore([b"0" * 32])), "x") == "0" * 32


@pytest.mark.parametrize("name", ["{hash}tag", "a\r\nDEL *", "\udcff", "x" * 10_000, ""])
def test_whatever_a_client_calls_it_is_a_short_key(name: str) -> None:
    """Nothing of it stands in the key, and it chooses no node of a cluster."""
    key = str(delete_question(name)[1])
    assert len(key) < 80
    assert key.isascii()
    assert not name or name not in key


async def test_a_store_that_is_away_is_told_of() -> None:
    """Who asks decides what that means."""
    with pytest.raises(StoreUnavailable):
        await get_alias(as_store(ScriptedStore(StoreUnavailable("timeout"))), "resp_1")
