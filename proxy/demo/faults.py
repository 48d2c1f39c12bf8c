"""The fault kit: all faults of the demo upstream, in one table.

The grammar, the documentation and tests of a gateway use `FAULTS`. "Events" are counted from the
stream's first one, including the role chunk or `message_start`; pings and comments are not counted.
An N beyond the last event means after the last one. A JSON answer counts as one event: a cut or a
hang occurs in its middle.
"""

from __future__ import annotations

from typing import NamedTuple

from proxy.demo import grammar_values
from proxy.demo.grammar_values import Value, ValueKind


class Fault(NamedTuple):
    """One fault: when it occurs, its argument, its effect, and what a gateway should do."""

    stage: str
    kind: ValueKind
    default: Value
    argument: str
    does: str
    gateway: str


BEFORE = "before the answer"
REQUEST = "while the request is read"
HEAD = "in the response head"
CUT = "cuts and hangs"
END = "wrong ends"
FORM = "odd but legal form"
NOISE = "noise"

_N = "events, 3"
_CUT_GATEWAY = "the family's terminal error and no end mark: `upstream_cut`"
_SAME = "passes byte for byte, counts the same: `complete`"
_STATUS = "retries what is safe to retry; else true status, body and retry headers reach the client"


def _at_event(does: str, gateway: str = _CUT_GATEWAY) -> Fault:
    return Fault(CUT, grammar_values.COUNT, 3, _N, does, gateway)


def _switch(stage: str, does: str, gateway: str) -> Fault:
    return Fault(stage, grammar_values.FLAG, True, "", does, gateway)


FAULTS: dict[str, Fault] = {
    "refuse": _switch(
        BEFORE,
        "closes the connection without a byte",
        "retries; 502 when it gives up",
    ),
    "reset": _switch(
        BEFORE,
        "resets the connection (RST) without a byte",
        "retries; 502 when it gives up",
    ),
    "status": Fault(
        BEFORE,
        grammar_values.FAILURE_CODE,
        500,
        "code, 500",
        "answers with this status and the family's error body; 429 and 503 bring `Retry-After`, "
        "`retry-after-ms` and rate-limit headers",
        _STATUS,
    ),
    "redirect": Fault(
        BEFORE,
        grammar_values.REDIRECT_CODE,
        307,
        "code, 307",
        "redirects to `/demo/redirected`",
        "passes it on and never follows it: the key would go along",
    ),
    "hang-before": Fault(
        BEFORE,
        grammar_values.SECONDS,
        float("inf"),
        "seconds, for ever",
        "says nothing for so long, then goes on",
        "retry or 504 after the first-token time; pings once it has committed",
    ),
    "informational": Fault(
        BEFORE,
        grammar_values.INTERIM_CODE,
        103,
        "code, 103",
        "an interim answer (100, 102, 103) ahead of the real one",
        "waits for the real one; passes nothing wrong on",
    ),
    "slow-read": Fault(
        REQUEST,
        grammar_values.SIZE,
        16 * 1024,
        "bytes per second, 16KiB",
        "reads the request body slowly (only as `X-Demo` header)",
        "slows its client down in bounded memory; the first-token time starts after the body",
    ),
    "answer-early": Fault(
        REQUEST,
        grammar_values.FAILURE_CODE,
        413,
        "code, 413",
        "answers before it has read the request body (only as `X-Demo` header)",
        "passes status and body on, does not wait to send the rest",
    ),
    "hang-headers": Fault(
        HEAD,
        grammar_values.SECONDS,
        float("inf"),
        "seconds, for ever",
        "sends status and headers, then nothing for so long",
        "has not committed yet: as hang-before",
    ),
    "big-headers": Fault(
        HEAD,
        grammar_values.SIZE,
        64 * 1024,
        "size, 64KiB",
        "one header of this size",
        "502 that says why, or passes it on whole; nothing hangs",
    ),
    "many-headers": Fault(
        HEAD,
        grammar_values.COUNT,
        200,
        "number, 200",
        "so many headers more",
        "502 that says why, or passes them all on",
    ),
    "close": _switch(
        HEAD,
        "no chunks and no length: the body ends with the connection",
        "`complete` by the end mark; with a `cut`, `upstream_cut`, for only the mark tells",
    ),
    "http10": _switch(
        HEAD,
        "as `close`, with an HTTP/1.0 status line",
        "as close",
    ),
    "length-long": Fault(
        HEAD,
        grammar_values.AT_LEAST_ONE,
        100,
        "bytes, 100",
        "a `Content-Length` so much above what comes, then the connection closes",
        "`complete` if the end mark has come; if not, or without one (Gemini), `upstream_cut`",
    ),
    "length-short": Fault(
        HEAD,
        grammar_values.AT_LEAST_ONE,
        100,
        "bytes, 100",
        "a `Content-Length` so much below what comes",
        "takes only the announced bytes, drops the connection: `upstream_cut`",
    ),
    "gzip": _switch(
        HEAD,
        "compresses the body though nobody asked",
        "passes it on with its `Content-Encoding`, or decodes it and drops that header",
    ),
    "hang": _at_event(
        "is silent after N events, for `hang-for` (for ever)",
        "cuts at its idle time: `idle_timeout` and the family's terminal error",
    ),
    "cut": _at_event(
        "closes after N events, between two, without a last chunk",
        _CUT_GATEWAY + "; before the first event, retries or 502",
    ),
    "cut-inside": _at_event("closes in the middle of the event after N"),
    "cut-utf8": _at_event("closes inside the first multi-byte character after N events"),
    "cut-chunk": _at_event("closes inside an HTTP chunk, after N events and a half"),
    "bad-chunk": _at_event("sends a chunk size that is no number, after N events"),
    "cut-reset": _at_event("resets (RST) after N events"),
    "cut-clean": _at_event("ends the body properly after N events: no finish, no end mark"),
    "overloaded": _switch(
        END,
        "200, then an overloaded error as the first event",
        "retries as if it were a 529; a true failure status when it gives up",
    ),
    "error": Fault(
        END,
        grammar_values.COUNT,
        3,
        _N,
        "the family's error event after N events, then a clean end of body",
        "passes it on, counts no success: `error_event`",
    ),
    "json-error": Fault(
        END,
        grammar_values.COUNT,
        3,
        _N,
        "a bare JSON error, not SSE, after N events, then a clean end of body",
        "`error_event`",
    ),
    "no-done": _switch(
        END,
        "no end mark (`[DONE]`, `message_stop`, `response.completed`), finish reasons present",
        "`complete`, byte for byte; for responses, whose only end is the mark, `upstream_cut`",
    ),
    "no-finish": _switch(
        END,
        "the end mark without any finish reason",
        "`complete`: the mark counts; for Gemini, which only has the reason, `upstream_cut`",
    ),
    "no-end": _switch(
        END,
        "neither finish reason nor end mark, but a clean end of body",
        _CUT_GATEWAY,
    ),
    "no-usage": _switch(
        END,
        "no usage, even if asked for",
        "counts by itself and says so; no zeros",
    ),
    "empty": _switch(
        END,
        "200, the event stream's headers, and an empty body",
        "a failure before the commit: retries or 502",
    ),
    "pings-only": Fault(
        NOISE,
        grammar_values.SECONDS,
        0.05,
        "seconds between, 0.05",
        "nothing but the family's pings, for ever",
        "first-token time runs on: a ping is no token and re-arms no clock",
    ),
    "pings": Fault(
        NOISE,
        grammar_values.SECONDS,
        0.05,
        "seconds between, 0.05",
        "the family's pings whenever nothing else is said for so long",
        _SAME,
    ),
    "comments": Fault(
        NOISE,
        grammar_values.AT_LEAST_ONE,
        1,
        "every N events, 1",
        "comment blocks between events and comment lines inside them",
        _SAME,
    ),
    "fields": _switch(
        NOISE,
        "`id:`, `retry:` and unknown fields in every event",
        _SAME,
    ),
    "garbage": Fault(
        NOISE,
        grammar_values.SIZE,
        64,
        "size, 64",
        "bytes that are no SSE after the end mark, inside the body",
        "`complete`: what comes after the mark does not matter",
    ),
    "garbage-after": Fault(
        NOISE,
        grammar_values.SIZE,
        64,
        "size, 64",
        "bytes on the connection after the answer's end",
        "`complete`; never uses that connection again",
    ),
    "crlf": _switch(FORM, "lines end in CR LF", _SAME),
    "cr": _switch(FORM, "lines end in CR alone", _SAME),
    "multiline": _switch(FORM, "each event's JSON lies over several `data:` lines", _SAME),
    "no-space": _switch(FORM, "`data:` without a space after it", _SAME),
    "bom": _switch(FORM, "a byte order mark first", _SAME),
    "line": Fault(
        FORM,
        grammar_values.SIZE,
        1024**2,
        "size, 1MiB",
        "the second token is so long, in one line (try 64MiB)",
        "passes it on in bounded memory",
    ),
    "batch": Fault(FORM, grammar_values.AT_LEAST_ONE, 3, _N, "N events in one chunk", _SAME),
    "split": _switch(FORM, "each event in two chunks, cut in its middle", _SAME),
    "split-utf8": _switch(FORM, "chunks end inside every multi-byte character", _SAME),
    "drip": Fault(
        FORM,
        grammar_values.AT_LEAST_ONE,
        1,
        "bytes, 1",
        "events in chunks of so many bytes, one at a time",
        _SAME,
    ),
    "drip-wire": _switch(FORM, "every byte on its own, head and chunk framing included", _SAME),
}
