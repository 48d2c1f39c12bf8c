"""Who runs on which core.

The contestant gets one core, upstream and load generator the others, so that what counts never
takes time from what is counted. On a single core, and in scenarios about all cores, nothing is
pinned.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cores:
    """The cores of the contestant and of the apparatus; None leaves them to the kernel."""

    contestant: frozenset[int] | None = None
    apparatus: frozenset[int] | None = None


def share_cores(available: set[int], *, pinned: bool) -> Cores:
    """One core for the contestant, the rest for the apparatus."""
    if not pinned or len(available) < 2:
        return Cores()
    first = min(available)
    return Cores(frozenset({first}), frozenset(available - {first}))


def pinned_command(command: list[str], cores: frozenset[int] | None) -> list[str]:
    """The command, held to these cores; `taskset` becomes the command, so the pid stays."""
    if cores is None:
        return command
    return ["taskset", "--cpu-list", ",".join(map(str, sorted(cores))), *command]
