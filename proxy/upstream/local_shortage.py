"""Recognizes errors of exhausted local resources, for which no upstream is to blame."""

from __future__ import annotations

import errno
import re
import socket

_OWN = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})
_NUMBERS = re.compile(r"\[Errno (\d+)\]")


def is_own_shortage(error: BaseException) -> bool:
    """Whether an error means exhausted descriptors, memory or threads."""
    if isinstance(error, MemoryError) or _is_unthreaded(error):
        return True
    if not isinstance(error, OSError):
        return False
    inner = getattr(error, "os_error", None) or error
    if inner.errno in _OWN or _OWN.intersection(map(int, _NUMBERS.findall(str(inner)))):
        return True
    # Without descriptors the resolver reports a name server's failure, or a busy device.
    is_resolver = isinstance(inner, socket.gaierror) or inner.errno == errno.EBUSY
    return is_resolver and _no_descriptor_is_left()


def _is_unthreaded(error: BaseException) -> bool:
    return isinstance(error, RuntimeError) and "start new thread" in str(error)


def _no_descriptor_is_left() -> bool:
    try:
        socket.socket().close()
    except OSError as error:
        return error.errno in _OWN
    return False
