"""New settings in a running worker: all of them, or none."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict

from proxy.edge.worker_reload import apply
from proxy.edge.worker_state import WorkerState, open_worker_state
from proxy.errors import NotAuthorized
from proxy.meter.prices import PricesError
from proxy.settings import Settings

A = {"name": "a", "url": "http://127.0.0.1:9/v1", "probe_path": "/up"}
B = {"name": "b", "url": "http://127.0.0.1:10/v1"}


def made(*upstreams: dict[str, str], key: str, **more: object) -> Settings:
    return Settings(upstreams=upstreams, client_keys={"me": key}, **more)


def called(state: WorkerState, key: str) -> str:
    matched = state.keys.key_of(CIMultiDict({"X-Api-Key": key}), CIMultiDict())
    assert matched is not None
    return matched.name


async def test_all_parts_are_swapped() -> None:
    """An upstream that stays keeps its standing; one that is gone may still be reported on."""
    async with open_worker_state(made(A, B, key="old")) as state:
        for _ in range(5):
            state.upstreams.report_failure("a")
        await apply(state, made(A, key="new"))
        (left,) = state.upstreams.status()
        assert (left["name"], left["state"]) == ("a", "out")
        state.upstreams.report_failure("b")
        state.upstreams.report_success("b")
        assert called(state, "new") == "me"
        with pytest.raises(NotAuthorized):
            called(state, "old")


async def test_an_address_that_moved_is_judged_anew() -> None:
    """It is another server under the same name."""
    async with open_worker_state(made(B, key="k")) as state:
        for _ in range(5):
            state.upstreams.report_failure("b")
        await apply(state, made({**B, "url": "http://127.0.0.1:11/v1"}, key="k"))
        (moved,) = state.upstreams.status()
        assert moved["state"] == "up"


async def test_what_cannot_be_made_changes_nothing() -> None:
    """Prices or a CA that are not there: the keys stay the old ones, too."""
    async with open_worker_state(made(A, key="old")) as state:
        with pytest.raises(PricesError):
            await apply(state, made(B, key="new", prices="/nowhere.toml"))
        tls = {**B, "url": "https://127.0.0.1:10/v1", "ca": "/nowhere.pem"}
        with pytest.raises(ValueError, match="SLUICE_UPSTREAMS, b: ca: '/nowhere.pem' cannot be"):
            await apply(state, made(tls, key="new"))
        assert [upstream["name"] for upstream in state.upstreams.status()] == ["a"]
        assert called(state, "old") == "me"
