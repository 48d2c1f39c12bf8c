"""Ties a program to its parent: `pdeathsig.py PARENT_PID SIGNAL IGNORE PROGRAM ARGUMENTS…`.

The kernel sends SIGNAL as soon as the parent dies (PR_SET_PDEATHSIG, prctl(2)), so that no child is
orphaned. This is a small program that then executes the child's, without the rest of the package:
code between fork and exec of a process with threads must not take locks.

With IGNORE=1 the program ignores SIGTERM. systemd, by default, sends it to every process of a
service, and nginx would cut all streams at once; only the supervisor decides when nginx stops. An
inherited SIG_IGN is not enough, because nginx installs a handler of its own: the kernel is told to
leave that call without effect (seccomp(2)).
"""

from __future__ import annotations

import ctypes
import os
import signal
import struct
import sys

_PR_SET_PDEATHSIG = 1
_PR_SET_SECCOMP = 22
_PR_SET_NO_NEW_PRIVS = 38
_SECCOMP_MODE_FILTER = 2
_RET_ALLOW = 0x7FFF0000
_RET_SUCCESS = 0x00050000
"""SECCOMP_RET_ERRNO with errno 0: the call does nothing and reports success."""
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_SIGACTION = {"x86_64": (0xC000003E, 13), "aarch64": (0xC00000B7, 134)}
"""By machine: AUDIT_ARCH, and the system call number of rt_sigaction."""


class _Program(ctypes.Structure):
    """`struct sock_fprog`."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def main(arguments: list[str]) -> None:
    """Set the signal and execute the program.

    Raises `OSError` if the program cannot be run.
    """
    parent, signal_number, ignores_sigterm, *command = arguments
    libc = ctypes.CDLL(None, use_errno=True)
    if ignores_sigterm == "1":
        _ignore_sigterm(libc, command[0])
    if libc.prctl(_PR_SET_PDEATHSIG, int(signal_number), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl refused the death signal")
    # If the parent died before the call, no signal would ever come.
    if os.getppid() == int(parent):
        os.execv(command[0], command)  # noqa: S606 no shell is the point


def _ignore_sigterm(libc: ctypes.CDLL, program: str) -> None:
    """Ignore SIGTERM, and keep the program from handling it, where the system allows that."""
    known = _SIGACTION.get(os.uname().machine)
    if known is None or _has_capabilities(program):
        return
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    code = _filter(*known)
    prepared = ctypes.byref(_Program(len(code) // 8, code))
    if libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, prepared, 0, 0) == 0:
        return
    # Without CAP_SYS_ADMIN, which root lacks in a container, a filter requires no_new_privs.
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, prepared, 0, 0) != 0:
        signal.signal(signal.SIGTERM, before)


def _has_capabilities(program: str) -> bool:
    """Whether the file grants capabilities, such as low ports: a filter could remove them."""
    try:
        return bool(os.getxattr(program, "security.capability"))
    except OSError:
        return False


def _filter(architecture: int, sigaction: int) -> bytes:
    """Build the filter's instructions (`struct sock_filter`) over `struct seccomp_data`."""
    steps = (
        (_LOAD, 0, 0, 4),
        (_JUMP_IF_EQUAL, 0, 5, architecture),
        (_LOAD, 0, 0, 0),
        (_JUMP_IF_EQUAL, 0, 3, sigaction),
        (_LOAD, 0, 0, 16),
        (_JUMP_IF_EQUAL, 0, 1, int(signal.SIGTERM)),
        (_RETURN, 0, 0, _RET_SUCCESS),
        (_RETURN, 0, 0, _RET_ALLOW),
    )
    return b"".join(struct.pack("HBBI", *step) for step in steps)


if __name__ == "__main__":
    main(sys.argv[1:])
