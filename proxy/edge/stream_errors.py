"""The errors of resumable streams."""

from __future__ import annotations

from proxy.errors import Fault, SluiceError
from proxy.record import EndedBy


class StreamNotFound(SluiceError):
    """The key has no such stream: unknown, expired, or another key's; the error does not say."""

    fault = Fault(
        "stream_not_found",
        404,
        EndedBy.REJECTED,
        "It is unknown or has expired. Send the request again.",
    )


class StreamsOff(StreamNotFound):
    """No streams are kept: `SLUICE_RESUMABLE` or the store is off; for programs the same 404."""

    fault = Fault(
        StreamNotFound.fault.code,
        404,
        EndedBy.REJECTED,
        "Send an ordinary request, or see SLUICE_RESUMABLE and SLUICE_STORE_URL.",
    )


class EventsGone(SluiceError):
    """The events after the cursor were dropped (`SLUICE_RESUME_STREAM_BYTES`)."""

    fault = Fault(
        "events_gone",
        410,
        EndedBy.REJECTED,
        "Read from first_event on, or send the request again.",
    )


class TooManyReaders(SluiceError):
    """`SLUICE_RESUME_READERS` or `SLUICE_RESUME_READERS_PER_STREAM` is reached."""

    fault = Fault("too_many_readers", 503, EndedBy.SHED, "Try again after the time in Retry-After.")


class LogsUnavailable(SluiceError):
    """The store of stream logs is unavailable."""

    fault = Fault(
        "streams_unavailable", 503, EndedBy.FAILED, "Try again after the time in Retry-After."
    )


class ProducerLost(SluiceError):
    """The worker that relayed the stream, or its machine, died."""

    fault = Fault(
        "producer_lost",
        502,
        EndedBy.FAILED,
        "The answer is incomplete. Send the request again.",
    )


class LogLost(SluiceError):
    """The store was unavailable or full: the stream continued, but could not be recorded."""

    fault = Fault(
        "log_lost",
        502,
        EndedBy.FAILED,
        "The rest of this answer was not kept. Send the request again.",
    )


UNSEEN = frozenset({ProducerLost.fault.code, LogLost.fault.code})
"""Error codes of logs that may have fewer events than their client has seen."""


class Stopped(SluiceError):
    """A client stopped the stream."""

    fault = Fault(
        "stopped", 499, EndedBy.CLIENT_LEFT, "The answer is incomplete. Send the request again."
    )


class NobodyReads(SluiceError):
    """The stream had no reader for `SLUICE_GRACE_SECONDS`."""

    fault = Fault(
        "nobody_reads",
        499,
        EndedBy.CLIENT_LEFT,
        "The answer is incomplete. Send the request again.",
    )
