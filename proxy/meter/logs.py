"""Configures logging, and writes the log line of each request.

That line never contains a prompt, an answer or a key: it is made of listed fields only.
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any, Literal, TextIO

import msgspec
import structlog

from proxy.meter import recent_warnings
from proxy.meter.log_output import STDERR, LogOutput
from proxy.meter.tally import longest_gap, pace, time_to_first_text, time_to_first_token
from proxy.record import EndedBy

if TYPE_CHECKING:
    from structlog.typing import EventDict, Processor

    from proxy.meter.tally import Tally
    from proxy.record import RequestRecord, UpstreamTry

Level = Literal["debug", "info", "warning", "error"]
Format = Literal["json", "console"]

_LONGEST_NAME = 200
_QUIET = frozenset({EndedBy.COMPLETE, EndedBy.CLIENT_LEFT, EndedBy.REJECTED})
"""Outcomes that are not failures."""
_encode = msgspec.json.Encoder(enc_hook=repr).encode


def configure(level: Level = "info", form: Format = "json", stream: TextIO | None = None) -> None:
    """Write all lines, including those of libraries, to this stream in this form.

    JSON is one object per line, console is for people. Call it once, when a process starts.
    The default, standard error, drops lines that it cannot write, and never blocks for long.
    """
    text: Any = STDERR if stream is None else stream
    raw: Any = STDERR if stream is None else stream.buffer
    number = logging.getLevelNamesMapping()[level.upper()]
    chain: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        recent_warnings.remember,
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
    stream: TextIO | LogOutput, number: int, chain: list[Processor], as_text: Processor
) -> None:
    """Format lines of the standard `logging` like all others; drop those below `info`."""
    handler = logging.StreamHandler(stream)
    tidy = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=chain, processors=[tidy, as_text], keep_exc_info=False
        )
    )
    logging.basicConfig(handlers=[handler], level=max(number, logging.INFO), force=True)


class RequestLog:
    """Writes the lines of requests; create it after `configure`."""

    def __init__(self, **known: str | int) -> None:
        self._log = structlog.get_logger("request").bind(**known)

    def write(self, record: RequestRecord, tally: Tally, cost: float | None = None) -> None:
        """Write the line of an ended request; `cost` is in US dollars."""
        quiet = record.ended_by in _QUIET and record.status < 500
        log = self._log.info if quiet else self._log.warning
        log("request", **facts(record, tally, cost))


def facts(record: RequestRecord, tally: Tally, cost: float | None = None) -> dict[str, Any]:
    """Return the fields of a request's line; unknown ones are omitted."""
    token_pace = pace(tally)
    usage = tally.usage
    fields: dict[str, Any] = {
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
        "tries": [_try_fields(upstream_try) for upstream_try in record.tries] or None,
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
        "tokens_per_second": _rounded(token_pace[1]) if token_pace else None,
        "tokens_source": token_pace[2] if token_pace else None,
        "cost_usd": cost,
        "malformed_events": tally.malformed or None,
        "bytes_in": record.bytes_in,
        "bytes_out": record.bytes_out,
        "trace_id": record.traceparent[3:35],
        "notes": record.notes or None,
    }
    return {name: value for name, value in fields.items() if value is not None and value != ""}


def _try_fields(upstream_try: UpstreamTry) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "upstream": upstream_try.upstream,
        "status": upstream_try.status,
        "error": upstream_try.error,
    }
    fields |= {"seconds": _rounded(upstream_try.seconds), "request_id": upstream_try.request_id}
    return {name: value for name, value in fields.items() if value is not None and value != ""}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


def _add_name(logger: Any, _method: str, event: EventDict) -> EventDict:
    """Add the logger's name, if it has one."""
    name = getattr(event.get("_record") or logger, "name", None)
    if name:
        event["logger"] = name
    return event


def _json(_logger: object, _method: str, event: EventDict) -> bytes:
    try:
        return _encode(event)
    except UnicodeEncodeError:  # A lone surrogate, which only escaped JSON can represent.
        return json.dumps(event, default=repr).encode()


def _json_text(_logger: object, _method: str, event: EventDict) -> str:
    return _json(_logger, _method, event).decode()
