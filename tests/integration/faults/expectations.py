"""The table: what a client, the log and the upstream see of each fault, in each family."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum, auto

from proxy.record import EndedBy, Family

HASTY_FIRST = "hasty-first"
"""The model of an upstream whose first-token clock is short."""
HASTY_IDLE = "hasty-idle"
"""The model of an upstream whose idle clock is short."""


class Kind(Enum):
    """What the client is given."""

    SAME = auto()
    """Every byte that the upstream sent."""
    PASSED = auto()
    """The upstream's own refusal: status, body, and the headers that say when to come again."""
    REFUSED = auto()
    """A true status and an error of Sluice's own, in the family's shape."""
    BROKEN = auto()
    """What had come, then the family's own terminal error, and no end mark."""


@dataclass(frozen=True)
class Expect:
    """One cell of the table."""

    kind: Kind
    ended_by: EndedBy
    upstream: str
    """How the call ended for the upstream: `finished`, `fault`, or `left`: Sluice went first."""
    status: int = 200
    error: str = ""
    whole_events: int | None = None
    """How many events come whole before the error, where that is certain."""
    only_pings: bool = False
    """Nothing but the upstream's pings stands before the error."""
    said_its_mark: bool = False
    """The upstream had said its last word, but the body did not end there."""


@dataclass(frozen=True)
class Row:
    """One fault: what is expected of it, and where families differ."""

    words: str
    expect: Expect
    but: dict[Family, Expect] = field(default_factory=dict)
    model: str = "demo"
    like: str | None = None
    """The demo's words for the bytes that must arrive, where they are not the fault's own."""
    without: tuple[Family, ...] = ()
    behind_nginx: Expect | None = None
    all_or_nothing: bool = False
    """Whether aiohttp's parser gives the whole answer up, if all of it comes in one read."""

    def of(self, family: Family, gateway: str) -> Expect:
        """The cell of a family."""
        if gateway == "nginx" and self.behind_nginx is not None:
            return self.behind_nginx
        return self.but.get(family, self.expect)


def _passed(status: int) -> Expect:
    return Expect(Kind.PASSED, EndedBy.COMPLETE, "finished", status)


def _refused(status: int, error: str, ended_by: EndedBy, upstream: str) -> Expect:
    return Expect(Kind.REFUSED, ended_by, upstream, status, error)


def _cut(whole_events: int | None = 3, upstream: str = "fault") -> Expect:
    return Expect(
        Kind.BROKEN,
        EndedBy.UPSTREAM_CUT,
        upstream,
        error="upstream_cut",
        whole_events=whole_events,
    )


INVALID = _refused(502, "upstream_invalid", EndedBy.UPSTREAM_CUT, "finished")
SAME = Expect(Kind.SAME, EndedBy.COMPLETE, "finished")
UNDER_WAY = Expect(Kind.SAME, EndedBy.ERROR_EVENT, "finished")
_NO_TOKEN = EndedBy.FIRST_TOKEN_TIMEOUT
_SILENT = Expect(Kind.BROKEN, EndedBy.IDLE_TIMEOUT, "left", error="idle_timeout")
_PINGED = Expect(Kind.BROKEN, _NO_TOKEN, "left", error="first_token_timeout", only_pings=True)
# Gemini has no end mark: a finish reason is not the end, only a clean end after it is.
_LONGER = replace(_cut(None, "finished"), said_its_mark=True)
# The model stands in the body, which Sluice does not read on a route that it does not know, so
# no other upstream can be chosen there. Its clocks are tried where each test sets its own.
_NO_MODEL = (Family.UNKNOWN,)

BEFORE = [
    Row("refuse", _refused(502, "upstream_reset", EndedBy.UPSTREAM_CUT, "fault")),
    Row("reset", _refused(502, "upstream_reset", EndedBy.UPSTREAM_CUT, "fault")),
    *(
        Row(f"status={status}", _passed(status))
        for status in (400, 401, 403, 404, 408, 413, 422, 429, 500, 502, 503, 504, 529)
    ),
    Row("redirect", _passed(307)),
    Row("redirect=302", _passed(302)),
    Row("answer-early", _passed(413)),
    Row("slow-read=64KiB", SAME),
    *(Row(f"informational={code}", SAME) for code in (100, 102, 103)),
    Row(
        "hang-before",
        _refused(504, "first_token_timeout", _NO_TOKEN, "left"),
        model=HASTY_FIRST,
        without=_NO_MODEL,
    ),
    Row(
        "hang-headers",
        _refused(504, "first_token_timeout", _NO_TOKEN, "left"),
        model=HASTY_FIRST,
        without=_NO_MODEL,
    ),
    Row("empty", INVALID),
    Row("overloaded", _refused(503, "upstream_overloaded", EndedBy.ERROR_EVENT, "finished")),
    Row("cut=0", _refused(502, "upstream_cut", EndedBy.UPSTREAM_CUT, "fault")),
]
HEAD = [
    Row("big-headers", SAME, behind_nginx=INVALID),
    Row("many-headers", SAME),
    Row("close", SAME),
    Row("http10", SAME),
    Row("length-long", SAME, {Family.GEMINI: _LONGER}),
    Row("length-short", _cut(None, "finished"), all_or_nothing=True),
    Row("gzip", SAME, like=""),
]
CUTS = [
    Row("hang=4", _SILENT, model=HASTY_IDLE, without=_NO_MODEL),
    Row("cut", _cut()),
    Row("cut-inside", _cut()),
    Row("cut-utf8=1", _cut(None)),
    Row("cut-chunk", _cut()),
    Row("bad-chunk", _cut(), all_or_nothing=True),
    Row("cut-reset;rate=500", _cut(None)),
    Row("cut-clean", _cut(upstream="finished"), {Family.UNKNOWN: SAME}),
    Row("close;cut", _cut(), {Family.UNKNOWN: Expect(Kind.SAME, EndedBy.COMPLETE, "fault")}),
    Row("close;cut-inside", _cut()),
    Row("close;cut-reset;rate=500", _cut(None)),
]
ENDS = [
    Row("error=3", UNDER_WAY),
    Row("error=0", UNDER_WAY),
    Row("json-error=3", UNDER_WAY),
    Row("no-done", SAME, {Family.RESPONSES: _cut(None, "finished")}),
    Row("no-finish", SAME, {Family.GEMINI: _cut(None, "finished")}),
    Row("no-end", _cut(None, "finished"), {Family.UNKNOWN: SAME}),
    Row("no-usage", SAME),
]
NOISE = [
    Row("pings-only=0.02", _PINGED, model=HASTY_FIRST, without=_NO_MODEL),
    Row("pings=0.01;ttft=0.05;rate=300", SAME),
    Row("comments", SAME),
    Row("comments=2;fields;crlf", SAME),
    Row("fields", SAME),
    Row("garbage", SAME),
    Row("garbage=100KiB", SAME),
    Row("garbage-after", SAME, like="", all_or_nothing=True),
]
FORM = [
    Row("", SAME),
    Row("crlf", SAME),
    Row("cr", SAME),
    Row("cr;drip=3", SAME),
    Row("crlf;drip=1;tokens=3", SAME),
    Row("multiline", SAME),
    Row("multiline;crlf;split", SAME),
    Row("no-space", SAME),
    Row("bom", SAME),
    Row("bom;drip=1;tokens=3", SAME),
    Row("line", SAME),
    Row("line=70000;cr", SAME),
    Row("batch", SAME),
    Row("split", SAME),
    Row("split-utf8", SAME),
    Row("drip=7", SAME),
    Row("drip-wire;tokens=3", SAME),
    Row("tokens=1", SAME),
    Row("reasoning=5", SAME),
]
TABLE = [*BEFORE, *HEAD, *CUTS, *ENDS, *NOISE, *FORM]
