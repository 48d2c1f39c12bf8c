"""Streamed transcriptions."""

from __future__ import annotations

import json

from proxy.demo.families.transcripts import TRANSCRIPTS, read
from proxy.demo.generation_request import GenerationRequest
from proxy.demo.plan import Plan
from tests.demo.conftest import Demo
from tests.demo.peer import Heard, call, request

FORM = (
    b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\ndemo;tokens=2\r\n'
    b'--b\r\nContent-Disposition: form-data; name="stream"\r\n\r\n%b\r\n'
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\nabc\r\n--b--\r\n'
)


async def transcribe(demo: Demo, stream: bytes, words: str = "") -> Heard:
    """Send the form."""
    headers = {"Content-Type": "multipart/form-data; boundary=b", "X-Demo": words}
    sent = request("/v1/audio/transcriptions", FORM % stream, headers=headers)
    return await call(demo.port, sent)


def asked(plan: Plan) -> GenerationRequest:
    """What a form without any number asks for."""
    return read({"model": "demo", "stream": "true"}, plan)


async def test_a_form_that_asks_for_a_stream(demo: Demo) -> None:
    """The words are deltas; the last event says the whole text and the usage, then the mark."""
    heard = await transcribe(demo, b"true")
    *deltas, done, mark = [part[6:] for part in heard.body.split(b"\n\n")[:-1]]
    document = json.loads(done)
    assert heard.whole
    assert mark == b"[DONE]"
    assert "".join(json.loads(delta)["delta"] for delta in deltas) == document["text"]
    assert (document["type"], document["usage"]["output_tokens"]) == ("transcript.text.done", 2)


async def test_a_form_that_asks_for_no_stream(demo: Demo) -> None:
    """It is answered in one piece."""
    assert (await transcribe(demo, b"false")).json()["bytes"] == 3


async def test_its_faults(demo: Demo) -> None:
    """What strikes other families strikes this one."""
    heard = await transcribe(demo, b"true", "cut=1;tokens=5")
    assert heard.body.count(b"\n\n") == 1
    assert not heard.whole


def test_no_usage() -> None:
    """Without usage the last event has none."""
    plan = Plan(tokens=1)
    assert "usage" in TRANSCRIPTS.whole(asked(plan))
    assert "usage" not in TRANSCRIPTS.whole(asked(plan.failing(no_usage=True)))
