"""Ties a program to its parent: `leash.py PARENT_PID SIGNAL PROGRAM ARGUMENTS…`.

The kernel sends SIGNAL as soon as the parent is gone, however it went (PR_SET_PDEATHSIG, prctl(2)),
so nothing is orphaned. This runs as a small program of its own in front of each child, without the
rest of the package: code between fork and exec of a process with threads may not take locks.
"""

from __future__ import annotations

import ctypes
import os
import sys

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Become the program, on the leash.

    Raises `OSError` when the program cannot be run.
    """
    parent, signal_number, *command = arguments
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, int(signal_number), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl refused the death signal")
    # Had the parent died before the call, no signal would ever come.
    if os.getppid() == int(parent):
        os.execv(command[0], command)  # noqa: S606 no shell is the point


if __name__ == "__main__":
    main(sys.argv[1:])
