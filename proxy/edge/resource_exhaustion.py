"""Exhausted memory and file descriptors: the limits, and the errors that mean it."""

from __future__ import annotations

import errno
import os
import resource
from dataclasses import dataclass, field

from proxy.errors import Overloaded

_USED_UP = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EAGAIN}
_NO_THREAD = "can't start new thread"
_RETRY_SECONDS = 1.0

SHORT_OF_MEMORY = Overloaded("The gateway is out of memory.", retry_after=_RETRY_SECONDS)


def refusal_for(error: BaseException) -> Overloaded | None:
    """Return the refusal if an error means that memory or descriptors are exhausted."""
    if isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and _NO_THREAD in str(error)
    ):
        return SHORT_OF_MEMORY
    if isinstance(error, OSError) and error.errno in _USED_UP:
        return Overloaded("The gateway is out of file descriptors.", retry_after=_RETRY_SECONDS)
    return None


def _limit() -> int:
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


@dataclass
class Descriptors:
    """How many descriptors this process may still open."""

    limit: int = field(default_factory=_limit)
    """As it was when there were last few left: prlimit(1) may change it at any time."""

    @property
    def reserve(self) -> int:
        """Descriptors kept for other uses than clients: logs, files, DNS lookups."""
        return max(8, min(64, self.limit // 16))

    def look_again(self) -> None:
        """Learn the limit anew. Cheap, but not for every client."""
        self.limit = _limit()

    def room_for(self, used: int, pending: int) -> bool:
        """Whether one more client can be served if so many descriptors are `used`.

        A client needs two, one for its upstream; `pending` clients still need their second one. It
        is negative if there are idle connections to upstreams.
        """
        return self.limit - used - self.reserve >= 1 + max(0, pending + 1)

    def plenty(self, used: int) -> bool:
        """Whether there is room even if every open descriptor were a client that needs a second."""
        return self.room_for(used, used)

    def lowest_free(self) -> int:
        """Return the number that the kernel would assign next; the limit if none is free."""
        try:
            given = os.dup(0)
        except OSError:
            return self.limit
        os.close(given)
        return given
