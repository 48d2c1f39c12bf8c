"""How lines are written, and the one line that each request gets.

That line never holds a prompt, an answer or a key: it is made of named facts alone.
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any, Literal, TextIO

import msgspec
import structlog

from proxy.meter import warnings
from proxy.meter.log_stream import STDERR, LogStream
from proxy.meter.tokens import longest_gap, pace, time_to_first_text, time_to_first_token
from proxy.record import EndedBy

if TYPE_CHECKING:
    from structlog.typing import EventDict, Processor

    from proxy.meter.tokens import Tally
    from proxy.record import RequestRecord, UpstreamTry

Level = Literal["debug", "info", "warning", "error"]
Format = Literal["json", "console"]

_LONGEST_NAME = 200
_QUIET = frozenset({EndedBy.COMPLETE, EndedBy.CLIENT_LEFT, EndedBy.REJECTED})
"""Outcomes that are nobody's failure here."""
_encode = msgspec.json.Encoder(enc_hook=repr).encode


def configure(level: Level = "info", form: Format = "json", stream: TextIO | None = None) -> None:
    """Write all lines, those of libraries too, to this stream (standard error) in this form.

    JSON is one object a line, console is for people. Call it once, when a process starts.
    Standard error loses lines that it cannot take, and is never waited for.
    """
    text: Any = STDERR if stream is None else stream
    raw: Any = STDERR if stream is None else stream.buffer
    number = logging.getLevelNamesMapping()[level.upper()]
    chain: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        warnings.remember,
    ]
    factory: Any
    if form == "console":
        last: Processor = structlog.dev.ConsoleRenderer(colors=text.isatty())
        factory, as_text = structlog.WriteLoggerFactory(text), last
    else:
        chain += [_add_name, structlog.processors.format_exc_info]
        factory, last, as_text = structlog.BytesLoggerFactory(raw), _json, _json_text
    structlog.configure(
        processors=[*chain, last],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=factory,
        cache_logger_on_first_use=False,
    )
    _adopt_libraries(text, number, chain, as_text)


def _adopt_libraries(
    stream: TextIO | LogStream, number: int, chain: list[Processor], as_text: Processor
) -> None:
    """Lines of the standard `logging` look like all others; below `info` they are only noise."""
    handler = logging.StreamHandler(stream)
    tidy = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=chain, processors=[tidy, as_text], keep_exc_info=False
        )
    )
    logging.basicConfig(handlers=[handler], level=max(number, logging.INFO), force=True)


class RequestLog:
    """Writes the lines of requests. Make it after `configure`."""

    def __init__(self, **known: str | int) -> None:
        self._log = structlog.get_logger("request").bind(**known)

    def write(self, record: RequestRecord, tally: Tally, cost: float | None = None) -> None:
        """One line for a request that has ended; `cost` is in US dollars."""
        quiet = record.ended_by in _QUIET and record.status < 500
        said = self._log.info if quiet else self._log.warning
        said("request", **facts(record, tally, cost))


def facts(record: RequestRecord, tally: Tally, cost: float | None = None) -> dict[str, Any]:
    """What the line says of a request; what is not known is left out."""
    found = pace(tally)
    usage = tally.usage
    said: dict[str, Any] = {
        "request_id": record.request_id,
        "client": record.client_address,
        "method": record.method,
        "route": record.route,
        "model": record.model[:_LONGEST_NAME],
        "response_model": tally.model[:_LONGEST_NAME],
        "upstream": record.upstream,
        "upstream_request_id": record.upstream_request_id,
        "key": record.client_key,
        "status": record.status,
        "ended_by": str(record.ended_by or ""),
        "error": record.error,
        "upstream_error": tally.error,
        "finish_reason": tally.finish_reason,
        "attempts": record.attempts or None,
        "tries": [_told(one) for one in record.tries] or None,
        "duration_seconds": _rounded(record.duration),
        "queue_seconds": _rounded(record.queue_seconds),
        "ttft_seconds": _rounded(time_to_first_token(record, tally)),
        "first_text_seconds": _rounded(time_to_first_text(record, tally)),
        "longest_gap_seconds": _rounded(longest_gap(tally)),
        "input_tokens": usage.input_total if usage else None,
        "output_tokens": usage.output_total if usage else None,
        "cached_tokens": usage.cached if usage else None,
        "reasoning_tokens": usage.reasoning if usage else None,
        "token_events": tally.counted or None,
        "tokens_per_second": _rounded(found[1]) if found else None,
        "tokens_source": found[2] if found else None,
        "cost_usd": cost,
        "malformed_events": tally.malformed or None,
        "bytes_in": record.bytes_in,
        "bytes_out": record.bytes_out,
        "trace_id": record.traceparent[3:35],
        "notes": record.notes or None,
    }
    return {name: value for name, value in said.items() if value is not None and value != ""}


def _told(one: UpstreamTry) -> dict[str, Any]:
    said: dict[str, Any] = {"upstream": one.upstream, "status": one.status, "error": one.error}
    said |= {"seconds": _rounded(one.seconds), "request_id": one.request_id}
    return {name: value for name, value in said.items() if value is not None and value != ""}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


def _add_name(logger: Any, _method: str, event: EventDict) -> EventDict:
    """The logger's name, where it has one."""
    name = getattr(event.get("_record") or logger, "name", None)
    if name:
        event["logger"] = name
    return event


def _json(_logger: object, _method: str, event: EventDict) -> bytes:
    try:
        return _encode(event)
    except UnicodeEncodeError:  # Half a surrogate pair, which only escaped JSON can hold.
        return json.dumps(event, default=repr).encode()


def _json_text(_logger: object, _method: str, event: EventDict) -> str:
    return _json(_logger, _method, event).decode()
