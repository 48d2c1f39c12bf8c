"""From a call to an answer, against scripted peers on real sockets."""

from __future__ import annotations

import asyncio
import time

import pytest
from pydantic import HttpUrl, SecretStr

from proxy import errors
from proxy.settings import Settings
from proxy.upstream.response import UpstreamResponse
from proxy.upstream.upstreams import Upstreams
from tests.upstream.kit import (
    BUSY,
    GOOD,
    OVERLOADED,
    Counts,
    ask,
    call,
    new_record,
    opened,
    upstream,
    whole,
)
from tests.upstream.peer import (
    DEADLINE,
    EVENTS,
    LAST_CHUNK,
    Connection,
    Peer,
    chunk,
    plain,
    says,
    serves,
)


@pytest.mark.parametrize(
    ("first", "reason"),
    [
        (plain(b"", "408 Request Timeout"), "status_408"),
        (plain(b"", "429 Too Many Requests"), "status_429"),
        (plain(b"", "502 Bad Gateway"), "status_502"),
        (plain(b"", "503 Service Unavailable"), "status_503"),
        (plain(b"", "504 Gateway Timeout"), "status_504"),
        (plain(b"", "529 Site is overloaded"), "status_529"),
        (OVERLOADED, "upstream_overloaded"),
    ],
)
async def test_a_passing_failure_is_tried_again(first: bytes, reason: str) -> None:
    """The client sees the good second answer and nothing of the first."""
    counts, record = Counts(), new_record()
    async with Peer(serves(first, GOOD), serves(GOOD)) as peer, opened(peer) as upstreams:
        upstreams.observe(counts)
        assert await whole(await ask(upstreams, record=record)) == b"data: 1\n\n"
        assert peer.bodies == [b'{"model":"m"}'] * 2
    assert record.attempts == 2
    assert counts.heard == [("retried", "default", reason)]


async def test_each_attempt_is_written_down() -> None:
    """Which upstream, what came of it, how long it took, and what the upstream calls it."""
    busy = plain(b"busy", "503 Service Unavailable", {"Retry-After": "0", "request-id": "req_1"})
    late = plain(b"late", "200 OK", {"X-Request-ID": "req_2"})
    async with Peer(serves(busy, OVERLOADED, late)) as peer, opened(peer) as upstreams:
        record = new_record()
        await whole(await ask(upstreams, record=record))
    assert [
        (attempt.upstream, attempt.status, attempt.error, attempt.request_id)
        for attempt in record.tries
    ] == [
        ("default", 503, "", "req_1"),
        ("default", 200, "upstream_overloaded", ""),
        ("default", 200, "", "req_2"),
    ]
    assert all(0 <= attempt.seconds < 60 for attempt in record.tries)
    assert record.upstream_request_id == "req_2"


async def test_an_attempt_that_reached_nobody_is_written_down_too() -> None:
    """With the error in the place of a status."""
    settings = {"retries": 1, "upstream_url": "http://127.0.0.1:9"}
    async with Upstreams(Settings.model_validate(settings)) as upstreams:
        record = new_record()
        with pytest.raises(errors.ConnectFailed):
            await ask(upstreams, record=record)
    assert [(attempt.status, attempt.error) for attempt in record.tries] == [
        (None, "upstream_unreachable")
    ] * 2


async def test_an_attempt_that_a_leaving_client_ended_is_written_down_too() -> None:
    """Nobody failed; it says so."""
    async with Peer(says()) as peer, opened(peer) as upstreams:
        record = new_record()
        asking = asyncio.create_task(ask(upstreams, record=record))
        while record.connected_at is None:
            await asyncio.sleep(0.005)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
    assert [(attempt.upstream, attempt.error) for attempt in record.tries] == [
        ("default", "cancelled")
    ]


async def test_a_reset_without_an_answer_is_tried_again() -> None:
    """A new connection that dies before any byte of an answer costs one retry."""
    async with Peer(says(then="reset"), says(GOOD)) as peer, opened(peer) as upstreams:
        assert await whole(await ask(upstreams)) == b"data: 1\n\n"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422, 500, 501])
async def test_a_lasting_failure_is_handed_on(status: int) -> None:
    """The upstream's own status and body reach the caller after one attempt."""
    refusal = plain(b'{"error":1}', f"{status} No")
    async with Peer(serves(refusal, GOOD)) as peer, opened(peer) as upstreams:
        response = await ask(upstreams)
        assert response.status == status
        assert await whole(response) == b'{"error":1}'
        assert len(peer.heads) == 1


async def test_a_500_is_tried_again_if_the_operator_says_so() -> None:
    """SLUICE_RETRY_ON_500."""
    failed = plain(b"", "500 Oops")
    async with Peer(serves(failed, GOOD)) as peer, opened(peer, retry_on_500=True) as upstreams:
        assert await whole(await ask(upstreams)) == b"data: 1\n\n"


async def test_when_attempts_run_out_the_upstreams_own_words_reach_the_client() -> None:
    """Status, body, Retry-After and rate-limit headers of the last refusal."""
    limits = {"Retry-After": "0", "x-ratelimit-remaining-requests": "0"}
    refusal = plain(b"slow down", "429 Too Many Requests", limits)
    record = new_record()
    async with Peer(serves(refusal)) as peer, opened(peer, retries=1) as upstreams:
        response = await ask(upstreams, record=record)
        assert (response.status, response.reason) == (429, "Too Many Requests")
        assert limits.items() <= dict(response.headers).items()
        assert await whole(response) == b"slow down"
        assert len(peer.heads) == 2
        assert peer.accepted == 1, "a refusal read whole keeps its connection"
    assert (record.attempts, record.upstream_status) == (2, 429)


async def test_an_upstreams_refusal_is_worth_more_than_a_lost_connection() -> None:
    """If the last attempt meets no upstream, the refusal before it goes to the client."""
    record = new_record()

    async def once(connection: Connection) -> None:
        await connection.request()
        await connection.say(BUSY)

    async with Peer(once, says(then="reset")) as peer, opened(peer, retries=1) as upstreams:
        response = await ask(upstreams, record=record)
        assert (response.status, await whole(response)) == (503, b"busy")
    assert (record.attempts, record.upstream_status) == (2, 503)


async def test_an_unreachable_upstream_is_an_error_of_ours() -> None:
    """After all attempts, the last one's error says what happened."""
    async with Peer(says()) as gone:
        url = gone.url
    record = new_record()
    settings = Settings.model_validate({"upstream_url": url, "retries": 1})
    async with Upstreams(settings) as upstreams:
        with pytest.raises(errors.ConnectFailed):
            await ask(upstreams, record=record)
    assert record.attempts == 2


async def test_a_pause_beyond_the_cap_ends_the_attempts() -> None:
    """The client gets the 429 at once, with the upstream's own Retry-After."""
    refusal = plain(b"", "429 Too Many Requests", {"Retry-After": "60"})
    async with Peer(serves(refusal, GOOD)) as peer, opened(peer) as upstreams:
        response = await ask(upstreams)
        assert response.headers["Retry-After"] == "60"
        await whole(response)
        assert len(peer.heads) == 1


async def test_a_pause_within_the_cap_is_kept() -> None:
    """`retry-after-ms` is waited for before the same upstream is asked again."""
    refusal = plain(b"", "429 Too Many Requests", {"retry-after-ms": "300"})
    async with Peer(serves(refusal, GOOD)) as peer, opened(peer) as upstreams:
        began = time.monotonic()
        assert await whole(await ask(upstreams)) == b"data: 1\n\n"
        assert time.monotonic() - began >= 0.3


async def test_a_caller_that_leaves_during_the_backoff_leaves_nothing() -> None:
    """Between two attempts nothing is open."""
    refusal = plain(b"", "503 Service Unavailable", {"Retry-After": "5"})
    async with Peer(serves(refusal, GOOD)) as peer, opened(peer) as upstreams:
        task = asyncio.create_task(ask(upstreams))
        async with asyncio.timeout(DEADLINE):
            while not peer.heads or upstreams.status()[0]["streams"]:
                await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(peer.heads) == 1


async def test_nothing_is_tried_again_after_the_commit() -> None:
    """The attempt under way goes on, but its failure is final, and handed out as it comes."""
    record = new_record()
    refusal = plain(b"x" * 1_000_000, "503 Service Unavailable")

    async def script(connection: Connection) -> None:
        await connection.request()
        record.committed_at = time.monotonic()
        await connection.say(refusal)
        await connection.left()

    async with Peer(script, serves(GOOD)) as peer, opened(peer) as upstreams:
        response = await ask(upstreams, record=record)
        assert (response.status, len(await whole(response))) == (503, 1_000_000)
        assert len(peer.heads) == 1


async def test_the_commit_ends_the_backoff() -> None:
    """A commit between two attempts leaves the refusal as the last word."""
    record = new_record()
    refusal = plain(b"later", "503 Service Unavailable", {"Retry-After": "9"})
    async with Peer(serves(refusal, GOOD)) as peer, opened(peer) as upstreams:
        task = asyncio.create_task(ask(upstreams, record=record))
        async with asyncio.timeout(DEADLINE):
            while not peer.heads or upstreams.status()[0]["streams"]:
                await asyncio.sleep(0.01)
            record.committed_at = time.monotonic()
            response = await task
        assert (response.status, await whole(response)) == (503, b"later")


async def test_a_sibling_is_asked_before_the_same_again() -> None:
    """A failure moves the request on at once, however long the first one wants to pause."""
    refusal = plain(b"", "503 Service Unavailable", {"Retry-After": "5"})
    counts, record = Counts(), new_record()
    async with Peer(serves(refusal)) as bad, Peer(serves(GOOD)) as good:
        both = upstream("bad", bad, priority=0), upstream("good", good, priority=1)
        async with opened(*both) as upstreams:
            upstreams.observe(counts)
            began = time.monotonic()
            assert await whole(await ask(upstreams, record=record)) == b"data: 1\n\n"
            assert time.monotonic() - began < 1.0
            assert record.upstream == "good"
            assert upstreams.status()[0]["benched_for_seconds"] == pytest.approx(5, abs=1)
            await whole(await ask(upstreams))
            assert len(bad.heads) == 1, "an upstream that cools down is left alone"
    assert counts.heard == [("retried", "bad", "status_503")]


async def test_the_model_decides_who_is_asked_and_by_which_name() -> None:
    """Globs choose the upstream, its own name for the model and its own key go along."""
    async with Peer(serves(GOOD)) as one, Peer(serves(GOOD)) as other:
        both = (
            upstream("one", one, models=["claude-*"]),
            upstream("two", other, models=["x"], rename={"gpt-4": "llama"}, api_key="own"),
        )
        async with opened(*both) as upstreams:
            await whole(await ask(upstreams, call("gpt-4", b'{"model":"gpt-4"}')))
            assert (other.bodies, one.bodies) == ([b'{"model":"llama"}'], [])
            assert b"Authorization: Bearer own" in other.heads[0]
            await whole(await ask(upstreams, call("claude-3")))
            assert len(one.bodies) == 1
            with pytest.raises(errors.NotFound, match="'gpt-5'"):
                await ask(upstreams, call("gpt-5"))


async def test_a_full_upstream_overflows_to_the_next_tier_and_then_sheds() -> None:
    """`max_streams` is never exceeded."""
    running = says(EVENTS + chunk(b"data: 1\n\n"))
    async with Peer(running) as one, Peer(running) as other:
        both = (
            upstream("one", one, max_streams=1),
            upstream("two", other, max_streams=1, priority=1),
        )
        async with opened(*both) as upstreams:
            first, second = await ask(upstreams), await ask(upstreams)
            assert (first.upstream, second.upstream) == ("one", "two")
            assert [state["streams"] for state in upstreams.status()] == [1, 1]
            with pytest.raises(errors.Overloaded):
                await ask(upstreams)
            first.close()
            second.close()


async def test_an_upstream_that_keeps_failing_is_left_out_and_comes_back() -> None:
    """Ejected after so many failures, probed by one request after its time, then back."""
    counts = Counts()
    broken = True

    async def flaky(connection: Connection) -> None:
        while True:
            await connection.request()
            await connection.say(BUSY if broken else GOOD)

    async with Peer(flaky) as bad, Peer(serves(GOOD)) as good:
        both = upstream("bad", bad), upstream("good", good, priority=1)
        async with opened(*both, eject_after_failures=3, eject_seconds=1) as upstreams:
            upstreams.observe(counts)
            for _ in range(5):
                await whole(await ask(upstreams))
            assert len(bad.heads) == 3
            assert upstreams.status()[0]["state"] == "out"
            broken = False
            async with asyncio.timeout(DEADLINE):
                while upstreams.status()[0]["back_in_seconds"]:
                    await asyncio.sleep(0.02)
            assert (await _closed(await ask(upstreams))).upstream == "bad"
            assert upstreams.status()[0]["state"] == "up"
    assert [count for count in counts.heard if count[0] != "retried"] == [
        ("ejected", "bad"),
        ("returned", "bad"),
    ]


async def _closed(response: UpstreamResponse) -> UpstreamResponse:
    await whole(response)
    return response


async def test_the_last_upstream_is_asked_whatever_it_did() -> None:
    """Alone and ejected, it still gets every request: somebody always stays."""
    async with (
        Peer(serves(BUSY)) as peer,
        opened(peer, retries=0, eject_after_failures=1) as upstreams,
    ):
        for count in range(1, 4):
            await whole(await ask(upstreams))
            assert len(peer.heads) == count


async def test_a_stream_that_is_cut_later_counts_against_its_upstream() -> None:
    """A good beginning does not make up for a bad end."""
    cut = says(EVENTS + chunk(b"data: 1\n\n"), then="close")
    async with Peer(cut) as peer, opened(peer) as upstreams:
        with await ask(upstreams) as response, pytest.raises(errors.UpstreamCut):
            await response.read()
        assert upstreams.status()[0]["failures_in_a_row"] == 1
        upstreams.report_failure("default")
        assert upstreams.status()[0]["failures_in_a_row"] == 2


async def test_retries_stop_when_they_are_a_fifth_of_the_traffic() -> None:
    """An upstream that only fails is asked little more often than it would be without retries."""
    async with Peer(serves(BUSY)) as peer, opened(peer, retries=2) as upstreams:
        for _ in range(40):
            await whole(await ask(upstreams))
        assert len(peer.heads) - 40 <= 10 + 40 / 5 + 1


async def test_own_keys_and_gateway_keys_keep_the_clients_key_in() -> None:
    """A key meant for the gateway, or replaced by the operator's, never reaches an upstream."""
    asked = call()
    asked.headers["Authorization"] = "Bearer client"
    async with Peer(serves(GOOD)) as peer:
        for settings, sent in (
            ({}, b"Bearer client"),
            ({"upstream_api_key": SecretStr("own")}, b"Bearer own"),
            ({"client_keys": {"a": SecretStr("client")}}, None),
        ):
            async with opened(peer, **settings) as upstreams:
                await whole(await ask(upstreams, asked))
            assert (sent or b"Authorization") in peer.heads[-1] if sent else True
            assert sent is not None or b"uthorization" not in peer.heads[-1]


def test_an_upstream_must_be_named() -> None:
    """Without any there is nothing to start."""
    with pytest.raises(ValueError, match="SLUICE_UPSTREAM_URL"):
        Upstreams(Settings())


async def test_a_base_url_with_a_path_is_kept() -> None:
    """The path stands for the client's /v1."""
    async with Peer(serves(GOOD)) as peer:
        settings = {"upstream_url": HttpUrl(f"{peer.url}/openai/v1")}
        async with Upstreams(Settings.model_validate(settings)) as upstreams:
            await whole(await ask(upstreams))
        assert peer.heads[0].startswith(b"POST /openai/v1/chat/completions HTTP/1.1\r\n")


async def test_calls_that_are_left_at_any_moment_leave_nothing() -> None:
    """Hundreds of callers that go away after any number of turns: no stream, socket or task."""

    async def script(connection: Connection) -> None:
        while True:
            await connection.request()
            await connection.say(EVENTS, chunk(b": ping\n\n"), chunk(b"data: 1\n\n"), LAST_CHUNK)

    async def begin(upstreams: Upstreams) -> None:
        await whole(await ask(upstreams))

    async with Peer(serves(BUSY), serves(BUSY, GOOD), script) as peer, opened(peer) as upstreams:
        for turns in range(60):
            running = [asyncio.create_task(begin(upstreams)) for _ in range(5)]
            for task in running:
                for _ in range(turns // 2):
                    await asyncio.sleep(0)
                task.cancel()
            await asyncio.wait(running)
        in_use, kept = upstreams.connections()
        assert in_use == 0
        async with asyncio.timeout(DEADLINE):
            while peer.open != kept:
                await asyncio.sleep(0.01)
        assert len(asyncio.all_tasks()) == 1 + peer.open
