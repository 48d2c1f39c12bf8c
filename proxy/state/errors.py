"""What the store can do wrong, mapped once: nothing above names a redis-py exception."""

from __future__ import annotations

from typing import Final

from redis import exceptions as redis_exceptions


class StoreUnavailable(Exception):
    """The store gave no answer, or refused; the text says why, without any address or key."""

    def __init__(self, reason: str, *, hopeless: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        """A word for logs and metrics."""
        self.hopeless = hopeless
        """Whether asking again soon is pointless."""


TIMEOUT: Final = "timeout"
UNREACHABLE: Final = "unreachable"

# The first word of an error reply (Redis protocol: an error starts with its kind).
_REPLIES: Final = {
    "OOM": "full",
    "NOPERM": "refused",
    "NOAUTH": "refused",
    "WRONGPASS": "refused",
    "READONLY": "read only",
    "LOADING": "loading",
    "MASTERDOWN": "unreachable",
    "CLUSTERDOWN": "unreachable",
    "MISCONF": "refused",
    "NOREPLICAS": "refused",
}


# The first that fits; redis-py tells some error replies apart by a class of their own.
_CLASSES: Final[tuple[tuple[tuple[type[Exception], ...], str], ...]] = (
    ((TimeoutError, redis_exceptions.TimeoutError), TIMEOUT),
    ((redis_exceptions.OutOfMemoryError,), "full"),
    ((redis_exceptions.AuthenticationError, redis_exceptions.NoPermissionError), "refused"),
    ((redis_exceptions.ReadOnlyError,), "read only"),
    ((redis_exceptions.BusyLoadingError,), "loading"),
    ((redis_exceptions.ClusterDownError, redis_exceptions.MasterDownError), UNREACHABLE),
)


def mapped(error: BaseException) -> StoreUnavailable:
    """What an exception of redis-py, or of a socket, means to us."""
    if isinstance(error, StoreUnavailable):
        return error
    for kinds, reason in _CLASSES:
        if isinstance(error, kinds):
            return StoreUnavailable(reason, hopeless=reason != TIMEOUT)
    if isinstance(error, redis_exceptions.ResponseError):
        return _reply(str(error))
    return StoreUnavailable(UNREACHABLE, hopeless=True)


def _reply(text: str) -> StoreUnavailable:
    # A script's own error may carry the cause in its middle ("… -OOM command not allowed …").
    for word in text.replace("-", " ").split():
        if word.strip(":") in _REPLIES:
            return StoreUnavailable(_REPLIES[word.strip(":")], hopeless=True)
    return StoreUnavailable("error reply")
