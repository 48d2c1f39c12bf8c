"""Another attempt is made where it may help and cannot harm; else the upstream's word stands."""

from __future__ import annotations

import asyncio
import hashlib
import json
import uuid

import pytest

from proxy.upstream import retry
from tests.integration.conftest import StartWorker
from tests.integration.faults.asking import ASKINGS, CHAT, Asking
from tests.integration.faults.recorder import RecordedRequest, Recorder, for_each
from tests.integration.raw import exchange, request

AT_ONCE = "retry-after=0"
PASSING = [
    "refuse",
    "reset",
    *(f"status={status};{AT_ONCE}" for status in (408, 429, 502, 503, 504, 529)),
    "overloaded",
]
LASTING = [400, 401, 403, 404, 413, 422, 500, 501]


@pytest.mark.parametrize("words", PASSING)
async def test_what_passes_is_tried_again(
    start_every: StartWorker, recorder: Recorder, words: str
) -> None:
    """The first attempt fails, the second is whole; the client sees only that one."""
    front = await start_every(retries=2)

    async def check(asking: Asking) -> None:
        recorded = await recorder.ask(front, asking, f"seed=same;fail=1;{words}")
        assert recorded.outcome == (200, "complete", "")
        assert recorded.answer.body == await recorder.healthy(asking, "seed=same")
        assert len(recorded.calls) == 2

    await for_each(ASKINGS, check)


@pytest.mark.parametrize("status", LASTING)
async def test_what_does_not_pass_is_not_tried_again(
    start_every: StartWorker, recorder: Recorder, status: int
) -> None:
    """A mistake of the client's stays one; a 500 may have done its work already."""
    front = await start_every(retries=3)

    async def check(asking: Asking) -> None:
        recorded = await recorder.ask(front, asking, f"status={status}")
        assert recorded.outcome == (status, "complete", "")
        assert len(recorded.calls) == 1

    await for_each(ASKINGS, check)


async def test_a_500_is_tried_again_where_the_operator_says_so(
    start_every: StartWorker, recorder: Recorder
) -> None:
    """By `SLUICE_RETRY_ON_500`."""
    front = await start_every(retry_on_500=True)
    recorded = await recorder.ask(front, CHAT, "fail=1;status=500")
    assert (recorded.outcome, len(recorded.calls)) == ((200, "complete", ""), 2)


@pytest.mark.parametrize("status", [429, 503, 529])
async def test_given_up(start_every: StartWorker, recorder: Recorder, status: int) -> None:
    """The last word is the upstream's own: status, body, and all that says when to come again."""
    front = await start_every(retries=1)

    async def check(asking: Asking) -> None:
        recorded = await recorder.ask(front, asking, f"status={status};{AT_ONCE}")
        assert recorded.outcome == (status, "complete", "")
        assert len(recorded.calls) == 2
        assert recorded.answer.headers["Retry-After"] == "0"
        assert recorded.answer.headers["retry-after-ms"] == "0"
        assert recorded.answer.json()["error"]["message"]
        assert status != 429 or _limits(recorded) >= _known_limits(asking)

    await for_each(ASKINGS, check)


def _limits(recorded: RecordedRequest) -> set[str]:
    return {name.lower() for name in recorded.answer.headers if "ratelimit" in name.lower()}


def _known_limits(asking: Asking) -> set[str]:
    return {
        "messages": {"anthropic-ratelimit-requests-remaining"},
        "gemini": set[str](),
    }.get(asking.family, {"x-ratelimit-remaining-requests", "x-ratelimit-reset-tokens"})


async def test_the_pause_that_an_upstream_asks_for_is_kept(
    start_every: StartWorker, recorder: Recorder
) -> None:
    """Not a moment earlier: it would only be refused again."""
    front = await start_every(retries=1)
    recorded = await recorder.ask(front, CHAT, "fail=1;status=429;retry-after=0.4")
    first, second = recorded.calls
    assert recorded.outcome == (200, "complete", "")
    assert first.ended_at is not None
    assert second.started_at - first.ended_at >= 0.39


async def test_a_pause_that_is_too_long_is_the_clients_to_keep(
    start_every: StartWorker, recorder: Recorder
) -> None:
    """It is told at once when to come again, rather than made to wait."""
    front = await start_every(retries=3, retry_after_cap_seconds=2)
    recorded = await recorder.ask(front, CHAT, "status=503;retry-after=30")
    assert recorded.outcome == (503, "complete", "")
    assert recorded.answer.headers["Retry-After"] == "30"
    assert recorded.answer.headers["retry-after-ms"] == "30000"
    assert len(recorded.calls) == 1


async def test_no_retries(start_every: StartWorker, recorder: Recorder) -> None:
    """0: every failure is the client's to handle."""
    front = await start_every(retries=0)
    recorded = await recorder.ask(front, CHAT, f"fail=1;status=503;{AT_ONCE}")
    assert (recorded.outcome, len(recorded.calls)) == ((503, "complete", ""), 1)
    lost = await recorder.ask(front, CHAT, "fail=1;reset")
    assert (lost.outcome[0], len(lost.calls)) == (502, 1)


@pytest.mark.parametrize("words", ["cut=1", "cut-reset=2;rate=500", "error=1", "cut-clean=3"])
async def test_never_after_the_commit(
    start_every: StartWorker, recorder: Recorder, words: str
) -> None:
    """What has begun is never begun again: the client would read it twice."""
    front = await start_every(retries=3)

    async def check(asking: Asking) -> None:
        recorded = await recorder.ask(front, asking, f"fail=1;{words}")
        assert recorded.answer.status == 200
        assert len(recorded.calls) == 1

    await for_each(ASKINGS, check)


async def test_retries_are_a_small_part_of_the_traffic(
    start_every: StartWorker, recorder: Recorder
) -> None:
    """An upstream that refuses everything is not asked many times as much as before."""
    front = await start_every(retries=5, eject_after_failures=1000, eject_failure_rate=1)
    requests = 100
    recorded_requests = await asyncio.gather(
        *(recorder.ask(front, CHAT, f"status=503;{AT_ONCE}") for _ in range(requests))
    )
    assert {recorded.outcome[0] for recorded in recorded_requests} == {503}
    further = sum(len(recorded.calls) for recorded in recorded_requests) - requests
    # What little time earns is left room for: the machine may be slow.
    assert further <= retry.MIN_TOKENS + requests * retry.TOKENS_PER_REQUEST + 5
    assert further >= retry.MIN_TOKENS


@pytest.mark.parametrize("size", [0, 10, 300_000])
async def test_the_whole_body_is_sent_again(
    start_every: StartWorker, recorder: Recorder, size: int
) -> None:
    """The second attempt carries every byte of the first."""
    front = await start_every(retries=2)
    body = hashlib.shake_128(b"body").digest(size)
    run = uuid.uuid4().hex
    fields = [("X-Demo", f"fail=1;status=503;{AT_ONCE}"), ("X-Demo-Run", run)]
    answer = await exchange(front.url, request("POST", "/v1/echo?a=b", body, fields))
    echo = answer.json()
    assert answer.status == 200
    assert echo["target"] == "/v1/echo?a=b"
    assert echo["body"] == {"bytes": size, "sha256": hashlib.sha256(body).hexdigest()}
    assert [call.body_bytes for call in await recorder.calls(run)] == [size, size]


async def test_retries_are_counted(start_every: StartWorker, recorder: Recorder) -> None:
    """By the upstream and the reason."""
    front = await start_every(retries=2)
    # On a connection of its own: that an old one was closed is nobody's failure.
    await recorder.ask(front, CHAT, "fail=1;reset")
    await recorder.ask(front, CHAT, f"fail=1;status=503;{AT_ONCE}")

    def retried(reason: str) -> float | None:
        labels = {"upstream": "default", "reason": reason}
        registry = front.state.telemetry.registry
        return registry.get_sample_value("sluice_upstream_retries_total", labels)

    assert retried("status_503") == 1
    assert retried("upstream_reset") == 1


async def test_an_error_that_hides_in_a_200_has_a_true_status_when_given_up(
    start_every: StartWorker, recorder: Recorder
) -> None:
    """Overloaded as the first event: the client is told by a 503 and when to come again."""
    front = await start_every(retries=1)

    async def check(asking: Asking) -> None:
        recorded = await recorder.ask(front, asking, "overloaded")
        assert recorded.outcome == (503, "error_event", "upstream_overloaded")
        assert len(recorded.calls) == 2
        assert int(recorded.answer.headers["Retry-After"]) >= 1
        assert json.loads(recorded.answer.body)["error"]

    await for_each(ASKINGS, check)
