"""Browsers of other origins: asked first, let in by name, and told the same on every answer."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

import pytest

from tests.integration.conftest import Demo, StartWorker, Worker
from tests.integration.raw import (
    BrokenOff,
    Fields,
    Head,
    Line,
    Whole,
    ask_chat,
    exchange,
    post_json,
    request,
)
from tests.upstream.peer import Peer, plain, serves

OURS = "https://app.example.com"
SECOND = "http://localhost:5173"
THEIRS = "https://evil.example"
PATH = "/v1/chat/completions"
ALLOWED = "Access-Control-Allow-Origin"
ASKED = "authorization,content-type,x-stainless-lang"


def preflight(origin: str = OURS, path: str = PATH, method: str = "POST") -> bytes:
    """What a browser asks before a request that a form could not send (Fetch standard, 4.8)."""
    fields = [
        ("Origin", origin),
        ("Access-Control-Request-Method", method),
        ("Access-Control-Request-Headers", ASKED),
    ]
    return request("OPTIONS", path, fields=fields)


def words(value: str) -> set[str]:
    """A comma-separated list, in lower case."""
    return {word.strip().lower() for word in value.split(",")}


def is_granted(answer: Whole | Head, origin: str = OURS) -> None:
    """See that a browser of the origin would let its page have this answer."""
    assert answer.headers.getall(ALLOWED) in ([origin], ["*"])
    assert "origin" in words(", ".join(answer.headers.getall("Vary")))
    assert "Access-Control-Allow-Credentials" not in answer.headers


@pytest.mark.parametrize("origins", [(OURS, SECOND), ("*",)])
@pytest.mark.parametrize("method", ["POST", "GET", "DELETE", "PATCH"])
@pytest.mark.parametrize("path", [PATH, "/v1/no/such/route", "/v1/models?limit=2"])
async def test_a_preflight_is_granted(
    start_front: StartWorker, demo: Demo, origins: tuple[str, ...], method: str, path: str
) -> None:
    """The method and the headers that were asked for; the upstream hears nothing of it."""
    front = await start_front(cors_origins=origins)
    answer = await exchange(front.url, preflight(path=path, method=method))
    assert answer.status in {200, 204}
    is_granted(answer)
    assert method.lower() in words(answer.headers["Access-Control-Allow-Methods"])
    granted = words(answer.headers["Access-Control-Allow-Headers"])
    assert words(ASKED) <= granted
    assert int(answer.headers["Access-Control-Max-Age"]) >= 600
    assert demo.state.seen == 0


async def test_a_preflight_needs_no_key_and_no_slot(start_front: StartWorker) -> None:
    """Browsers send none with it, and it must not wait in line."""
    front = await start_front(
        cors_origins=(OURS,), client_keys={"shop": "sk-1"}, max_streams=1, queue_size=0
    )
    hold = ask_chat("hang=1", [("Authorization", "Bearer sk-1")])
    async with await Line.open(front.url) as running:
        await running.ask(hold)
        is_granted(await exchange(front.url, preflight()))


@pytest.mark.parametrize("origin", [THEIRS, "null", OURS + ":8443", "http://app.example.com"])
async def test_a_preflight_from_elsewhere_is_not_granted(
    start_front: StartWorker, demo: Demo, origin: str
) -> None:
    """A name that only looks like ours is another one."""
    front = await start_front(cors_origins=(OURS, SECOND))
    answer = await exchange(front.url, preflight(origin))
    assert ALLOWED not in answer.headers
    assert demo.state.seen == 0


async def test_without_origins_there_is_no_cors(front: Worker) -> None:
    """The default: pages of other origins may not call."""
    for sent in (preflight(), ask_chat(fields=[("Origin", OURS)])):
        assert ALLOWED not in (await exchange(front.url, sent)).headers


async def test_options_that_is_no_preflight_is_relayed(start_front: StartWorker) -> None:
    """It is a method like any other, with or without an origin."""
    front = await start_front(cors_origins=(OURS,))
    for fields in ([], [("Origin", OURS)], [("Access-Control-Request-Method", "POST")]):
        answer = await exchange(front.url, request("OPTIONS", "/v1/echo", fields=fields))
        assert answer.json()["method"] == "OPTIONS"


@dataclass(frozen=True)
class Case:
    """One way for a request to end."""

    sent: bytes
    status: int
    settings: dict[str, Any]


def with_origin(target: str, body: bytes = b"", *more: tuple[str, str]) -> bytes:
    """A request of a page."""
    fields: Fields = [("Origin", OURS), *more]
    return request("POST" if body else "GET", target, body, fields)


def chat(words: str = "", **more: Any) -> bytes:
    """A page's request for a chat stream."""
    return ask_chat(words, [("Origin", OURS)], **more)


async def head_of(url: str, sent: bytes) -> Head:
    """The head of an answer that may break off; the rest of it is read to its end."""
    async with await Line.open(url) as line:
        head = await line.ask(sent)
        with contextlib.suppress(BrokenOff):
            await line.body()
        return head


EVIL = f"header={ALLOWED}:{THEIRS};header=Access-Control-Allow-Credentials:true"
CASES = {
    "json": Case(chat(stream=False), 200, {}),
    "stream": Case(chat(), 200, {}),
    "early stream": Case(
        chat("ttft=0.1"), 200, {"commit_after_seconds": 0.01, "ping_interval_seconds": 0.01}
    ),
    "cut stream": Case(chat("cut=2"), 200, {}),
    "upstream speaks cors": Case(chat(EVIL), 200, {}),
    "upstream speaks cors on a stream": Case(chat(EVIL), 200, {}),
    "upstream refuses": Case(chat("status=429"), 429, {}),
    "no content": Case(with_origin("/v1/models"), 200, {}),
    "not allowed in": Case(chat(), 401, {"client_keys": {"shop": "sk-1"}}),
    "bad json": Case(with_origin(PATH, b"{"), 400, {}),
    "too large": Case(with_origin(PATH, b"x" * 5000), 413, {"max_body_bytes": 2000}),
    "no route": Case(with_origin("/nowhere"), 404, {}),
    "no route there": Case(with_origin("/v1/nowhere"), 404, {}),
    "unreachable": Case(chat(), 502, {"upstream_url": "http://127.0.0.1:9"}),
    "silent": Case(chat("hang-before"), 504, {"first_token_timeout_seconds": 0.1}),
    "shed": Case(chat(), 503, {"max_streams": 1, "queue_size": 0}),
    "own page": Case(with_origin("/healthz"), 200, {}),
}


@pytest.mark.parametrize("origins", [(OURS, SECOND), ("*",)], ids=["listed", "any"])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_every_answer_says_once_who_may_read_it(
    start_front: StartWorker, case: Case, origins: tuple[str, ...]
) -> None:
    """Success, stream or error, ours, nginx's or the upstream's: two would be as bad as none."""
    settings = {"retries": 0, **case.settings}
    front = await start_front(cors_origins=origins, **settings)
    if case.status == 503:
        async with await Line.open(front.url) as running:
            await running.ask(ask_chat("hang=1"))
            answer = await head_of(front.url, case.sent)
    else:
        answer = await head_of(front.url, case.sent)
    assert answer.status == case.status
    is_granted(answer)
    exposed = words(", ".join(answer.headers.getall("Access-Control-Expose-Headers")))
    assert {"x-request-id", "retry-after", "server-timing", "location"} <= exposed
    assert {"sluice-stream-id", "sluice-ended-by", "preference-applied"} <= exposed
    assert {"x-ratelimit-remaining-tokens", "anthropic-ratelimit-tokens-remaining"} <= exposed


async def test_an_origin_that_is_not_listed_may_not_read(start_front: StartWorker) -> None:
    """It is answered, for it may be no browser at all, but told nothing; caches keep it apart."""
    front = await start_front(cors_origins=(OURS,))
    answer = await exchange(front.url, ask_chat(EVIL, [("Origin", THEIRS)]))
    assert answer.status == 200
    assert ALLOWED not in answer.headers
    assert "origin" in words(", ".join(answer.headers.getall("Vary")))


async def test_an_upstreams_vary_is_kept(start_front: StartWorker) -> None:
    """Both reasons hold."""
    async with Peer(serves(plain(b"{}", fields={"Vary": "Accept-Encoding"}))) as peer:
        front = await start_front(cors_origins=(OURS,), upstream_url=peer.url)
        answer = await exchange(front.url, with_origin("/v1/models"))
    vary = words(", ".join(answer.headers.getall("Vary")))
    assert vary == {"accept-encoding", "origin"}


async def test_what_a_browser_does(start_front: StartWorker) -> None:
    """It asks once, then streams with its key on the same connection, and reads the request id."""
    front = await start_front(cors_origins=(OURS,), client_keys={"shop": "sk-1"})
    fields = [
        ("Origin", OURS),
        ("Authorization", "Bearer sk-1"),
        ("Sec-Fetch-Mode", "cors"),
        ("Sec-Fetch-Site", "cross-site"),
        ("Accept", "*/*"),
        ("Referer", OURS + "/"),
    ]
    async with await Line.open(front.url) as line:
        first = await line.whole(preflight(), method="OPTIONS")
        is_granted(first)
        for _ in range(2):
            answer = await line.whole(ask_chat("tokens=3", fields))
            is_granted(answer)
            assert answer.body.endswith(b"data: [DONE]\n\n")
            exposed = words(answer.headers["Access-Control-Expose-Headers"])
            assert "x-request-id" in exposed
            assert answer.headers["X-Request-ID"]
        refused = await line.whole(post_json(PATH, {}, [("Origin", OURS)]))
    assert refused.status == 401
    is_granted(refused)
