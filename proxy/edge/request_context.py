"""One request while it is here: what is known of it, and who is still listening."""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiohttp import web

from proxy.edge.claim import Claim
from proxy.edge.client import Client
from proxy.edge.downstream_response import DownstreamResponse
from proxy.edge.routes import Route, route_of
from proxy.errors import SluiceError
from proxy.key_settings import KeySettings
from proxy.meter.tokens import Tally
from proxy.record import EndedBy, RequestRecord
from proxy.relay.client_writer import ClientWriter
from proxy.upstream.call import Call

if TYPE_CHECKING:
    from proxy.edge.admission import Slot
    from proxy.edge.live_progress import LiveProgress
    from proxy.edge.recording import Recording

_REQUEST_ID = web.RequestKey("request_id", str)
"""Where a request keeps its id. The request itself would be a circle that waits for the
collector."""
_SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


# Below these paths, what answers say of usage is that of other requests, or of none.
_RETELLS_USAGE = frozenset(("/v1/responses", "/v1/messages", "/v1/batches", "/v1/files"))


def request_id_of(request: web.Request) -> str:
    """The id of a request: the client's own if it is a sane one, else one made up once."""
    known = request.get(_REQUEST_ID)
    if known is None:
        own = request.headers.get("X-Request-ID", "")
        known = own if _SANE_ID.fullmatch(own) else os.urandom(16).hex()
        request[_REQUEST_ID] = known
    return known


def adopt_id(request: web.Request, known: str) -> None:
    """Let a request have an id that stands in no header field of its own."""
    request[_REQUEST_ID] = known


@dataclass(slots=True)
class RequestContext:
    """A request, its route and its record; the client and the tally once there are any."""

    request: web.Request
    route: Route
    record: RequestRecord
    call: Call | None = None
    """What to ask an upstream; let go of once it has been asked."""
    response: DownstreamResponse | None = None
    """What goes to the client, once its status has been sent."""
    client: ClientWriter | None = None
    source: Client | None = None
    """Who asks, once that has been looked at."""
    choices: int = 1
    """How many choices the request asks for."""
    max_output: int = 0
    """The most output tokens that the request asks for; 0: it does not say."""
    key: KeySettings | None = None
    """What is configured for the client's key; None where no keys are."""
    claim: Claim | None = None
    """What the request holds of its key's limits; None where the key has none."""
    slot: Slot | None = None
    """Its place among those that are relayed, or in the line before them."""
    tally: Tally = field(default_factory=Tally)
    body: bytes | None = None
    """What takes the place of the request's own body; None: that is read."""
    recording: Recording | None = None
    """What keeps its stream for those who resume it; None for nearly all."""
    progress: LiveProgress | None = None
    """What tells its client how far its stream is; None for nearly all."""

    @classmethod
    def of(cls, request: web.Request) -> RequestContext:
        """Begin a context; whoever begins another for the same request finds the same id."""
        route = route_of(request.rel_url.raw_path)
        record = RequestRecord(
            request_id=request_id_of(request),
            method=request.method,
            route=route.label,
            family=route.family,
            started_at=time.monotonic(),
        )
        return cls(request, route, record)

    async def commit(self, downstream: DownstreamResponse, first: bytes = b"") -> ClientWriter:
        """Send the head and what there is of the body.

        From here on it has a response and a client.
        """
        client = await downstream.open(self.request, first)
        self.response, self.client = downstream, client
        self.record.committed_at = time.monotonic()
        self.record.status = downstream.status
        return client

    @property
    def needs_usage(self) -> bool:
        """Whether a limit of its key counts what the answer states as used."""
        key = self.key
        if key is None or not (key.tokens_per_minute or key.budget_usd):
            return False
        if self.record.method != "POST":
            return False
        return self.route.understood or self.route.label not in _RETELLS_USAGE

    @property
    def host(self) -> str:
        """The host that was asked: by a trusted proxy's word, else by `Host`; empty if unknown."""
        return self.source.host if self.source else ""

    def place_in_line(self) -> int:
        """Which turn it has in the waiting line; 0 if it does not wait."""
        return 0 if self.slot is None else self.slot.place()

    def record_error(self, error: SluiceError) -> None:
        """An error ended it."""
        self.record.error = error.fault.reason or error.fault.code
        self.record.ended_by = error.fault.ended_by
        if self.response is None:
            self.record.status = error.fault.status

    def record_client_left(self) -> None:
        """The client closed its connection; what still comes is for nobody."""
        if self.record.client_left_at is None:
            self.record.client_left_at = time.monotonic()
            self.tally.client_left()
        if self.client is not None:
            self.client.left = True

    def record_end(self) -> None:
        """Nothing more will happen. A client that left is the outcome, whatever came later."""
        record = self.record
        record.ended_at = time.monotonic()
        if record.client_left_at is not None:
            record.ended_by = EndedBy.CLIENT_LEFT
            if self.response is None:
                record.status = 499
        if self.client is not None:
            record.bytes_out = self.client.sent
