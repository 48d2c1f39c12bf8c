"""What the log says of each request, and what it never says."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.appliances import Appliance
from tests.integration.faults.gateways import eventually
from tests.integration.raw import BrokenOff, Fields, Line, request

KEY = "sk-tell-nobody-4711"
PROMPT = "tell nobody what I asked"
FIRST_WORDS = "A sluice is a simple thing"
SECRETS = (KEY, "tell-nobody", PROMPT, "tell nobody", FIRST_WORDS, "simple thing")
KEYS: Fields = [
    ("Authorization", f"Bearer {KEY}"),
    ("x-api-key", KEY),
    ("x-goog-api-key", KEY),
    ("Cookie", f"session={KEY}"),
]


def asking(words: str = "", *, stream: bool = True, path: str = "/v1/chat/completions") -> bytes:
    """A request that is full of what nobody else should know."""
    document = {
        "model": "demo",
        "stream": stream,
        "max_tokens": 100,
        "user": KEY,
        "messages": [{"role": "user", "content": PROMPT}],
    }
    return request("POST", path, json.dumps(document).encode(), [("X-Demo", words), *KEYS])


ENDINGS: dict[str, bytes] = {
    "stream": asking(),
    "json": asking(stream=False),
    "messages": asking(path="/v1/messages"),
    "gemini": request(
        "POST",
        f"/v1beta/models/demo:streamGenerateContent?alt=sse&key={KEY}",
        json.dumps({"contents": [{"parts": [{"text": PROMPT}]}]}).encode(),
        KEYS,
    ),
    "upload": request("POST", "/v1/files", PROMPT.encode() * 100, KEYS),
    "bad json": request("POST", "/v1/chat/completions", f'{{"{PROMPT}'.encode(), KEYS),
    "no object": request("POST", "/v1/chat/completions", json.dumps(PROMPT).encode(), KEYS),
    "no route": request("GET", f"/nowhere?key={KEY}", fields=KEYS),
    "no route there": request("GET", f"/v1/nowhere?q={KEY}", fields=KEYS),
    "refused": asking("refuse"),
    "status": asking("status=401"),
    "cut": asking("tokens=12;cut=9"),
    "cut inside": asking("tokens=12;cut-inside=9"),
    "error": asking("tokens=12;error=9"),
    "json error": asking("tokens=12;json-error=9"),
    "garbage": asking("garbage"),
    "broken off": request(
        "GET", f"/v1/models?key={KEY}", fields=[("X-Demo", "length-long"), *KEYS]
    ),
    "large": request("POST", f"/v1/files?key={KEY}", PROMPT.encode() * 2_000_000, KEYS),
    "no http": b"GET /v1/models HTTP/1.1\r\nHost: x\r\nAuthorization : "
    + KEY.encode()
    + b"\r\n\r\n",
    "bad value": b"GET /v1/models HTTP/1.1\r\nHost: x\r\nx-api-key: "
    + KEY.encode()
    + b"\x01\r\n\r\n",
    "too long": b"GET /v1/models?" + KEY.encode() * 2000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
}


async def test_no_prompt_no_answer_no_key(appliance: Appliance) -> None:
    """However a request ends, no process of the appliance writes any of them down."""
    before = len(appliance.gateway.process.lines)
    for sent in ENDINGS.values():
        async with await Line.open(appliance.url) as line:
            with contextlib.suppress(BrokenOff):
                await line.whole(sent)
    async with await Line.open(appliance.url) as leaving:
        await leaving.ask(asking("tokens=100000;rate=100"))
        await leaving.until(b"thing")
    marker = "the-last-of-all"
    async with await Line.open(appliance.url) as line:
        await line.whole(request("GET", "/v1/models", fields=[("X-Request-ID", marker)]))

    async def all_written() -> bool:
        return sum(marker in line for line in appliance.gateway.process.lines[before:]) == 2

    await eventually(all_written, "the access log or the workers' own lacks a line")
    lines = appliance.gateway.process.lines[before:]
    assert len(lines) > 2 * len(ENDINGS) - 6
    for secret in SECRETS:
        assert not [line for line in lines if secret in line]


async def test_no_error_repeats_them(appliance: Appliance) -> None:
    """What a client is told of its mistake holds none of them either."""
    for name in ("bad json", "no object", "no route", "refused", "no http", "bad value"):
        async with await Line.open(appliance.url) as line:
            with contextlib.suppress(BrokenOff):
                answer = await line.whole(ENDINGS[name])
                assert not any(secret.encode() in answer.body for secret in SECRETS)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float)


LINE: dict[str, Callable[[Any], bool]] = {
    "route": lambda value: value == "/v1/chat/completions",
    "model": lambda value: value == "demo",
    "upstream": lambda value: value == "default",
    "client": lambda value: value == "127.0.0.1",
    "tries": lambda value: (
        [(attempt["upstream"], attempt["status"]) for attempt in value] == [("default", 200)]
    ),
    "status": lambda value: value == 200,
    "ended_by": lambda value: value == "complete",
    "queue_seconds": _is_number,
    "ttft_seconds": _is_number,
    "output_tokens": lambda value: value == 25,
    "tokens_per_second": _is_number,
    "bytes_in": lambda value: value > 50,
    "bytes_out": lambda value: value > 100,
    "duration_seconds": lambda value: 0 < value < 60,
}


@pytest.mark.parametrize("stream", [True, False])
async def test_one_line_for_each_request(appliance: Appliance, stream: bool) -> None:
    """Who, what, how it ended, how long it took and how much it was."""
    request_id = f"one-line-{stream}"
    sent = asking("tokens=25;rate=2000", stream=stream).replace(
        b"\r\n", f"\r\nX-Request-ID: {request_id}\r\n".encode(), 1
    )
    async with await Line.open(appliance.url) as line:
        await line.whole(sent)
    logged = await appliance.gateway.outcome(request_id)
    streams_only = {"ttft_seconds", "tokens_per_second"}
    for name, is_right in LINE.items():
        if stream or name not in streams_only:
            assert is_right(logged.get(name)), (name, logged)
    lines = [entry for entry in appliance.gateway.process.lines if request_id in entry]
    assert sum('"event":"request"' in entry for entry in lines) == 1
