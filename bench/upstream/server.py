"""The paced upstream's connections: raw protocols, so that it is never the bottleneck."""

from __future__ import annotations

import asyncio
import json
import os
import time
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

from bench.upstream.events import STREAM_HEAD, Chunks, answer, json_response
from bench.upstream.pace import Pace, choose_pace
from bench.upstream.pacer import Pacer
from bench.upstream.requests import BadRequestError, Request, RequestReader

BACKLOG = 16384
"""Asked for; the kernel caps it at net.core.somaxconn."""

_SECOND = 1_000_000_000


class StreamedAnswer:
    """One answer on its schedule.

    Due times count from the request's arrival, never from the last token, so that a late token
    does not move the rest.
    """

    __slots__ = ("_chunks", "_conversation", "_index", "_pace", "_start", "_usage")

    def __init__(
        self, conversation: Conversation, pace: Pace, model: str, arrived: int, *, usage: bool
    ) -> None:
        self._conversation = conversation
        self._pace = pace
        self._chunks = Chunks(model)
        self._start = arrived + int(pace.ttft * _SECOND)
        self._index = 0
        self._usage = usage

    @property
    def due(self) -> int:
        """When the next token should leave, in monotonic nanoseconds."""
        return self._start + int(self._index * _SECOND / self._pace.rate)

    def beat(self, now: int) -> int | None:
        """Sends one token; the last one takes the end of the answer along."""
        data = self._chunks.token(now, self.due)
        if self._index == 0:
            data = self._chunks.opening + data
        self._index += 1
        last = self._index >= self._pace.tokens
        if last:
            data += self._chunks.closing(self._pace.tokens, usage=self._usage)
        alive = self._conversation.send(data)
        return self.due if alive and not last else None


class Conversation(asyncio.Protocol):
    """One connection from a gateway."""

    def __init__(self, pacer: Pacer, default: Pace, others: set[Conversation]) -> None:
        self._pacer = pacer
        self._default = default
        self._others = others
        self.gone = asyncio.Event()
        self._reader = RequestReader()
        self._transport: asyncio.Transport | None = None
        self._descriptor = -1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the descriptor, for writes that leave at once."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass
        self._descriptor = transport.get_extra_info("socket").fileno()
        self._others.add(self)

    def connection_lost(self, _: Exception | None) -> None:
        """The rest of the answer has nowhere to go."""
        self._transport = None
        self._others.discard(self)
        self.gone.set()

    def data_received(self, data: bytes) -> None:
        """Answers every request that became complete."""
        try:
            for request in self._reader.feed(data):
                self._answer(request, time.monotonic_ns())
        except BadRequestError as error:
            self.send(json_response({"error": {"message": str(error)}}, "400 Bad Request"))
            if self._transport is not None:
                self._transport.close()

    def abort(self) -> None:
        """Ends the connection in the middle of whatever it says."""
        if self._transport is not None:
            self._transport.abort()

    def send(self, data: bytes) -> bool:
        """Writes without delay, past the event loop's own queue: the stamp inside says when.

        Returns whether anybody is still there.
        """
        transport = self._transport
        if transport is None or transport.is_closing():
            return False
        if not transport.get_write_buffer_size():
            try:
                written = os.write(self._descriptor, data)
            except BlockingIOError:
                written = 0
            except OSError:
                transport.abort()
                return False
            data = data[written:]
        if data:
            transport.write(data)
        return True

    def _answer(self, request: Request, arrived: int) -> None:
        url = urlsplit(request.target)
        if request.method != "POST":
            self.send(json_response(_about(url.path)))
            return
        if not url.path.endswith("/chat/completions"):
            self.send(json_response({"error": {"message": "no such route"}}, "404 Not Found"))
            return
        try:
            body: dict[str, Any] = json.loads(request.body)
        except ValueError as error:
            raise BadRequestError("no JSON") from error
        model = str(body.get("model", ""))
        candidates = [
            request.headers.get("x-pace", ""),
            parse_qs(url.query).get("pace", [""])[0],
            model,
        ]
        pace = choose_pace(candidates, self._default)
        if not body.get("stream"):
            self.send(answer(model, pace.tokens, arrived))
            return
        usage = bool((body.get("stream_options") or {}).get("include_usage"))
        self.send(STREAM_HEAD)
        streamed = StreamedAnswer(self, pace, model, arrived, usage=usage)
        self._pacer.add(streamed.due, streamed)


def _about(path: str) -> dict[str, Any]:
    """What routers probe for before they send anything."""
    if path.endswith("/models"):
        return {"object": "list", "data": [{"id": "bench", "object": "model", "owned_by": "bench"}]}
    return {"status": "ok", "model_path": "bench", "served_model_name": "bench"}


class Upstream:
    """The listening upstream with all its conversations."""

    def __init__(self, default: Pace) -> None:
        self._default = default
        self._pacer = Pacer(asyncio.get_running_loop())
        self._conversations: set[Conversation] = set()
        self._server: asyncio.Server | None = None

    async def listen(self, host: str, port: int) -> int:
        """Listens, on a free port if that is 0; gives the port."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._converse, host, port, backlog=BACKLOG)
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Ends everything at once, and waits until it has."""
        if self._server is not None:
            self._server.close()
        leaving = tuple(self._conversations)
        for conversation in leaving:
            conversation.abort()
        for conversation in leaving:
            await conversation.gone.wait()
        self._pacer.close()

    def _converse(self) -> Conversation:
        return Conversation(self._pacer, self._default, self._conversations)


async def run(host: str, port: int, default: Pace) -> None:
    """Serves until cancelled; prints the port as its first line."""
    upstream = Upstream(default)
    try:
        print(await upstream.listen(host, port), flush=True)
        await asyncio.Event().wait()
    finally:
        await upstream.close()
