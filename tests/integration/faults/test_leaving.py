"""Clients that leave: what the operator chose becomes of the answer, and what it cost is known."""

from __future__ import annotations

import asyncio

import pytest

from proxy.meter.tally import tokens_after_leaving
from proxy.record import Family
from tests.integration.conftest import StartWorker, Worker, until
from tests.integration.faults.asking import ASKINGS, CHAT, Asking
from tests.integration.faults.recorder import Recorder, for_each
from tests.integration.raw import Line

PACED = "rate=60;tokens=60"
"""A second: long enough for a client's leaving to be noticed on a busy machine."""


async def leaves(front: Worker, asking: Asking, words: str, run: str) -> None:
    """Ask, hear the beginning of the answer, and go."""
    line = await Line.open(front.url)
    await line.ask(asking.request(words, run))
    await line.part()
    line.leave()


def after_leaving(front: Worker, upstream: str = "default") -> float:
    """Tokens that the metrics count as come for nobody."""
    labels = {"model": "demo", "upstream": upstream}
    name = "sluice_tokens_after_client_left_total"
    return front.state.telemetry.registry.get_sample_value(name, labels) or 0.0


async def test_cancel(start_every: StartWorker, recorder: Recorder) -> None:
    """The upstream's work ends with the client, and the outcome is the client's."""
    front = await start_every(on_client_left="cancel")

    async def check(asking: Asking) -> None:
        await leaves(front, asking, "rate=20;tokens=1000", f"cancel-{asking.family}")
        context = await recorder.context(f"cancel-{asking.family}")
        assert (context.record.ended_by, context.record.error) == ("client_left", "")
        assert context.record.status == 200
        [call] = await recorder.calls(f"cancel-{asking.family}")
        assert call.ended_by == "left"
        assert call.events < 200

    await for_each(ASKINGS, check)


async def test_drain(start_every: StartWorker, recorder: Recorder) -> None:
    """The answer is read to its end for its usage; what came for nobody is counted apart."""
    front = await start_every(on_client_left="drain")

    async def check(asking: Asking) -> None:
        run = f"drain-{asking.family}"
        await leaves(front, asking, PACED, run)
        context = await recorder.context(run)
        [call] = await recorder.calls(run)
        assert context.record.ended_by == "client_left"
        assert call.ended_by == "finished"
        assert context.tally.counted == 60
        assert 0 < tokens_after_leaving(context.tally) <= 60
        if asking.family not in {Family.COMPLETIONS, Family.UNKNOWN}:
            assert context.tally.usage is not None
            assert context.tally.usage.output_total == 60

    await for_each(ASKINGS, check)
    assert 0 < after_leaving(front) <= 60 * (len(ASKINGS) - 1)


async def test_a_drain_ends_with_its_answer_however_that_ends(
    start_every: StartWorker, recorder: Recorder
) -> None:
    """A cut, a hang, an error: each ends the reading-on; that the client left is the outcome."""
    front = await start_every(on_client_left="drain", idle_timeout_seconds=0.2)

    for number, words in enumerate(("cut=20", "hang=20", "error=20", "cut-inside=20")):
        await leaves(front, CHAT, f"{PACED};{words}", f"end-{number}")
        context = await recorder.context(f"end-{number}")
        assert context.record.ended_by == "client_left"
        assert context.record.client_left_at is not None


async def test_grace_in_time(start_every: StartWorker, recorder: Recorder) -> None:
    """An answer that ends within the grace is read to its end."""
    front = await start_every(on_client_left="grace", grace_seconds=10)
    await leaves(front, CHAT, PACED, "grace")
    context = await recorder.context("grace")
    [call] = await recorder.calls("grace")
    assert (context.record.ended_by, call.ended_by) == ("client_left", "finished")
    assert tokens_after_leaving(context.tally) > 0
    assert context.tally.usage is not None


async def test_grace_runs_out(start_every: StartWorker, recorder: Recorder) -> None:
    """One that does not is cancelled then, and what came meanwhile is counted."""
    front = await start_every(on_client_left="grace", grace_seconds=0.2)
    await leaves(front, CHAT, "rate=50;tokens=5000", "grace")
    context = await recorder.context("grace")
    [call] = await recorder.calls("grace")
    assert (context.record.ended_by, call.ended_by) == ("client_left", "left")
    assert tokens_after_leaving(context.tally) > 0
    assert context.record.ended_at is not None
    assert context.record.client_left_at is not None
    assert context.record.ended_at - context.record.client_left_at >= 0.19


async def test_a_client_that_leaves_while_its_200_is_bridged(
    start_every: StartWorker, recorder: Recorder
) -> None:
    """Between pings, before any answer: the attempt under way ends too."""
    front = await start_every(commit_after_seconds=0.05, ping_interval_seconds=0.02)
    await leaves(front, CHAT, "hang-before", "bridged")
    context = await recorder.context("bridged")
    [call] = await recorder.calls("bridged")
    assert (context.record.ended_by, call.ended_by) == ("client_left", "left")
    assert context.record.status == 200


async def test_a_client_that_leaves_the_line(start_every: StartWorker, recorder: Recorder) -> None:
    """It never reaches an upstream, and whoever stands behind it moves up."""
    front = await start_every(max_streams=1, queue_size=5)
    running = asyncio.create_task(recorder.ask(front, CHAT, "hang=1;hang-for=0.5"))
    await until(lambda: front.state.admission.taken == 1, "the first did not begin")
    line = await Line.open(front.url)
    await line.send(CHAT.request(request_id="impatient"))
    await until(lambda: front.state.admission.waiting == 1, "it did not wait")
    line.leave()
    context = await recorder.context("impatient")
    assert (context.record.status, context.record.ended_by) == (499, "client_left")
    assert await recorder.calls("impatient") == []
    assert (await running).outcome == (200, "complete", "")


@pytest.mark.parametrize("policy", ["cancel", "drain", "grace"])
async def test_leaving_after_the_end_mark(
    start_every: StartWorker, recorder: Recorder, policy: str
) -> None:
    """Clients that close as soon as they read the end mark have had all of the answer."""
    front = await start_every(on_client_left=policy)
    line = await Line.open(front.url)
    await line.ask(CHAT.request("hang=99;hang-for=0.3", "done"))
    await line.until(b"[DONE]")
    line.leave()
    context = await recorder.context("done")
    assert context.record.ended_by in {"complete", "client_left"}
    assert context.tally.counted == 32
