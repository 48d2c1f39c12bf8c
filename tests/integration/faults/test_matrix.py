"""Every fault, in every family, through a worker alone and through the whole appliance."""

from __future__ import annotations

import json
import re
import uuid
from dataclasses import replace
from typing import Any

import pytest
from multidict import CIMultiDict

from proxy.demo.faults import FAULTS
from proxy.record import Family
from tests.integration.faults.asking import ASKINGS, Asking
from tests.integration.faults.events import events_of
from tests.integration.faults.expectations import INVALID, TABLE, Expect, Kind, Row
from tests.integration.faults.gateways import RunningGateway
from tests.integration.faults.recorder import for_each, read_answer
from tests.integration.raw import BrokenOff, Head, Whole

TOLD = ("retry-after", "retry-after-ms", "location", "content-type")
"""Headers of a refusal by which clients act; and all that begin with `x-ratelimit-`."""
SPOILT = b"data: (cut)\n"
_SENT: dict[tuple[str, bytes], Whole] = {}
"""What the upstream sends, by its URL and the request: the same for each kind of gateway."""


@pytest.mark.parametrize("row", TABLE, ids=[row.words or "healthy" for row in TABLE])
async def test_every_fault(gateway: RunningGateway, row: Row) -> None:
    """The client sees what happened, the log says it, the upstream is let go, the slot is free."""
    askings = [asking for asking in ASKINGS if asking.family not in row.without]
    await for_each(askings, lambda asking: _as_expected(gateway, row, asking))


async def _as_expected(gateway: RunningGateway, row: Row, asking: Asking) -> None:
    run = uuid.uuid4().hex
    asked = asking.of_model(row.model)
    answer, clean = await read_answer(gateway.url, asked.request(f"seed=same;{row.words}", run))
    expect = row.of(asking.family, gateway.name)
    if answer.status == 502 and row.all_or_nothing and gateway.name == "worker-plain":
        expect = replace(INVALID, upstream=expect.upstream)
    like = row.words if row.like is None else row.like
    sent = await _sent(gateway, asked.request(f"seed=same;{_unending(like)}"))

    assert answer.status == expect.status, answer.body
    assert answer.headers["X-Request-ID"] == run
    assert clean is (expect.kind is not Kind.BROKEN)
    _CHECKS[expect.kind](answer, sent, expect, asking, run)

    ended = await gateway.outcome(run)
    assert (ended["ended_by"], ended.get("error") or "") == (expect.ended_by, expect.error)
    assert ended["status"] == expect.status
    calls = await gateway.upstream.over(run)
    assert [call["ended_by"] for call in calls] == [expect.upstream]


async def _sent(gateway: RunningGateway, data: bytes) -> Whole:
    """What the upstream sends to whoever asks it directly."""
    asked = (gateway.upstream.url, data)
    if asked not in _SENT:
        try:
            _SENT[asked] = (await read_answer(*asked))[0]
        except BrokenOff:
            _SENT[asked] = Whole(Head("", 0, "", CIMultiDict()), b"")
    return _SENT[asked]


def _unending(words: str) -> str:
    """The demo's words without what never ends: all that could have been sent."""
    return re.sub(r"(?:^|;)(?:hang|pings-only|cut-chunk)[a-z-]*(?:=[^;]*)?", "", words)


def _same(answer: Whole, sent: Whole, _expect: Expect, _asking: Asking, _run: str) -> None:
    assert answer.body == sent.body
    _is_a_stream(answer)


def _passed(answer: Whole, sent: Whole, _expect: Expect, _asking: Asking, _run: str) -> None:
    assert _without_ids(answer.body) == _without_ids(sent.body)
    for name, value in sent.headers.items():
        if name.lower() in TOLD or name.lower().startswith("x-ratelimit-"):
            assert answer.headers.get(name) == value


def _refused(answer: Whole, _sent: Whole, expect: Expect, asking: Asking, run: str) -> None:
    document = answer.json()
    error = document["error"]
    if asking.family is Family.GEMINI:
        assert error["code"] == answer.status
        assert error["details"][0]["reason"] == expect.error.upper()
    else:
        assert error["code"] == expect.error
    assert run in error["message"]
    if asking.family is Family.MESSAGES:
        assert (document["type"], document["request_id"]) == ("error", run)
    if expect.status == 503:
        assert int(answer.headers["Retry-After"]) >= 1


def _broken(answer: Whole, sent: Whole, expect: Expect, asking: Asking, run: str) -> None:
    _is_a_stream(answer)
    *before, last = events_of(answer.body)
    whole = [event for event in before if "(cut)" not in event.data]
    error = asking.check_terminal_error(last, whole)
    assert error["request_id"] == run
    assert error["code"] in {expect.error, 502, 504}
    if expect.only_pings:
        assert {(event.name, event.data) for event in whole} <= {("ping", '{"type": "ping"}')}
        return
    assert whole == events_of(sent.body)[: len(whole)]
    _only_what_was_sent(answer.body, sent.body)
    if expect.whole_events is not None:
        assert len(whole) == expect.whole_events
    if not expect.said_its_mark:
        assert not any(asking.end_mark in event.data.encode() for event in whole)


def _only_what_was_sent(body: bytes, sent: bytes) -> None:
    """Before the terminal error stand the upstream's bytes, but for the end of a half event."""
    before = body[: body.rindex(b"\n\n", 0, len(body) - 2) + 2] if body.count(b"\n\n") > 1 else b""
    kept, spoilt, tail = before.partition(SPOILT)
    if not spoilt:
        assert sent.startswith(kept)
        return
    assert re.fullmatch(rb"event: (?:incomplete|ping)\n\n", tail)
    # An unfinished character is completed, and the line ended, for the sake of strict decoders.
    assert any(sent.startswith(kept[: len(kept) - added]) for added in range(1, 5))


def _is_a_stream(answer: Whole) -> None:
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    assert answer.headers.getall("Cache-Control") == ["no-cache, no-transform"]
    assert answer.headers.getall("X-Accel-Buffering") == ["no"]
    assert "Content-Encoding" not in answer.headers


def _without_ids(body: bytes) -> Any:
    return json.loads(re.sub(rb"req_\w+", b"req_", body))


_CHECKS = {
    Kind.SAME: _same,
    Kind.PASSED: _passed,
    Kind.REFUSED: _refused,
    Kind.BROKEN: _broken,
}


def test_every_fault_of_the_kit_is_in_the_table() -> None:
    """A fault that operators can ask for has a row here."""
    words = {word.partition("=")[0] for row in TABLE for word in row.words.split(";")}
    assert set(FAULTS) - words == set()
