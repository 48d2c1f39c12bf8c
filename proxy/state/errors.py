"""What the store can do wrong, mapped once: nothing above names a redis-py exception.

redis-py takes 20 MB and a third of a second of a worker's start, so that only workers with a store
load it: `proxy.state.backend` does, this module no sooner than there is an error to map.
"""

# ruff: noqa: PLC0415 - redis-py is loaded late
from __future__ import annotations

import functools
from typing import Final


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
FULL: Final = "full"

# The first word of an error reply (Redis protocol: an error starts with its kind).
_REPLIES: Final = {
    "OOM": FULL,
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


@functools.cache
def _classes() -> tuple[tuple[tuple[type[Exception], ...], str], ...]:
    """The first that fits; redis-py tells some error replies apart by a class of their own."""
    from redis import exceptions

    return (
        ((TimeoutError, exceptions.TimeoutError), TIMEOUT),
        ((exceptions.OutOfMemoryError,), FULL),
        ((exceptions.AuthenticationError, exceptions.NoPermissionError), "refused"),
        ((exceptions.ReadOnlyError,), "read only"),
        ((exceptions.BusyLoadingError,), "loading"),
        ((exceptions.ClusterDownError, exceptions.MasterDownError), UNREACHABLE),
    )


def mapped(error: BaseException) -> StoreUnavailable:
    """What an exception of redis-py, or of a socket, means to us."""
    if isinstance(error, StoreUnavailable):
        return error
    for kinds, reason in _classes():
        if isinstance(error, kinds):
            return StoreUnavailable(reason, hopeless=reason != TIMEOUT)
    if isreply(error):
        return reply(str(error))
    return StoreUnavailable(UNREACHABLE, hopeless=True)


def isreply(error: BaseException) -> bool:
    """Whether the store itself answered with an error."""
    from redis.exceptions import ResponseError

    return isinstance(error, ResponseError)


def is_unknown_script(error: BaseException) -> bool:
    """Whether the store does not remember the script that EVALSHA names."""
    from redis.exceptions import NoScriptError

    return isinstance(error, NoScriptError)


def is_forbidden_command(error: BaseException) -> bool:
    """Whether the store does not have the command, or does not let this user run it."""
    from redis.exceptions import NoPermissionError

    return isinstance(error, NoPermissionError) or "unknown command" in str(error).lower()


def reply(text: str) -> StoreUnavailable:
    """What an error reply means to us, by its text."""
    # A script's own error may carry the cause in its middle ("… -OOM command not allowed …").
    for word in text.replace("-", " ").split():
        if word.strip(":") in _REPLIES:
            return StoreUnavailable(_REPLIES[word.strip(":")], hopeless=True)
    return StoreUnavailable("error reply")
