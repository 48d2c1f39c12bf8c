"""The record of one request, and the types that all packages share."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import Protocol


class Family(StrEnum):
    """The wire dialect of a stream."""

    CHAT = "chat"
    RESPONSES = "responses"
    COMPLETIONS = "completions"
    MESSAGES = "messages"
    GEMINI = "gemini"
    UNKNOWN = "unknown"


class EndedBy(StrEnum):
    """How a request ended: the label on every request counter."""

    COMPLETE = "complete"
    CLIENT_LEFT = "client_left"
    UPSTREAM_CUT = "upstream_cut"
    ERROR_EVENT = "error_event"
    CONNECT_TIMEOUT = "connect_timeout"
    FIRST_TOKEN_TIMEOUT = "first_token_timeout"
    IDLE_TIMEOUT = "idle_timeout"
    TOTAL_TIMEOUT = "total_timeout"
    SLOW_CLIENT = "slow_client"
    SHED = "shed"
    DRAINED = "drained"
    REJECTED = "rejected"
    LIMITED = "limited"
    """The request exceeded a limit of the client's key."""
    FAILED = "failed"
    """A defect in Sluice."""


class EventKind(Enum):
    """What one event of a stream is to the relay."""

    PING = "ping"
    """A keep-alive without content; it does not reset a timeout."""
    DATA = "data"
    """Part of the answer."""
    USAGE = "usage"
    """Usage and nothing else; hidden from a client that did not request it."""
    ERROR = "error"
    """An error that the upstream reports within the stream."""
    END = "end"
    """The family's end marker; what follows is ignored."""


class Reader(Protocol):
    """The interface by which the relay has events counted; the meter implements it.

    All times are seconds of `time.monotonic()`.
    """

    @property
    def family(self) -> Family:
        """The family that the events show; the route's until then."""

    @property
    def first_token_at(self) -> float | None:
        """When the first token of any channel came; None until then."""

    @property
    def finishing(self) -> bool:
        """Whether every choice has its finish reason; usage and the end marker may follow."""

    @property
    def response_id(self) -> str | None:
        """The upstream's id of the answer, which some terminal errors contain."""

    @property
    def sequence(self) -> int | None:
        """The last `sequence_number`, if the family numbers its events."""

    def token(self, event: bytes, at: float) -> bool:
        """Count the bytes of a whole event if it is another plain token.

        Return False, with nothing changed, if it is something else or not a whole event.
        """

    def event(self, name: bytes, data: bytes, at: float) -> EventKind:
        """Read a whole event that has data.

        `name` is its `event:` field (empty if it had none), `data` its `data:` lines joined by
        a line feed. A malformed event is counted, is `EventKind.DATA`, and raises nothing.
        """

    def oversized(self, name: bytes, head: bytes, tail: bytes, at: float) -> EventKind:
        """Read the beginning and the end of the data of an event that is too long to buffer."""

    def stray(self, text: bytes, at: float) -> EventKind:
        """Classify text that is not an SSE field: `ERROR` for a JSON error, else `PING`."""

    def finished(self) -> bool:
        """Whether the answer is complete if the body ends here without an end marker.

        It is if every choice has its finish reason, or if the family is unknown.
        """


@dataclass(frozen=True, slots=True)
class UpstreamTry:
    """One attempt at one upstream, until it was answered or given up."""

    upstream: str
    seconds: float
    status: int | None = None
    """The upstream's status; None if it did not answer."""
    error: str = ""
    """The error code, such as `connect_timeout`; a status of 200 may have one, too."""
    request_id: str = ""
    """The upstream's id of the request, for which its support asks."""


@dataclass(slots=True)
class RequestRecord:
    """All facts about one request; log, metrics and span are made of it when it has ended.

    Times are seconds of `time.monotonic()`, durations seconds; None: it has not happened.
    """

    request_id: str
    method: str
    route: str
    """The route's bounded name for labels, such as `/v1/chat/completions` or `other`."""
    family: Family
    started_at: float
    own_id: str = ""
    """nginx's own id, if `request_id` is the client's, which may not be unique."""
    model: str = ""
    """The requested model; empty if the request names none."""
    client_address: str = ""
    """The client's address, determined through trusted proxies; empty if unknown."""
    client_key: str = ""
    """The configured name of the client's key, never the key; empty if none is configured."""
    wants_stream: bool = False
    hides_usage: bool = False
    """Whether Sluice requested usage, so that its chunk is hidden from the client."""
    traceparent: str = ""
    """The W3C trace context that was sent to the upstream."""

    upstream: str = ""
    upstream_request_id: str = ""
    """The upstream's id of its response; empty if it sent none."""
    attempts: int = 0
    tries: list[UpstreamTry] = field(default_factory=list)
    """The attempts that have ended, in order."""
    queue_seconds: float = 0.0
    called_at: float | None = None
    """When the first attempt began."""
    sent_before: bool = False
    """Whether an attempt before the last one had sent the request in full."""
    connected_at: float | None = None
    """When the last attempt had sent the request in full."""
    headers_at: float | None = None
    first_byte_at: float | None = None
    """When the first byte of the upstream's body arrived."""
    committed_at: float | None = None
    """When the status line was sent to the client; after that nothing can be retried."""
    first_sent_at: float | None = None
    """When the first byte of the upstream's body was written to the client."""
    client_left_at: float | None = None
    ended_at: float | None = None

    upstream_status: int | None = None
    status: int = 0
    """The status sent to the client; 499 if it disconnected before."""
    bytes_in: int = 0
    bytes_out: int = 0
    ended_by: EndedBy | None = None
    error: str = ""
    """The code of the error that ended it, such as `upstream_unreachable`; else empty."""
    notes: dict[str, str] = field(default_factory=dict)
    """Further fields of the log line; never a prompt, an answer or a key."""

    @property
    def duration(self) -> float:
        """The seconds from start to end; 0.0 before the end."""
        return 0.0 if self.ended_at is None else self.ended_at - self.started_at

    @property
    def unique_id(self) -> str:
        """The unique id by which workers and nginx's log lines refer to the request."""
        return self.own_id or self.request_id

    @property
    def reached_upstream(self) -> bool:
        """Whether any upstream was sent the request in full, so that it counts for limits."""
        return self.sent_before or self.connected_at is not None
