from __future__ import annotations

import io
import json
import logging
from typing import TYPE_CHECKING, Any

import pytest
import structlog

from proxy.meter.logs import RequestLog, configure, facts
from proxy.meter.tally import TEXT, Tally, Usage
from proxy.record import EndedBy, Family, UpstreamTry
from tests.meter.requests_made import answered, counted
from tests.meter.streams import play, sse

if TYPE_CHECKING:
    from collections.abc import Iterator


class Written:
    """What was written, as text and as one JSON object for each line."""

    def __init__(self) -> None:
        self.bytes = io.BytesIO()
        self.stream = io.TextIOWrapper(self.bytes, encoding="utf-8", write_through=True)

    @property
    def text(self) -> str:
        """All of it."""
        return self.bytes.getvalue().decode()

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Each line by itself."""
        return [json.loads(line) for line in self.text.splitlines()]


@pytest.fixture
def written() -> Iterator[Written]:
    """Where lines go for one test; the configuration is put back afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield Written()
    structlog.reset_defaults()
    root.handlers[:], root.level = handlers, level


def test_a_request_is_one_line_of_facts(written: Written) -> None:
    """With every figure that operators ask for."""
    configure("info", "json", written.stream)
    traceparent = f"00-{'a' * 32}-{'b' * 16}-01"
    request = answered(traceparent=traceparent, notes={"family": "seen"})
    RequestLog(worker=3).write(request, counted(), 0.25)
    (line,) = written.lines
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "worker": 3,
        "event": "request",
        "level": "info",
        "logger": "request",
        "request_id": "r-1",
        "method": "POST",
        "route": "/v1/chat/completions",
        "model": "m-1",
        "response_model": "m-1-2026",
        "upstream": "a",
        "key": "shop",
        "status": 200,
        "ended_by": "complete",
        "attempts": 1,
        "duration_seconds": 5.0,
        "queue_seconds": 0.25,
        "ttft_seconds": 1.5,
        "first_text_seconds": 1.5,
        "longest_gap_seconds": 0.5,
        "input_tokens": 7,
        "output_tokens": 4,
        "cached_tokens": 2,
        "reasoning_tokens": 0,
        "token_events": 4,
        "tokens_per_second": 2.0,
        "tokens_source": "usage",
        "cost_usd": 0.25,
        "bytes_in": 30,
        "bytes_out": 400,
        "trace_id": "a" * 32,
        "notes": {"family": "seen"},
    }


def test_what_is_not_known_is_left_out() -> None:
    """Absent is absent, never 0 or empty."""
    shed = answered(
        model="",
        upstream="",
        client_key="",
        status=503,
        ended_by=EndedBy.SHED,
        error="overloaded",
        attempts=0,
    )
    logged = facts(shed, Tally())
    assert logged["error"] == "overloaded"
    assert not {"model", "upstream", "key", "ttft_seconds", "input_tokens", "cost_usd"} & set(
        logged
    )
    assert not {"attempts", "tokens_per_second", "trace_id", "notes"} & set(logged)


def test_the_line_tells_who_asked_and_what_each_upstream_said() -> None:
    """The client's address, the upstream's own id of the request, and every attempt."""
    tries = [
        UpstreamTry("a", 10.0, error="connect_timeout"),
        UpstreamTry("b", 0.25, 503, request_id="req_1"),
        UpstreamTry("c", 0.1234567, 200, request_id="req_2"),
    ]
    logged = facts(
        answered(client_address="192.0.2.7", upstream_request_id="req_2", tries=tries), Tally()
    )
    assert logged["client"] == "192.0.2.7"
    assert logged["upstream_request_id"] == "req_2"
    assert logged["tries"] == [
        {"upstream": "a", "error": "connect_timeout", "seconds": 10.0},
        {"upstream": "b", "status": 503, "seconds": 0.25, "request_id": "req_1"},
        {"upstream": "c", "status": 200, "seconds": 0.123457, "request_id": "req_2"},
    ]


@pytest.mark.parametrize(
    ("ended_by", "status", "level"),
    [
        (EndedBy.COMPLETE, 200, "info"),
        (EndedBy.CLIENT_LEFT, 200, "info"),
        (EndedBy.REJECTED, 404, "info"),
        (EndedBy.FAILED, 500, "warning"),
        (EndedBy.UPSTREAM_CUT, 200, "warning"),
        (EndedBy.IDLE_TIMEOUT, 200, "warning"),
        (EndedBy.SHED, 200, "warning"),
    ],
)
def test_a_failure_is_a_warning(
    written: Written, ended_by: EndedBy, status: int, level: str
) -> None:
    """A client that left is an outcome, not a failure."""
    configure("info", "json", written.stream)
    RequestLog().write(answered(ended_by=ended_by, status=status), counted())
    assert written.lines[0]["level"] == level


def test_neither_prompt_nor_answer_nor_key_is_written(written: Written) -> None:
    """Whatever the stream and its errors hold, only names and numbers come out."""
    configure("debug", "json", written.stream)
    secret = "sk-secret the prompt and the answer"
    chunk = {"choices": [{"index": 0, "delta": {"content": secret}}], "model": "m"}
    error = {"error": {"message": secret, "type": secret, "code": secret}}
    for family in Family:
        reader, _ = play(family, sse(chunk, secret, error))
        reader.stray(json.dumps(error).encode(), 9.0)
        RequestLog().write(answered(family=family), reader.tally)
    assert len(written.lines) == len(Family)
    assert "secret" not in written.text
    assert "prompt and" not in written.text


def test_lines_of_libraries_look_the_same(written: Written) -> None:
    """Also with a traceback, which stays on the line."""
    configure("info", "json", written.stream)
    logging.getLogger("aiohttp.server").warning("odd %s", "thing")
    logging.getLogger("asyncio").debug("noise")
    try:
        int("boom")
    except ValueError:
        logging.getLogger("aiohttp.server").exception("failed")
        structlog.get_logger("appliance").exception("failed too", path=object)
    odd, failed, too = written.lines
    assert (odd["event"], odd["logger"], odd["level"]) == ("odd thing", "aiohttp.server", "warning")
    assert "ValueError: invalid literal" in failed["exception"]
    assert "ValueError: invalid literal" in too["exception"]
    assert too["logger"] == "appliance"


def test_lines_for_people_are_no_json(written: Written) -> None:
    """One each, with the same facts."""
    configure("info", "console", written.stream)
    RequestLog(worker=1).write(answered(), counted())
    logging.getLogger("aiohttp.server").warning("odd")
    request, odd = written.text.splitlines()
    assert "ended_by=complete" in request
    assert "ttft_seconds=1.5" in request
    assert "odd" in odd
    assert "\x1b" not in written.text


def test_below_the_level_nothing_is_written(written: Written) -> None:
    """At `warning`, a healthy request has no line."""
    configure("warning", "json", written.stream)
    RequestLog().write(answered(), counted())
    logging.getLogger("x").info("no")
    structlog.get_logger("x").info("no")
    assert written.text == ""


def test_a_name_that_is_no_valid_text_is_still_written(written: Written) -> None:
    """A client may name half a character as its model."""
    configure("info", "json", written.stream)
    RequestLog().write(answered(model="\ud800" + "x" * 500), counted())
    assert written.lines[0]["model"] == "\ud800" + "x" * 199


def test_usage_is_told_in_totals() -> None:
    """As in the metrics: cached tokens within the input, reasoning within the output."""
    tally = Tally(usage=Usage(4, 9, 5, 6, input_beside=6, output_beside=5))
    tally.count(TEXT, 101.0)
    logged = facts(answered(), tally)
    assert (logged["input_tokens"], logged["output_tokens"]) == (10, 14)
