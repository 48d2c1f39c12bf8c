"""Reads a request's body and its API key."""

from __future__ import annotations

import asyncio
import hashlib
import json
from typing import TYPE_CHECKING, Any

from proxy.demo.generation_request import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp import web

    from proxy.demo.plan import Plan
    from proxy.demo.recorded_calls import RecordedCall

_SLOW_STEPS_PER_SECOND = 20


class TooLargeError(ValueError):
    """The body is larger than the demo accepts."""


async def chunks(request: web.BaseRequest, plan: Plan, call: RecordedCall) -> AsyncIterator[bytes]:
    """Return the request's body as it arrives, or as slowly as the plan says."""
    if not plan.has("slow-read"):
        async for data in request.content.iter_any():
            call.body_bytes += len(data)
            yield data
        return
    size = max(1, plan.count("slow-read") // _SLOW_STEPS_PER_SECOND)
    while data := await request.content.read(size):
        call.body_bytes += len(data)
        yield data
        await asyncio.sleep(1 / _SLOW_STEPS_PER_SECOND)


async def read_json(
    request: web.BaseRequest, plan: Plan, call: RecordedCall, limit: int
) -> dict[str, Any]:
    """Read a JSON object of at most `limit` bytes; raises InvalidRequestError, TooLargeError."""
    body = bytearray()
    async for data in chunks(request, plan, call):
        body += data
        if len(body) > limit:
            raise TooLargeError(f"The request body is over {limit} bytes.")
    try:
        value = json.loads(body)
    except ValueError as error:
        raise InvalidRequestError(
            f"We could not parse the JSON body of your request: {error}"
        ) from None
    if not isinstance(value, dict):
        raise InvalidRequestError("The JSON body of your request must be an object.")
    return value


async def digest(request: web.BaseRequest, plan: Plan, call: RecordedCall) -> tuple[int, str]:
    """Read a body of any size; return its length in bytes and its SHA-256."""
    hashed = hashlib.sha256()
    async for data in chunks(request, plan, call):
        hashed.update(data)
    return call.body_bytes, hashed.hexdigest()


def key_of(request: web.BaseRequest) -> str:
    """Return the API key, from wherever the families send it."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    for name in ("x-api-key", "x-goog-api-key", "api-key"):
        if name in request.headers:
            return request.headers[name]
    return request.query.get("key", "")
