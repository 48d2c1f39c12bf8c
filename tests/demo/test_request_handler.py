from __future__ import annotations

import json
from typing import TYPE_CHECKING

import aiohttp
import pytest

from tests.demo.peer import FAMILIES, body_for, call, request, stream

if TYPE_CHECKING:
    from tests.demo.conftest import Demo

families = pytest.mark.parametrize("family", FAMILIES)


@families
async def test_the_first_requests_of_a_run_fail(demo: Demo, family: str) -> None:
    """With `fail=2` two requests have the fault, the third and later ones are whole."""
    words = "status=529;fail=2;run=a"
    heard = [(await stream(demo.port, family, words)).status for _ in range(4)]
    assert heard == [529, 529, 200, 200]
    assert [seen.attempt for seen in demo.state.calls] == [1, 2, 3, 4]
    assert {seen.run for seen in demo.state.calls} == {"a"}


async def test_runs_fail_apart(demo: Demo) -> None:
    """The header names the run; each run has its own count, and 503 is the fault by default."""
    target, body = body_for("chat", "fail=1")
    heard = []
    for run in ("a", "b", "a"):
        sent = request(target, body, headers={"X-Demo-Run": run})
        heard.append((await call(demo.port, sent)).status)
    assert heard == [503, 503, 200]


async def test_failing_before_the_body_counts_once(demo: Demo) -> None:
    """A fault that strikes before the body is read is part of the run too."""
    target, body = body_for("chat", "")
    sent = request(target, body, headers={"X-Demo": "answer-early=408;fail=1;run=a"})
    assert [(await call(demo.port, sent)).status for _ in range(2)] == [408, 200]
    assert [seen.attempt for seen in demo.state.calls] == [1, 2]


@families
@pytest.mark.parametrize(
    ("headers", "status"),
    [({}, 401), ({"Authorization": "Bearer wrong"}, 401), ({"x-api-key": "sesame"}, 200)],
)
async def test_a_server_that_demands_a_key(
    locked_demo: Demo, family: str, headers: dict[str, str], status: int
) -> None:
    """Only its key opens it; the refusal has the family's shape."""
    heard = await call(locked_demo.port, request(*body_for(family, ""), headers=headers))
    assert heard.status == status
    if status == 401:
        document = heard.json()
        assert (document.get("type") == "error") == (family == "messages")
        assert document["error"]["message"]


async def test_a_request_that_demands_a_key(demo: Demo) -> None:
    """A key in the words is demanded of that request."""
    target, body = body_for("chat", "key=open")
    right = request(target, body, headers={"Authorization": "Bearer open"})
    assert (await call(demo.port, request(target, body))).status == 401
    assert (await call(demo.port, right)).status == 200


@families
@pytest.mark.parametrize("words", ["crfl", "rate=fast", "status=200"])
async def test_words_that_are_wrong(demo: Demo, family: str, words: str) -> None:
    """They are a 400 in the family's shape that lists what is known or says what would be right."""
    heard = await stream(demo.port, family, words)
    message = heard.json()["error"]["message"]
    assert heard.status == 400
    assert words.partition("=")[0] in message
    assert "cut-utf8" in message or "takes" in message


async def test_who_wins(demo: Demo) -> None:
    """The field wins over the model, the model over the header."""
    target, body = body_for("chat", "tokens=2", demo={"tokens": 3})
    header = {"X-Demo": "tokens=1, ttft=0"}
    field = await call(demo.port, request(target, body, headers=header))
    target, body = body_for("chat", "tokens=2")
    model = await call(demo.port, request(target, body, headers=header))
    target, body = body_for("chat", "")
    alone = await call(demo.port, request(target, body, headers=header))
    counts = [heard.body.count(b'"content":') - 1 for heard in (field, model, alone)]
    assert counts == [3, 2, 1]


async def test_a_redirect_is_seen_by_whoever_follows(demo: Demo) -> None:
    """A client that follows gets there with its body, and the demo has seen it."""
    target, body = body_for("chat", "redirect=307")
    async with (
        aiohttp.ClientSession() as session,
        session.post(demo.url + target, data=body) as answer,
    ):
        document = await answer.json()
    assert document["target"] == "/demo/redirected"
    assert document["body"]["bytes"] == len(body)
    assert [seen.path for seen in demo.state.calls][-1] == "/demo/redirected"


async def test_no_error_is_logged(demo: Demo, caplog: pytest.LogCaptureFixture) -> None:
    """Faults and leaving peers are the demo's work, and none of it is an error of its own."""
    for words in ("cut=2", "reset", "cut-reset=1;rate=100", "close;garbage-after", "length-short"):
        await stream(demo.port, "chat", words)
    await call(demo.port, request(*body_for("chat", "hang=1")), silence=0.05)
    await demo.state.until(lambda state: not state.open)
    assert [record for record in caplog.records if record.name.startswith("aiohttp")] == []


async def test_the_state_over_http(demo: Demo) -> None:
    """`/demo/state` shows the counters and one run's calls, and DELETE forgets them."""
    target, body = body_for("chat", "cut=2;run=a")
    await call(demo.port, request(target, body))
    await stream(demo.port, "messages", "")
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{demo.url}/demo/state", params={"run": "a"}) as answer:
            document = await answer.json()
        async with session.delete(f"{demo.url}/demo/state") as answer:
            forgotten = json.loads(await answer.text())
    assert (document["seen"], document["finished"], document["faults"]) == (2, 1, 1)
    (tool_call,) = document["calls"]
    assert (tool_call["family"], tool_call["model"], tool_call["events"]) == ("chat", "demo", 2)
    assert (tool_call["ended_by"], tool_call["status"]) == ("fault", 200)
    assert (forgotten["seen"], forgotten["calls"]) == (0, [])
