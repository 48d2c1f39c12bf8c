from __future__ import annotations

from itertools import islice, pairwise
from typing import TYPE_CHECKING, Any

import pytest

from proxy.demo import body_steps
from proxy.demo.families.chat import CHAT
from proxy.demo.families.gemini import GEMINI_NATIVE
from proxy.demo.families.messages import MESSAGES
from proxy.demo.generation_request import GenerationRequest
from proxy.demo.plan import Plan
from proxy.demo.steps import Action, Step

if TYPE_CHECKING:
    from proxy.demo.families.family import Family


def ask(plan: Plan, **more: Any) -> GenerationRequest:
    """Ask for a stream."""
    return GenerationRequest(
        **{"plan": plan, "model": "demo", "stream": True, "prompt_tokens": 1, **more}
    )


def steps(plan: Plan, family: Family = CHAT, **more: Any) -> list[Step]:
    """Give the steps of a stream."""
    return list(body_steps.streamed(ask(plan, **more), family, chunked=True))


def times(plan: Plan) -> list[float]:
    """The times of the tokens, which stand between the role chunk and the finish."""
    return [step.at for step in steps(plan)[1:-3]]


def test_tokens_keep_an_absolute_schedule() -> None:
    """Token n is due at ttft + n / rate, however many came before."""
    assert times(Plan(ttft=0.5, rate=10, tokens=4)) == pytest.approx([0.5, 0.6, 0.7, 0.8])


def test_grouped_tokens_keep_the_rate() -> None:
    """Two tokens in one event take the time of two."""
    plan = Plan(rate=10, tokens=6, per_event=2)
    assert times(plan) == pytest.approx([0.0, 0.2, 0.4])


def test_jitter_strays_but_does_not_drift() -> None:
    """Times differ from the schedule by no more than the jitter, and never run backwards."""
    plan = Plan(rate=10, tokens=200, jitter=0.5, seed="a")
    strays = [at - number / 10 for number, at in enumerate(times(plan))]
    assert max(map(abs, strays)) <= 0.05
    assert max(strays) > 0.02
    assert all(before <= after for before, after in pairwise(times(plan)))
    assert times(plan) == times(plan)


@pytest.mark.parametrize(("opening", "at"), [(None, 0.5), (0.1, 0.1), (9.0, 0.5)])
def test_what_comes_before_the_first_token(opening: float | None, at: float) -> None:
    """The opener leaves with the first token, or earlier if asked, never later."""
    assert steps(Plan(ttft=0.5, opening=opening))[0].at == at


def test_as_fast_as_possible() -> None:
    """Without a rate everything is due with the first token."""
    assert set(times(Plan(ttft=0.3, tokens=50))) == {0.3}


def test_pings_fill_the_silences() -> None:
    """A ping leaves at each interval in which nothing else does, in the family's own form."""
    sent = steps(Plan(ttft=0.1, tokens=1, faults={"pings": 0.03}), MESSAGES)
    pings = [step for step in sent if step.do is Action.SEND and step.at < 0.1]
    assert [step.at for step in pings] == pytest.approx([0.03, 0.06, 0.09])
    assert all(b"event: ping\n" in step.data and step.events == 0 for step in pings)
    (comment,) = islice(
        body_steps.streamed(ask(Plan(faults={"pings-only": 1.0})), CHAT, chunked=True), 1
    )
    assert comment.data == b": ping\n\n"


def test_pings_without_end() -> None:
    """Pings alone go on for ever, each at its time, even at an interval of 0."""
    for gap in (1.0, 0.0):
        endless = body_steps.streamed(ask(Plan(faults={"pings-only": gap})), CHAT, chunked=True)
        some = list(islice(endless, 100))
        assert {step.do for step in some} == {Action.SEND}
        assert all(before.at < after.at for before, after in pairwise(some))


def test_batches_keep_count_and_order() -> None:
    """Merged steps hold the same bytes and count the same events, at the last one's time."""
    single, merged = steps(Plan(rate=10)), steps(Plan(rate=10, faults={"batch": 5}))
    assert b"".join(step.data for step in merged) == b"".join(step.data for step in single)
    assert sum(step.events for step in merged) == sum(step.events for step in single)
    assert merged[0].events == 5
    assert merged[0].at == single[4].at
    assert merged[-1].do is Action.FINISH


def test_an_array_of_chunks() -> None:
    """Without alt=sse Gemini's chunks are one JSON array, which a missing end leaves open."""
    whole = steps(Plan(tokens=3), GEMINI_NATIVE, array=True)
    torn = steps(Plan(tokens=3, faults={"no-done": True}), GEMINI_NATIVE, array=True)
    body = b"".join(step.data for step in whole)
    assert body.startswith(b"[{")
    assert body.endswith(b"}]")
    assert body.count(b",\r\n{") == 3
    assert b"".join(step.data for step in torn) == body[:-1]


def test_a_whole_answer_takes_the_time_of_its_stream() -> None:
    """JSON comes when the last token would have."""
    plan = Plan(ttft=0.5, rate=10, tokens=4)
    sent = list(body_steps.whole(ask(plan, stream=False), CHAT, chunked=False))
    assert [step.do for step in sent] == [Action.SEND, Action.FINISH]
    assert sent[0].at == pytest.approx(0.8) == body_steps.duration(ask(plan))


@pytest.mark.parametrize("fault", ["cut", "cut-inside", "cut-reset", "cut-chunk", "hang"])
def test_a_whole_answer_is_struck_in_its_middle(fault: str) -> None:
    """Whatever its N, an incident leaves about half of the JSON out, or behind a silence."""
    plan = Plan(faults={fault: 3})
    healthy = list(body_steps.whole(ask(Plan(), stream=False, seed="a"), CHAT, chunked=True))
    struck = list(body_steps.whole(ask(plan, stream=False, seed="a"), CHAT, chunked=True))
    assert struck[0].data == healthy[0].data[: len(healthy[0].data) // 2]
    assert struck[1].do is not Action.FINISH


def test_a_whole_answer_of_nothing() -> None:
    """An empty body only ends; pings alone are a silence, for JSON has no pings."""
    empty = body_steps.whole(ask(Plan(faults={"empty": True})), CHAT, chunked=False)
    silent = body_steps.whole(ask(Plan(faults={"pings-only": 1.0})), CHAT, chunked=False)
    assert [step.do for step in empty] == [Action.FINISH]
    assert [step.do for step in silent] == [Action.HANG]
