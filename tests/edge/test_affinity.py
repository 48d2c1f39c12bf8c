"""Who goes on from a response comes to the upstream that made it, where several could be asked."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from proxy.edge import affinity
from proxy.edge.request_context import RequestContext
from proxy.record import Family
from proxy.state.aliases import set_alias
from proxy.state.error_map import StoreUnavailable
from proxy.upstream.call import Call
from tests.state.scripted_store import ScriptedStore

AWAY = StoreUnavailable("timeout")
RESPONSES = "/v1/responses"


def state_with(store: ScriptedStore | None, upstreams: int = 2) -> Any:
    """A worker with so many upstreams, and this store if any."""
    resumables = None if store is None else SimpleNamespace(logs=SimpleNamespace(store=store))
    settings = SimpleNamespace(upstreams=[object()] * upstreams)
    return SimpleNamespace(settings=settings, resumables=resumables)


def asking(path: str = RESPONSES, body: bytes = b"", upstream: str = "") -> RequestContext:
    """A request whose call is about to be made."""
    context = RequestContext.of(make_mocked_request("POST", path))
    call = Call(context.record, path, CIMultiDict(), body, upstream=upstream)
    context.call = call
    return context


def chosen(context: RequestContext) -> str:
    """The upstream that goes before the others."""
    assert context.call is not None
    return context.call.upstream


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (f"{RESPONSES}/resp_1", b""),
        (f"{RESPONSES}/resp_1/input_items?limit=3", b""),
        (RESPONSES, b'{"previous_response_id": "resp_1"}'),
    ],
)
async def test_what_is_about_a_response_goes_where_it_was_made(path: str, body: bytes) -> None:
    """Told by the path, or by the body of what goes on from it."""
    store = ScriptedStore([b"- west"])
    context = asking(path, body)
    await affinity.prefer(state_with(store), context)
    assert chosen(context) == "west"
    [[(command, key)]] = store.asked
    assert (command, key) == ("GET", set_alias("resp_1", "", "")[1])


@pytest.mark.parametrize("answer", [[None], [b"0123 "], AWAY], ids=str)
async def test_a_response_of_which_nothing_is_known(answer: Any) -> None:
    """Any upstream is asked: whichever has it answers, and a store that is away stops nobody."""
    context = asking(f"{RESPONSES}/resp_1")
    await affinity.prefer(state_with(ScriptedStore(answer)), context)
    assert chosen(context) == ""


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (RESPONSES, b"{}"),
        (RESPONSES, b""),
        (RESPONSES, b'{"previous_response_id": 7}'),
        (RESPONSES, b'{"previous_response_id": ""}'),
        (RESPONSES, b'{"previous_response_id": "\xff"}'),
        (RESPONSES, b"[" * 100_000),
        ("/v1/chat/completions", b'{"previous_response_id": "resp_1"}'),
        ("/v1/models", b""),
    ],
)
async def test_what_is_about_no_response(path: str, body: bytes) -> None:
    """The store is not asked, and no body is too odd to be passed on."""
    store = ScriptedStore()
    context = asking(path, body)
    await affinity.prefer(state_with(store), context)
    assert (chosen(context), store.asked) == ("", [])


@pytest.mark.parametrize(
    ("upstreams", "named", "has_store"), [(1, "", True), (2, "east", True), (2, "", False)]
)
async def test_where_there_is_nothing_to_choose(
    upstreams: int, named: str, has_store: bool
) -> None:
    """One upstream, one that the request itself names, or no place to remember any."""
    store = ScriptedStore()
    context = asking(f"{RESPONSES}/resp_1", upstream=named)
    await affinity.prefer(state_with(store if has_store else None, upstreams), context)
    assert (chosen(context), store.asked) == (named, [])


def answered(response_id: str = "resp_1", upstream: str = "west") -> RequestContext:
    """A request whose answer has ended."""
    context = asking()
    context.tally.response_id = response_id
    context.record.upstream = upstream
    return context


async def test_who_made_a_response_is_kept() -> None:
    """Also of one that was no stream; the request does not wait for it."""
    store = ScriptedStore([True])
    affinity.remember(state_with(store), answered())
    assert store.asked == []
    await asyncio.gather(*affinity._sending)
    assert store.asked == [(set_alias("resp_1", "", "west"),)]


async def test_a_store_that_is_away_is_no_defect() -> None:
    """A failure that nobody looked at would be logged as one."""
    unseen: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, seen: unseen.append(seen))
    affinity.remember(state_with(ScriptedStore(AWAY)), answered())
    await asyncio.gather(*affinity._sending, return_exceptions=True)
    await asyncio.sleep(0)
    assert affinity._sending == set()
    assert unseen == []


@pytest.mark.parametrize(
    ("context", "upstreams"),
    [(answered, 1), (lambda: answered(response_id=""), 2), (lambda: answered(upstream=""), 2)],
)
async def test_what_need_not_be_kept(context: Any, upstreams: int) -> None:
    """There is no choice, no id, or nobody who made it."""
    store = ScriptedStore()
    affinity.remember(state_with(store, upstreams), context())
    assert not affinity._sending


async def test_a_stream_that_has_a_log_is_named_by_it() -> None:
    """The log has written the same already, with its own id; a plain alias would hide that."""
    context = answered()
    context.recording = cast("Any", SimpleNamespace(log=object()))
    affinity.remember(state_with(ScriptedStore()), context)
    assert not affinity._sending
    context.recording = cast("Any", SimpleNamespace(log=None))
    affinity.remember(state_with(ScriptedStore([True])), context)
    assert affinity._sending
    await asyncio.gather(*affinity._sending)


async def test_only_responses_are_kept() -> None:
    """A chat completion has an id, too, but nobody goes on from it."""
    context = answered()
    context.record.family = Family.CHAT
    affinity.remember(state_with(ScriptedStore()), context)
    assert not affinity._sending
