"""Usage asked for on the client's behalf, and upstreams that refuse the field."""

from __future__ import annotations

import gzip
from dataclasses import replace

import pytest

from proxy.upstream.body_edit import BodyEdit
from proxy.upstream.call import Call
from proxy.upstream.stream_options_refusals import REMEMBERED_SECONDS, StreamOptionsRefusals
from proxy.upstream.targets import Target
from proxy.upstream.upstream_url import BaseUrl
from tests.upstream.kit import GOOD, Counts, ask, call, new_record, opened, upstream, whole
from tests.upstream.peer import Peer, plain, serves

ADDED = b'"stream_options":{"include_usage":true},'
WITHOUT = b'{"model":"m"}'
WITH = b"{" + ADDED + WITHOUT[1:]
REFUSAL = b'{"error":{"message":"Unrecognized request argument: stream_options"}}'
OTHER = b'{"error":{"message":"temperature is too high"}}'


def asked(model: str = "m") -> Call:
    """A call with usage added."""
    return replace(call(model, WITHOUT), added_usage=BodyEdit(1, 1, ADDED))


def refusal(status: str, body: bytes = REFUSAL, **fields: str) -> bytes:
    """An upstream's refusal."""
    return plain(body, status, {"Content-Type": "application/json", **fields})


@pytest.mark.parametrize(
    "body",
    [
        refusal("400 Bad Request"),
        refusal("422 Unprocessable Entity"),
        refusal("400 Bad Request", b'{"detail":[{"loc":["body","include_usage"]}]}'),
        refusal("400 Bad Request", gzip.compress(REFUSAL), **{"Content-Encoding": "gzip"}),
    ],
)
async def test_a_refusal_of_what_was_added_is_not_the_clients(body: bytes) -> None:
    """The request goes again without the field, as no retry, and the next ones go without."""
    counts = Counts()
    async with Peer(serves(body, GOOD)) as peer, opened(peer) as upstreams:
        upstreams.observe(counts)
        record = new_record()
        response = await ask(upstreams, asked(), record)
        assert (response.status, await whole(response)) == (200, b"data: 1\n\n")
        assert peer.bodies == [WITH, WITHOUT]
        assert not record.hides_usage
        assert record.attempts == 1
        assert counts.heard == []
        assert await whole(await ask(upstreams, asked())) == b"data: 1\n\n"
        assert peer.bodies[2:] == [WITHOUT]


async def test_without_retries_it_is_asked_again_all_the_same() -> None:
    """A refused request was not begun, whatever SLUICE_RETRIES says."""
    async with (
        Peer(serves(refusal("400 Bad Request"), GOOD)) as peer,
        opened(peer, retries=0) as upstreams,
    ):
        assert await whole(await ask(upstreams, asked())) == b"data: 1\n\n"


@pytest.mark.parametrize(
    "body",
    [
        refusal("400 Bad Request", OTHER),
        refusal("404 Not Found"),
        refusal("422 Unprocessable Entity", b""),
        refusal("400 Bad Request", b"x" * 300_000),
    ],
)
async def test_another_refusal_is_the_clients(body: bytes) -> None:
    """Its status and its whole body pass, and nothing is asked twice."""
    async with Peer(serves(body)) as peer, opened(peer) as upstreams:
        response = await ask(upstreams, asked())
        assert response.status in {400, 404, 422}
        assert await whole(response) == body.partition(b"\r\n\r\n")[2]
        assert peer.bodies == [WITH]


async def test_what_the_client_asked_for_itself_is_its_own() -> None:
    """Its refusal is the client's to see."""
    async with Peer(serves(refusal("400 Bad Request"))) as peer, opened(peer) as upstreams:
        response = await ask(upstreams, call(body=WITH))
        assert (response.status, await whole(response)) == (400, REFUSAL)
        assert len(peer.bodies) == 1


async def test_it_is_remembered_by_upstream_and_model() -> None:
    """Another model of the same upstream is asked as before."""
    async with (
        Peer(serves(refusal("400 Bad Request"), GOOD)) as peer,
        opened(peer) as upstreams,
    ):
        await whole(await ask(upstreams, asked()))
        record = new_record()
        await whole(await ask(upstreams, asked("other"), record))
        assert peer.bodies[2:] == [WITH]
        assert record.hides_usage


@pytest.mark.parametrize(("common", "own", "sent"), [(True, False, WITHOUT), (False, True, WITH)])
async def test_an_upstream_has_a_word_of_its_own(common: bool, own: bool, sent: bytes) -> None:
    """Its `include_usage` stands above the common setting."""
    async with (
        Peer(serves(GOOD)) as peer,
        opened(upstream("a", peer, include_usage=own), include_usage=common) as upstreams,
    ):
        record = new_record()
        assert upstreams.asks_for_usage is own
        await whole(await ask(upstreams, asked(), record))
        assert peer.bodies == [sent]
        assert record.hides_usage is own


def test_a_refusal_is_forgotten_in_time() -> None:
    """An upstream that learned the field is asked again; few names are kept."""
    now = 0.0
    refusals = StreamOptionsRefusals(lambda: now)
    target = Target("a", BaseUrl.of("http://h"))
    refusals.remember(target, "m")
    assert not refusals.may_ask(target, "m")
    now = REMEMBERED_SECONDS
    assert refusals.may_ask(target, "m")
    for number in range(2000):
        refusals.remember(target, f"m{number}")
    assert refusals.may_ask(target, "m0")
    assert not refusals.may_ask(target, "m1999")
    assert not refusals.may_ask(replace(target, include_usage=False), "new")
