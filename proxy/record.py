"""One request on its way through, in the words that every room shares."""

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
    """A limit of the client's key said no."""
    FAILED = "failed"
    """A defect of Sluice's own."""


class EventKind(Enum):
    """What one event of a stream is to the relay."""

    PING = "ping"
    """Keeps the line warm and says nothing: it re-arms no clock."""
    DATA = "data"
    """Part of the answer."""
    USAGE = "usage"
    """Usage and nothing else: what a client that did not ask for it is spared."""
    ERROR = "error"
    """The upstream says, inside the stream, that it failed."""
    END = "end"
    """The family's own end mark: nothing after it matters."""


class Reader(Protocol):
    """What the relay asks of whoever reads the events; the meter gives it one.

    All times are seconds of `time.monotonic()`.
    """

    @property
    def family(self) -> Family:
        """The family that the events themselves show; the route's until one has."""

    @property
    def first_token_at(self) -> float | None:
        """When the first token of any channel came; None until then."""

    @property
    def finishing(self) -> bool:
        """Whether every choice has had its finish reason: usage and the end mark can follow."""

    @property
    def response_id(self) -> str | None:
        """The id the upstream gave the answer, for a terminal error that must name it."""

    @property
    def sequence(self) -> int | None:
        """The last `sequence_number` seen, where the family numbers its events."""

    def token(self, event: bytes, at: float) -> bool:
        """Take in a whole event as it stands in the stream, if that is one more plain token.

        False leaves all as it was: what came is something else, or no whole event.
        """

    def event(self, name: bytes, data: bytes, at: float) -> EventKind:
        """Take in one whole event that carries data.

        `name` is its `event:` field (empty if it had none), `data` its `data:` lines joined by
        a line feed. A malformed event is counted, is `EventKind.DATA`, and raises nothing.
        """

    def oversized(self, name: bytes, head: bytes, tail: bytes, at: float) -> EventKind:
        """Take in an event too long to hold: only how its data begins and how it ends."""

    def stray(self, text: bytes, at: float) -> EventKind:
        """Judge text that is no SSE field: a bare JSON error is `EventKind.ERROR`, else `PING`."""

    def finished(self) -> bool:
        """Whether a clean end of body here is a true end, though no end mark came.

        True when every choice had its finish reason, and for a family without known rules.
        """


@dataclass(frozen=True, slots=True)
class UpstreamTry:
    """One attempt at one upstream, up to the moment when its answer stood or was given up."""

    upstream: str
    seconds: float
    status: int | None = None
    """What it answered; None if it did not."""
    error: str = ""
    """The code of what was wrong, such as `connect_timeout`; a good status may hide one."""
    request_id: str = ""
    """What the upstream calls the request: its support asks for that id."""


@dataclass(slots=True)
class RequestRecord:
    """What is known of one request; filled in as it goes, read once when it has ended.

    Times are seconds of `time.monotonic()`; durations are seconds; None means it never happened.
    """

    request_id: str
    method: str
    route: str
    """The route's bounded name for labels, such as `/v1/chat/completions` or `other`."""
    family: Family
    started_at: float
    own_id: str = ""
    """nginx's own id of it, where `request_id` is the client's, who may give many the same."""
    model: str = ""
    """The model the client asked for; empty if the request names none."""
    client_address: str = ""
    """The address of the client, as far as those in front are trusted; empty where it has none."""
    client_key: str = ""
    """The configured name of the client's key, never the key; empty if none is configured."""
    wants_stream: bool = False
    hides_usage: bool = False
    """Usage was asked for on the client's behalf, so its own chunk is kept from the client."""
    traceparent: str = ""
    """The W3C trace context that went to the upstream."""

    upstream: str = ""
    upstream_request_id: str = ""
    """The id that the upstream gave its answer; empty if it gave none."""
    attempts: int = 0
    tries: list[UpstreamTry] = field(default_factory=list)
    """The attempts that are over, in their order."""
    queue_seconds: float = 0.0
    called_at: float | None = None
    """When the upstream was first called: the end of Sluice's own share before it."""
    sent_before: bool = False
    """Whether an attempt before the last one had sent the request in full."""
    connected_at: float | None = None
    """When the answering attempt's request had been sent in full."""
    headers_at: float | None = None
    first_byte_at: float | None = None
    """When the upstream's first body byte came."""
    committed_at: float | None = None
    """When the status line left for the client: from here on nothing can be tried again."""
    first_sent_at: float | None = None
    """When the upstream's first byte had been written towards the client."""
    client_left_at: float | None = None
    ended_at: float | None = None

    upstream_status: int | None = None
    status: int = 0
    """The status that went to the client; 499 if it left before there was one."""
    bytes_in: int = 0
    bytes_out: int = 0
    ended_by: EndedBy | None = None
    error: str = ""
    """The code of the error that ended it, such as `upstream_unreachable`; empty if none."""
    notes: dict[str, str] = field(default_factory=dict)
    """What else the log line should say; never a prompt, an answer or a key."""

    @property
    def duration(self) -> float:
        """Seconds from the first to the last moment; 0.0 while it has not ended."""
        return 0.0 if self.ended_at is None else self.ended_at - self.started_at

    @property
    def unique_id(self) -> str:
        """The id by which workers and nginx's line tell requests apart."""
        return self.own_id or self.request_id

    @property
    def reached_upstream(self) -> bool:
        """Whether any upstream got the request in full, so that it counts as one."""
        return self.sent_before or self.connected_at is not None
