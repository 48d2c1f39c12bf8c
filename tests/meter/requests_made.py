"""Requests that have ended, and what their answers held."""

from __future__ import annotations

from typing import Any

from proxy.meter.tally import TEXT, Tally, Usage
from proxy.record import EndedBy, Family, RequestRecord


def answered(**other: Any) -> RequestRecord:
    """A request that came at 100 s, was answered from 101 s on and ended at 105 s."""
    known: dict[str, Any] = {
        "request_id": "r-1",
        "method": "POST",
        "route": "/v1/chat/completions",
        "family": Family.CHAT,
        "started_at": 100.0,
        "model": "m-1",
        "client_key": "shop",
        "upstream": "a",
        "attempts": 1,
        "queue_seconds": 0.25,
        "called_at": 100.5,
        "connected_at": 100.75,
        "headers_at": 100.9,
        "first_byte_at": 101.0,
        "first_sent_at": 101.01,
        "ended_at": 105.0,
        "upstream_status": 200,
        "status": 200,
        "bytes_in": 30,
        "bytes_out": 400,
        "ended_by": EndedBy.COMPLETE,
    }
    return RequestRecord(**(known | other))


def counted(tokens: int = 4, **other: Any) -> Tally:
    """An answer with a token every half second from 101.5 s on, and usage to match."""
    tally = Tally(family=Family.CHAT, model="m-1-2026", usage=Usage(7, tokens, 0, 2))
    for index in range(tokens):
        tally.count(TEXT, 101.5 + index / 2)
    for name, value in other.items():
        setattr(tally, name, value)
    return tally
