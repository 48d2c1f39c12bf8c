"""Which requests get a log, whose it is, and how many may read."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiohttp.test_utils import make_mocked_request

from proxy.edge.auth import Keys
from proxy.edge.recording import Recording
from proxy.edge.request_context import RequestContext
from proxy.edge.resumable_streams import ResumableStreams, open_resumable_streams, owner_of
from proxy.key_settings import KeySettings
from proxy.settings import Settings

CHAT = "/v1/chat/completions"
PLAIN = Settings(upstream_url="http://127.0.0.1:1/v1")


def settings_with(**more: Any) -> Settings:
    return Settings(upstream_url="http://127.0.0.1:1/v1", **more)


def unheard(_reason: str) -> None:
    """Nobody is told of lost logs."""


class Writer:
    """Says when it has written all ends."""

    def __init__(self) -> None:
        self.running = {"a": object()}
        self.flush_seconds: list[float] = []

    async def flushed(self, seconds: float) -> None:
        self.flush_seconds.append(seconds)


def resumables_of(settings: Settings = PLAIN, readers: int = 2) -> ResumableStreams:
    logs = SimpleNamespace(writer=Writer())
    return ResumableStreams(settings, cast("Any", logs), readers)


def recording_for(
    settings: Settings = PLAIN, path: str = CHAT, method: str = "POST", **headers: str
) -> Recording | None:
    """What a request gets that asks so."""
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    context = RequestContext.of(make_mocked_request(method, path, headers=fields))
    return resumables_of(settings).recording_for(context, Keys(settings.all_keys))


@pytest.mark.parametrize("header", ["true", "1", "YES", " true "])
async def test_a_client_asks_for_it(header: str) -> None:
    """By a header of Sluice's own; it is answered as ever, and nothing is detached."""
    recording = recording_for(Sluice_Resumable=header)
    assert recording is not None
    assert not recording.detached


@pytest.mark.parametrize(
    "header", ["respond-async", "Respond-Async", "wait=10, respond-async", "respond-async;a=b, x"]
)
async def test_a_client_asks_to_be_answered_at_once(header: str) -> None:
    """RFC 7240, 4.1; that needs a log, also of who wants no other resumable stream."""
    recording = recording_for(Prefer=header, Sluice_Resumable="false")
    assert recording is not None
    assert recording.detached


@pytest.mark.parametrize("header", ["", "false", "0", "maybe"])
async def test_nobody_asks(header: str) -> None:
    """It is a stream like any other, and costs nothing more."""
    assert recording_for(Sluice_Resumable=header) is None
    assert recording_for(Prefer="respond-asynchronously, no-respond-async") is None


@pytest.mark.parametrize(("path", "method"), [(CHAT, "GET"), ("/v1/files", "POST")])
async def test_what_is_no_stream_of_a_known_family(path: str, method: str) -> None:
    """There would be nothing to go on with."""
    assert recording_for(path=path, method=method, Sluice_Resumable="true") is None
    assert recording_for(settings_with(resumable="all"), path, method) is None


async def test_all_streams_are_kept_but_those_that_must_not_be() -> None:
    """`SLUICE_RESUMABLE=all`, and a client that says no."""
    settings = settings_with(resumable="all")
    assert recording_for(settings) is not None
    assert recording_for(settings, Sluice_Resumable="false") is None


async def test_a_key_whose_streams_are_kept() -> None:
    """And no other's; a key that is refused in a moment is no defect here."""
    keys = (
        KeySettings(name="kept", key="sk-kept", resumable=True),
        KeySettings(name="other", key="sk-other"),
    )
    settings = settings_with(keys=keys)
    assert recording_for(settings, Authorization="Bearer sk-kept") is not None
    assert recording_for(settings, Authorization="Bearer sk-other") is None
    assert recording_for(settings, Authorization="Bearer sk-nobody") is None
    assert recording_for(settings, Authorization="Bearer sk-kept", x_api_key="two") is None


def owner(key: KeySettings | None = None, query: str = "", **headers: str) -> str:
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return owner_of(make_mocked_request("GET", f"/{query}", headers=fields), key)


def test_whose_a_log_is() -> None:
    """Its key's by the key's name; where none are configured, of who shows the same key again.

    The key itself is in no store.
    """
    assert owner(KeySettings(name="team", key="sk-team")) == "key:team"
    own = owner(Authorization="Bearer sk-mine")
    assert own == owner(x_api_key="sk-mine") == owner(query="?key=sk-mine")
    assert own != owner(Authorization="Bearer sk-yours")
    assert "sk-mine" not in own
    assert owner() == "anybody"


def test_a_key_named_like_somebody_else_is_nobody_else() -> None:
    """Neither a name nor a key can be chosen so that it opens another's logs."""
    plain, named = owner(), owner(KeySettings(name="anybody", key="sk-team"))
    assert len({plain, named, owner(Authorization="Bearer key:anybody")}) == 3


async def test_readers_have_a_bound() -> None:
    """One more is refused until one has left."""
    resumables = resumables_of(readers=2)
    assert [resumables.begin_reading() for _ in range(3)] == [True, True, False]
    assert resumables.levels() == (1, 2)
    resumables.end_reading()
    assert resumables.begin_reading()


async def test_a_worker_that_stops_waits_for_its_readers() -> None:
    """First all ends are written, so that they can be read; then every reader is sent away."""
    resumables = resumables_of()
    writer: Any = resumables.logs.writer
    resumables.begin_reading()
    resumables.begin_reading()
    closing = asyncio.create_task(resumables.close())
    await asyncio.sleep(0)
    assert writer.flush_seconds
    assert resumables.closing
    resumables.end_reading()
    await asyncio.sleep(0)
    assert not closing.done()
    resumables.end_reading()
    await asyncio.wait_for(closing, 20)


@pytest.mark.parametrize(("policy", "grace"), [("drain", None), ("grace", 7.0), ("cancel", 7.0)])
async def test_how_long_a_stream_goes_on_without_a_reader(policy: str, grace: Any) -> None:
    """To its end where the operator wants answers whole; else for the grace time."""
    settings = settings_with(on_client_left=policy, grace_seconds=7.0)
    assert resumables_of(settings).grace_seconds == grace


@pytest.mark.parametrize(
    "more",
    [{}, {"store_url": "off"}, {"store_url": "unix:///nowhere", "resumable": "off"}],
    ids=str,
)
async def test_where_there_can_be_no_logs(more: dict[str, str]) -> None:
    """Off, or without a store: nothing is opened, and no request is asked about it."""
    settings = settings_with(**more)
    async with open_resumable_streams(settings, unheard, index=0, workers=1) as resumables:
        assert resumables is None


async def test_a_store_that_is_away_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker starts without it, and each worker has its share of the readers, one at least."""
    monkeypatch.setattr("proxy.edge.resumable_streams._FIRST_CONNECTION_SECONDS", 0.01)
    settings = settings_with(store_url="unix:///nowhere/store.sock", resume_readers=3)
    for index, readers in ((0, 1), (3, 1)):
        async with open_resumable_streams(settings, unheard, index=index, workers=4) as resumables:
            assert resumables is not None
            assert resumables.max_readers == readers
            assert not resumables.logs.store.available
