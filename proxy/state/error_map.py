"""Maps exceptions of redis-py and error replies to `StoreUnavailable`, in one place.

Importing redis-py costs a worker 20 MB and a third of a second, so only workers with a store do:
`proxy.state.backend` imports it, and this module does when there is an error to map.
"""

# ruff: noqa: PLC0415 - redis-py is loaded late
from __future__ import annotations

import functools
from typing import Final


class StoreUnavailable(Exception):
    """The store did not answer, or refused; the message names no address and no key."""

    def __init__(self, reason: str, *, hopeless: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        """The reason for logs and metrics, one or two words."""
        self.hopeless = hopeless
        """Whether retrying soon is pointless."""


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
    """Exception classes and their reasons, first match wins."""
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
    """Map an exception of redis-py or of a socket."""
    if isinstance(error, StoreUnavailable):
        return error
    for kinds, reason in _classes():
        if isinstance(error, kinds):
            return StoreUnavailable(reason, hopeless=reason != TIMEOUT)
    if is_reply(error):
        return reply(str(error))
    return StoreUnavailable(UNREACHABLE, hopeless=True)


def is_reply(error: BaseException) -> bool:
    """Whether this is an error reply of the store itself."""
    from redis.exceptions import ResponseError

    return isinstance(error, ResponseError)


def is_unknown_script(error: BaseException) -> bool:
    """Whether the store has not loaded the script that EVALSHA names."""
    from redis.exceptions import NoScriptError

    return isinstance(error, NoScriptError)


def is_forbidden_command(error: BaseException) -> bool:
    """Whether the store does not know the command, or forbids it to this user."""
    from redis.exceptions import NoPermissionError

    return isinstance(error, NoPermissionError) or "unknown command" in str(error).lower()


def reply(text: str) -> StoreUnavailable:
    """Map an error reply by its text."""
    # A script's own error may carry the cause in its middle ("… -OOM command not allowed …").
    for word in text.replace("-", " ").split():
        if word.strip(":") in _REPLIES:
            return StoreUnavailable(_REPLIES[word.strip(":")], hopeless=True)
    return StoreUnavailable("error reply")
