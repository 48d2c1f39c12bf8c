"""The context of one request while it is served."""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiohttp import web
from multidict import istr

from proxy.edge.downstream_response import DownstreamResponse
from proxy.edge.limit_claim import LimitClaim
from proxy.edge.routes import Route, route_of
from proxy.edge.trusted_proxies import Client
from proxy.errors import SluiceError
from proxy.key_settings import KeySettings
from proxy.meter.tally import Tally
from proxy.record import EndedBy, RequestRecord
from proxy.relay.client_writer import ClientWriter
from proxy.upstream.call import Call

if TYPE_CHECKING:
    from proxy.edge.admission import Slot
    from proxy.edge.live_progress import LiveProgress
    from proxy.edge.recording import Recording

_REQUEST_ID = web.RequestKey("request_id", str)
"""The key of the id in the request. Storing the context there would be a reference cycle."""
_OWN_ID = istr("X-Sluice-Request-ID")
"""The header in which nginx sends its own id of a request that has one from its client."""
_SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


# Responses below these paths state the usage of other requests, or none.
_RETELLS_USAGE = frozenset(("/v1/responses", "/v1/messages", "/v1/batches", "/v1/files"))


def request_id_of(request: web.Request) -> str:
    """Return the request's id: the client's if it is well-formed, else a random one."""
    request_id = request.get(_REQUEST_ID)
    if request_id is None:
        sent = request.headers.get("X-Request-ID", "")
        request_id = sent if _SANE_ID.fullmatch(sent) else os.urandom(16).hex()
        request[_REQUEST_ID] = request_id
    return request_id


def adopt_id(request: web.Request, request_id: str) -> None:
    """Set an id that was found outside the request's parsed headers."""
    request[_REQUEST_ID] = request_id


@dataclass(slots=True)
class RequestContext:
    """A request with its route, its record, and the objects that serve it."""

    request: web.Request
    route: Route
    record: RequestRecord
    call: Call | None = None
    """The upstream call; released when it has been sent."""
    response: DownstreamResponse | None = None
    """The response to the client, once committed."""
    client: ClientWriter | None = None
    source: Client | None = None
    """The client's address, scheme and host, once determined."""
    choices: int = 1
    """The number of choices that the request asks for (`n`)."""
    max_output: int = 0
    """The maximum of output tokens that the request sets; 0 if none."""
    key: KeySettings | None = None
    """The configuration of the client's key; None if no keys are configured."""
    claim: LimitClaim | None = None
    """The request's claim on its key's limits; None if the key has none."""
    slot: Slot | None = None
    """The request's slot, or its place in the queue for one."""
    tally: Tally = field(default_factory=Tally)
    body: bytes | None = None
    """A body that replaces the request's own; None to read that."""
    recording: Recording | None = None
    """The recording of a resumable stream; None for others."""
    progress: LiveProgress | None = None
    """The writer of progress frames, if the client asked for them."""

    @classmethod
    def of(cls, request: web.Request, path: str = "") -> RequestContext:
        """Build a context; a second one for the same request has the same id.

        `path` replaces the request's own, which one that could not be parsed does not have.
        """
        route = route_of(path or request.rel_url.raw_path)
        record = RequestRecord(
            request_id=request_id_of(request),
            method=request.method,
            route=route.label,
            family=route.family,
            started_at=time.monotonic(),
            own_id=request.headers.get(_OWN_ID, ""),
        )
        return cls(request, route, record)

    async def commit(self, downstream: DownstreamResponse, first: bytes = b"") -> ClientWriter:
        """Send the head and the first bytes of the body, and set `response` and `client`."""
        client = await downstream.open(self.request, first)
        self.response, self.client = downstream, client
        self.record.committed_at = time.monotonic()
        self.record.status = downstream.status
        return client

    @property
    def needs_usage(self) -> bool:
        """Whether a limit of the key counts the usage that the response states."""
        key = self.key
        if key is None or not (key.tokens_per_minute or key.budget_usd):
            return False
        if self.record.method != "POST":
            return False
        return self.route.understood or self.route.label not in _RETELLS_USAGE

    @property
    def host(self) -> str:
        """The requested host, from a trusted proxy or from `Host`; empty if unknown."""
        return self.source.host if self.source else ""

    def queue_position(self) -> int:
        """Return the request's position in the queue for a slot; 0 if it does not wait."""
        return 0 if self.slot is None else self.slot.position()

    def record_error(self, error: SluiceError) -> None:
        """Note the error that ended the request."""
        self.record.error = error.fault.reason or error.fault.code
        self.record.ended_by = error.fault.ended_by
        if self.response is None:
            self.record.status = error.fault.status

    def record_client_left(self) -> None:
        """Note that the client disconnected."""
        if self.record.client_left_at is None:
            self.record.client_left_at = time.monotonic()
            self.tally.client_left()
        if self.client is not None:
            self.client.left = True

    def record_end(self) -> None:
        """Complete the record. A client that left is the outcome, whatever happened later."""
        record = self.record
        record.ended_at = time.monotonic()
        if record.client_left_at is not None:
            record.ended_by = EndedBy.CLIENT_LEFT
            if self.response is None:
                record.status = 499
        if self.client is not None:
            record.bytes_out = self.client.sent
