"""Each fault in each family, seen as bytes."""

from __future__ import annotations

import gzip
import json
import re
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import uvloop

from proxy.demo.app import create_app
from proxy.demo.faults import FAULTS
from tests.demo.conftest import Demo, started
from tests.demo.peer import FAMILIES, Heard, stream

if TYPE_CHECKING:
    from collections.abc import Callable

families = pytest.mark.parametrize("family", FAMILIES)
END_MARKS = {
    "chat": b"data: [DONE]",
    "completions": b"data: [DONE]",
    "responses": b'"type":"response.completed"',
    "messages": b'"type":"message_stop"',
    "gemini": b'"finishReason":"STOP"',
}
FINISH_MARKS = {
    "chat": b'"finish_reason":"stop"',
    "completions": b'"finish_reason":"stop"',
    "responses": b'"type":"response.output_item.done"',
    "messages": b'"stop_reason":"end_turn"',
    "gemini": b'"finishReason":"STOP"',
}
PINGS = [("ping", '{"type": "ping"}')]
SEEDED = "seed=same;tokens=12"


def events_in(body: bytes) -> list[bytes]:
    """Count complete events, whatever their line ends."""
    text = body.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return [block for block in text.split(b"\n\n")[:-1] if b"data:" in block]


def dispatched(body: bytes) -> list[tuple[str, str]]:
    """Parse as the HTML standard says (section 9.2.6); the breaks inside data are taken out."""
    events: list[tuple[str, str]] = []
    name = ""
    data: list[str] = []
    for line in re.split("\r\n|\r|\n", body.decode().removeprefix("\ufeff")):
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line and data:
            events.append((name, "".join(data)))
        if not line:
            name, data = "", []
        elif field == "event":
            name = value
        elif field == "data":
            data.append(value)
    return events


async def plain(demo: Demo, family: str) -> Heard:
    """Hear the healthy stream."""
    return await stream(demo.port, family, SEEDED)


async def faulty(demo: Demo, family: str, fault: str) -> Heard:
    """Hear the same stream with a fault."""
    return await stream(demo.port, family, f"{SEEDED};{fault}")


@families
async def test_healthy_stream(demo: Demo, family: str) -> None:
    """A stream without a fault ends with its mark and its last chunk, the same each time."""
    heard = await plain(demo, family)
    again = await plain(demo, family)
    assert heard.status == 200
    assert heard.whole
    assert END_MARKS[family] in heard.body
    assert FINISH_MARKS[family] in heard.body
    assert heard.body == again.body
    assert (demo.state.finished, demo.state.left, demo.state.faults) == (2, 0, 0)


@families
@pytest.mark.parametrize(("fault", "end"), [("refuse", "closed"), ("reset", "reset")])
async def test_refused_before_any_byte(demo: Demo, family: str, fault: str, end: str) -> None:
    """The connection ends without a byte, closed or reset as named."""
    heard = await faulty(demo, family, fault)
    assert (heard.raw, heard.end) == (b"", end)
    assert demo.state.faults == 1


@families
async def test_cut_between_events(demo: Demo, family: str) -> None:
    """Exactly N events arrive whole, and no last chunk."""
    whole = await plain(demo, family)
    heard = await faulty(demo, family, "cut=4")
    assert heard.end == "closed"
    assert not heard.whole
    assert len(events_in(heard.body)) == 4
    assert whole.body.startswith(heard.body)
    assert demo.state.calls[-1].events == 4


@families
async def test_cut_inside_an_event(demo: Demo, family: str) -> None:
    """After N events comes half of another in a chunk that is whole."""
    whole = await plain(demo, family)
    heard = await faulty(demo, family, "cut-inside=4")
    assert not heard.whole
    assert len(events_in(heard.body)) == 4
    assert not heard.body.endswith(b"\n")
    assert whole.body.startswith(heard.body)


@families
async def test_cut_inside_a_character(demo: Demo, family: str) -> None:
    """The last byte that arrives is the first of a multi-byte character."""
    whole = await plain(demo, family)
    heard = await faulty(demo, family, "cut-utf8=2")
    assert not heard.whole
    assert heard.body[-1] >= 0xC2
    assert whole.body.startswith(heard.body)
    assert len(events_in(heard.body)) >= 2


@families
async def test_cut_inside_a_chunk(demo: Demo, family: str) -> None:
    """The last chunk announces more than arrives."""
    heard = await faulty(demo, family, "cut-chunk=4")
    size = int(heard.payload[: heard.payload.rindex(b"\r\n")].rsplit(b"\r\n", 1)[-1], 16)
    assert not heard.whole
    assert 0 < len(heard.chunks[-1]) < size


@families
async def test_chunk_size_that_is_no_number(demo: Demo, family: str) -> None:
    """The framing breaks after N whole events."""
    heard = await faulty(demo, family, "bad-chunk=4")
    assert heard.chunks[-1].startswith(b"not a size\r\n")
    assert len(events_in(b"".join(heard.chunks[:-1]))) == 4


@families
async def test_reset_in_midstream(demo: Demo, family: str) -> None:
    """N events arrive, then the connection is reset."""
    heard = await faulty(demo, family, "cut-reset=4;rate=200")
    assert heard.end == "reset"
    assert len(events_in(heard.body)) == 4


@families
async def test_clean_cut(demo: Demo, family: str) -> None:
    """The body ends properly although the answer does not."""
    heard = await faulty(demo, family, "cut-clean=4")
    assert heard.whole
    assert len(events_in(heard.body)) == 4
    assert END_MARKS[family] not in heard.body


@families
async def test_cut_beyond_the_end(demo: Demo, family: str) -> None:
    """A cut after more events than there are leaves out only the last chunk."""
    whole = await plain(demo, family)
    heard = await faulty(demo, family, "cut=9999")
    assert heard.body == whole.body
    assert not heard.whole


@families
async def test_overloaded_inside_a_200(demo: Demo, family: str) -> None:
    """The only event is the family's overload error."""
    heard = await faulty(demo, family, "overloaded")
    document = json.loads(events_in(heard.body)[0].split(b"data: ")[1])
    assert heard.status == 200
    assert heard.whole
    assert len(events_in(heard.body)) == 1
    assert document.get("type") == "error" or "error" in document
    assert b"verload" in heard.body


@families
async def test_error_in_midstream(demo: Demo, family: str) -> None:
    """After N events the family's error event is the last, and the body ends cleanly."""
    heard = await faulty(demo, family, "error=4")
    last = events_in(heard.body)[-1]
    assert heard.whole
    assert len(events_in(heard.body)) == 5
    assert b"error" in last
    assert END_MARKS[family] not in heard.body
    if family == "responses":
        assert b'"sequence_number":4}' in last
        assert b"event: response.failed" in last
    if family == "messages":
        assert last.startswith(b"event: error\n")


@families
async def test_bare_json_error(demo: Demo, family: str) -> None:
    """What follows N events is JSON on several lines, without any `data:`."""
    heard = await faulty(demo, family, "json-error=4")
    tail = heard.body[heard.body.rindex(b"\n{") + 1 :]
    assert heard.whole
    assert "error" in json.loads(tail)
    assert b"data:" not in tail


@families
async def test_no_end_mark(demo: Demo, family: str) -> None:
    """The finish reasons come, the mark does not; Gemini has no mark to leave out."""
    heard = await faulty(demo, family, "no-done")
    assert heard.whole
    assert FINISH_MARKS[family] in heard.body
    assert (END_MARKS[family] in heard.body) == (family == "gemini")


@families
async def test_no_finish(demo: Demo, family: str) -> None:
    """The mark comes, the finish reasons do not."""
    heard = await faulty(demo, family, "no-finish")
    assert heard.whole
    assert FINISH_MARKS[family] not in heard.body
    assert (END_MARKS[family] in heard.body) == (family != "gemini")


@families
async def test_no_end_at_all(demo: Demo, family: str) -> None:
    """Neither comes, and the body still ends cleanly."""
    heard = await faulty(demo, family, "no-end")
    assert heard.whole
    assert FINISH_MARKS[family] not in heard.body
    assert END_MARKS[family] not in heard.body


@families
async def test_empty_stream(demo: Demo, family: str) -> None:
    """An event stream's head, and a body of nothing."""
    heard = await faulty(demo, family, "empty")
    assert heard.status == 200
    assert heard.header("content-type") == "text/event-stream; charset=utf-8"
    assert heard.payload == b"0\r\n\r\n"


@families
@pytest.mark.parametrize(
    "fault",
    [
        "batch=3",
        "big-headers",
        "close",
        "drip",
        "drip=7",
        "drip-wire",
        "garbage-after",
        "hang=3;hang-for=0.01",
        "hang-before=0.01",
        "hang-headers=0.01",
        "http10",
        "many-headers",
        "pings=1;ttft=0.01",
        "rate=1000;jitter=0.5",
        "split",
        "split-utf8",
    ],
)
async def test_same_body_on_another_way(demo: Demo, family: str, fault: str) -> None:
    """Framing and timing are odd; the body is the healthy one, byte for byte."""
    whole = await plain(demo, family)
    heard = await faulty(demo, family, fault)
    assert heard.body == whole.body


@families
@pytest.mark.parametrize(
    ("fault", "proof"),
    [
        ("crlf", lambda body: body.count(b"\n") == body.count(b"\r\n")),
        ("cr", lambda body: b"\n" not in body),
        ("no-space", lambda body: b"data: " not in body),
        ("bom", lambda body: body.startswith(b"\xef\xbb\xbf")),
        ("multiline", lambda body: body.count(b"data: {") * 2 <= body.count(b"data:")),
        ("comments", lambda body: body.startswith(b": demo comment")),
        ("comments=2;bom;cr", lambda body: body.startswith(b"\xef\xbb\xbf: demo comment\r\r")),
        ("fields", lambda body: b"retry: 2000" in body),
        ("pings=0.005;ttft=0.03", lambda body: b"ping" in body.split(b"data: {")[0]),
    ],
)
async def test_same_events_in_another_form(
    demo: Demo, family: str, fault: str, proof: Callable[[bytes], bool]
) -> None:
    """The bytes are odd; an SSE parser gets the events of the healthy stream."""
    whole = await plain(demo, family)
    heard = await faulty(demo, family, fault)
    wanted = dispatched(whole.body)
    assert proof(heard.body)
    assert [event for event in dispatched(heard.body) if event not in PINGS] == [
        event for event in wanted if event not in PINGS
    ]


@families
async def test_chunks_of_single_bytes(demo: Demo, family: str) -> None:
    """Every byte of the body is a chunk."""
    heard = await faulty(demo, family, "drip;tokens=2")
    assert {len(chunk) for chunk in heard.chunks} == {1}


@families
async def test_chunks_that_end_inside_characters(demo: Demo, family: str) -> None:
    """Some chunks cannot be decoded by themselves, their sum can."""
    heard = await faulty(demo, family, "split-utf8")
    assert heard.body.decode()
    broken = [chunk for chunk in heard.chunks if chunk.decode("utf-8", "ignore").encode() != chunk]
    assert len(broken) >= 2


@families
async def test_several_events_in_a_chunk(demo: Demo, family: str) -> None:
    """Chunks hold three events, the last one what is left."""
    heard = await faulty(demo, family, "batch=3")
    held = [len(events_in(chunk)) for chunk in heard.chunks]
    assert set(held[:-1]) == {3}
    assert 1 <= held[-1] <= 3


@families
@pytest.mark.parametrize("fault", ["line=1MiB", "line=65537"])
async def test_very_long_line(demo: Demo, family: str, fault: str) -> None:
    """One event is as long as asked for, in one line, and still parses."""
    heard = await faulty(demo, family, fault)
    longest = max(events_in(heard.body), key=len)
    size = 1024**2 if "MiB" in fault else 65537
    assert b"x" * size in longest
    assert json.loads(longest.split(b"data: ", 1)[1])
    assert heard.whole
    assert END_MARKS[family] in heard.body


@families
async def test_garbage_inside_the_body(demo: Demo, family: str) -> None:
    """Bytes that are no SSE follow the end mark, and the body still ends properly."""
    whole = await plain(demo, family)
    heard = await faulty(demo, family, "garbage=100")
    assert heard.whole
    assert heard.body[: len(whole.body)] == whole.body
    assert len(heard.body) == len(whole.body) + 100


@families
async def test_garbage_behind_the_answer(demo: Demo, family: str) -> None:
    """Bytes follow the last chunk."""
    heard = await faulty(demo, family, "garbage-after=100")
    assert len(heard.payload.split(b"0\r\n\r\n", 1)[1]) == 100


@families
@pytest.mark.parametrize(("fault", "lie"), [("length-long=50", 50), ("length-short=50", -50)])
async def test_wrong_content_length(demo: Demo, family: str, fault: str, lie: int) -> None:
    """The announced length is wrong by just so much, and the connection ends."""
    heard = await faulty(demo, family, fault)
    assert int(heard.header("content-length") or 0) == len(heard.payload) + lie
    assert heard.header("transfer-encoding") is None
    assert heard.end == "closed"


@families
async def test_gzip_that_nobody_asked_for(demo: Demo, family: str) -> None:
    """The body is compressed, each event flushed, and unpacks to the healthy one."""
    whole = await plain(demo, family)
    heard = await faulty(demo, family, "gzip")
    assert heard.header("content-encoding") == "gzip"
    assert gzip.decompress(heard.body) == whole.body
    first = zlib.decompressobj(wbits=31).decompress(heard.chunks[0])
    assert len(events_in(first)) == 1


@families
async def test_head_that_is_too_big(demo: Demo, family: str) -> None:
    """One header holds 64 KiB, or there are hundreds."""
    big = await faulty(demo, family, "big-headers")
    many = await faulty(demo, family, "many-headers=300")
    assert len(big.header("x-demo-big") or "") == 64 * 1024
    assert many.head.count(b"\r\nx-demo-") == 300


@families
@pytest.mark.parametrize("code", [100, 102, 103])
async def test_interim_answer(demo: Demo, family: str, code: int) -> None:
    """An interim head comes first, then the real one."""
    heard = await faulty(demo, family, f"informational={code}")
    assert heard.status == code
    assert heard.payload.startswith(b"HTTP/1.1 200 OK\r\n")


@families
async def test_body_that_ends_with_the_connection(demo: Demo, family: str) -> None:
    """Neither chunks nor length, whole or cut."""
    heard = await faulty(demo, family, "close")
    cut = await faulty(demo, family, "close;cut=4")
    old = await faulty(demo, family, "http10")
    assert heard.header("transfer-encoding") is None
    assert heard.header("content-length") is None
    assert END_MARKS[family] in heard.body
    assert len(events_in(cut.body)) == 4
    assert old.raw.startswith(b"HTTP/1.0 200 OK\r\n")


@families
async def test_redirect(demo: Demo, family: str) -> None:
    """The answer points elsewhere; whoever follows it is seen there."""
    heard = await faulty(demo, family, "redirect=308")
    assert (heard.status, heard.header("location")) == (308, "/demo/redirected")


@families
@pytest.mark.parametrize("words", ["status=500", "status=429", "status=503", "status=529"])
async def test_failure_status(demo: Demo, family: str, words: str) -> None:
    """The status is true, the body has the family's shape, retry headers come where they belong."""
    heard = await faulty(demo, family, words)
    document = heard.json()
    assert heard.status == int(words[-3:])
    assert heard.header("content-type") == "application/json"
    assert document["error"]["message"]
    assert (document.get("type") == "error") == (family == "messages")
    assert ("status" in document["error"]) == (family == "gemini")
    assert (heard.header("retry-after") is not None) == (heard.status in (429, 503))


def test_every_fault_is_known_to_these_tests() -> None:
    """No fault is on offer that no test here has named."""
    source = Path(__file__).read_text(encoding="utf-8")
    elsewhere = {"slow-read", "answer-early", "pings-only", "no-usage"}
    assert [name for name in FAULTS if name not in source and name not in elsewhere] == []


@pytest.mark.no_blockbuster
def test_all_of_it_on_uvloop() -> None:
    """The transports of uvloop, which `sluice demo` runs on, cut, reset and end alike."""

    async def walk() -> list[tuple[str, str, bool]]:
        running = await started(create_app())
        try:
            words = ("", "cut=3", "cut-reset=3;rate=200", "cut-chunk=3", "refuse", "reset")
            heard = [(word, await stream(running.port, "chat", word)) for word in words]
        finally:
            await running.runner.cleanup()
        return [(word, ending.end, ending.whole) for word, ending in heard]

    assert uvloop.run(walk()) == [
        ("", "closed", True),
        ("cut=3", "closed", False),
        ("cut-reset=3;rate=200", "reset", False),
        ("cut-chunk=3", "closed", False),
        ("refuse", "closed", False),
        ("reset", "reset", False),
    ]
