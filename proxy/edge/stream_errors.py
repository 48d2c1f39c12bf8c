"""What can go wrong around resumable streams."""

from __future__ import annotations

from proxy.errors import Fault, SluiceError
from proxy.record import EndedBy


class StreamNotFound(SluiceError):
    """No such stream for this key: unknown, expired, or another's; nobody is told which."""

    fault = Fault(
        "stream_not_found",
        404,
        EndedBy.REJECTED,
        "It is unknown or has expired. Send the request again.",
    )


class EventsGone(SluiceError):
    """The events after the cursor have been dropped (`SLUICE_RESUME_STREAM_BYTES`)."""

    fault = Fault(
        "events_gone",
        410,
        EndedBy.REJECTED,
        "Read from first_event on, or send the request again.",
    )


class TooManyReaders(SluiceError):
    """`SLUICE_RESUME_READERS` or `SLUICE_RESUME_READERS_PER_STREAM` are reading."""

    fault = Fault("too_many_readers", 503, EndedBy.SHED, "Try again after the time in Retry-After.")


class LogsUnavailable(SluiceError):
    """The store of stream logs does not answer."""

    fault = Fault(
        "streams_unavailable", 503, EndedBy.FAILED, "Try again after the time in Retry-After."
    )


class ProducerLost(SluiceError):
    """The worker that relayed the stream died, or its machine."""

    fault = Fault(
        "producer_lost",
        502,
        EndedBy.FAILED,
        "The answer is incomplete. Send the request again.",
    )


class LogLost(SluiceError):
    """The store was away or full: the stream went on, but no more of it could be kept."""

    fault = Fault(
        "log_lost",
        502,
        EndedBy.FAILED,
        "The rest of this answer was not kept. Send the request again.",
    )


UNSEEN = frozenset({ProducerLost.fault.code, LogLost.fault.code})
"""What ends a log of whose stream a client may have seen more than the log has."""


class Stopped(SluiceError):
    """A client asked for it."""

    fault = Fault(
        "stopped", 499, EndedBy.CLIENT_LEFT, "The answer is incomplete. Send the request again."
    )


class NobodyReads(SluiceError):
    """No reader for `SLUICE_GRACE_SECONDS`."""

    fault = Fault(
        "nobody_reads",
        499,
        EndedBy.CLIENT_LEFT,
        "The answer is incomplete. Send the request again.",
    )
