"""When this machine has no more to give: descriptors counted in time, and errors that say so."""

from __future__ import annotations

import errno
import os
import resource
from dataclasses import dataclass, field

from proxy.errors import Overloaded

_USED_UP = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EAGAIN}
_NO_THREAD = "can't start new thread"
_RETRY_SECONDS = 1.0

SHORT_OF_MEMORY = Overloaded("The gateway is short of memory.", retry_after=_RETRY_SECONDS)


def refusal_for(error: BaseException) -> Overloaded | None:
    """The refusal, where an error means that memory or descriptors are used up; else None."""
    if isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and _NO_THREAD in str(error)
    ):
        return SHORT_OF_MEMORY
    if isinstance(error, OSError) and error.errno in _USED_UP:
        return Overloaded("The gateway is short of descriptors.", retry_after=_RETRY_SECONDS)
    return None


@dataclass
class Descriptors:
    """How many this process may still open, read off the number that the kernel gave last.

    The kernel gives the lowest free number (POSIX, 2.14), so all below it are taken.
    """

    limit: int = field(default_factory=lambda: resource.getrlimit(resource.RLIMIT_NOFILE)[0])

    @property
    def reserve(self) -> int:
        """Kept for what is no client's: logs, files, names to look up."""
        return max(8, min(64, self.limit // 16))

    def room_for(self, given: int, pending: int) -> bool:
        """Whether one more client can be served where this number was given last.

        It needs two: its own and one towards its upstream, which so many others still need, too.
        """
        return self.limit - given - 1 - self.reserve >= pending + 2

    def plenty(self, given: int) -> bool:
        """Whether there is room even if every descriptor so far were a client that needs one."""
        return self.room_for(given, given + 1)

    def lowest_free(self) -> int:
        """The number that the kernel would give next; the limit if none."""
        try:
            given = os.dup(0)
        except OSError:
            return self.limit
        os.close(given)
        return given
