"""What each exception means."""

from __future__ import annotations

import pytest
from redis import exceptions

from proxy.state.error_map import StoreUnavailable, mapped


@pytest.mark.parametrize(
    ("error", "reason", "hopeless"),
    [
        (TimeoutError(), "timeout", False),
        (exceptions.TimeoutError(), "timeout", False),
        (ConnectionRefusedError(), "unreachable", True),
        (exceptions.ConnectionError("secret"), "unreachable", True),
        (exceptions.OutOfMemoryError(), "full", True),
        (exceptions.NoPermissionError(), "refused", True),
        (exceptions.AuthenticationError(), "refused", True),
        (exceptions.ReadOnlyError(), "read only", True),
        (exceptions.BusyLoadingError(), "loading", True),
        (exceptions.ClusterDownError("x"), "unreachable", True),
        (exceptions.ResponseError("OOM command not allowed"), "full", True),
        (exceptions.ResponseError("Error running script: -OOM command"), "full", True),
        (exceptions.ResponseError("WRONGTYPE Operation"), "error reply", False),
    ],
)
def test_a_foreign_exception(error: Exception, reason: str, hopeless: bool) -> None:
    """Each gets a word for logs, which tells nothing of addresses or keys."""
    unavailable = mapped(error)
    assert (unavailable.reason, unavailable.hopeless, str(unavailable)) == (
        reason,
        hopeless,
        reason,
    )


def test_our_own_stays_itself() -> None:
    """An error that is mapped already stays the same."""
    error = StoreUnavailable("busy")
    assert mapped(error) is error
