"""How many workers, streams and bodies fit into the container; what an operator has set stays.

The figures are proportional set sizes, measured (docs/operating.md says how).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from proxy.container_limits import ContainerLimits
    from proxy.settings import Settings

MIB = 1024 * 1024
BASE_BYTES = 58 * MIB
"""The supervisor with the admin port, and nginx at rest."""
WORKER_BYTES = 58 * MIB
"""A worker at rest; the demo upstream is as large."""
STREAM_BYTES = 40 * 1024
"""A stream in its worker and in nginx, with a short prompt."""
SMALLEST_BODIES = 8 * MIB
LARGEST_BODIES = 128 * MIB
"""For each worker."""
_USABLE = 0.95
"""The rest is for peaks: a scrape, a reload of nginx, sockets that the kernel counts here."""
_FEWEST_STREAMS = 16
_CHOSEN = ("workers", "max_streams", "queue_size", "body_memory_bytes")


class Sized(NamedTuple):
    """The settings with what was chosen for them."""

    settings: Settings
    chosen: dict[str, int]
    """What no operator has set, by the setting's name."""
    why: str
    warnings: tuple[str, ...]
    """What an operator has set and does not fit."""


def sized(settings: Settings, grant: ContainerLimits, *, alone: bool = False) -> Sized:
    """Choose what is not set. `alone`: for one worker without a supervisor and nginx."""
    memory = settings.memory_bytes or grant.memory
    usable = int(memory * _USABLE) - _fixed_bytes(settings, alone=alone)
    fitting = max(1, usable // (WORKER_BYTES + SMALLEST_BODIES))
    chosen = {"workers": 1 if alone else min(grant.processors, fitting)}
    workers = 1 if alone else _set(settings, "workers") or chosen["workers"]
    left = max(0, usable - workers * WORKER_BYTES)
    least = SMALLEST_BODIES * workers
    most = min(memory // 4, LARGEST_BODIES * workers)
    chosen["body_memory_bytes"] = max(least, min(most, left // 2))
    room = max(left - chosen["body_memory_bytes"], left * 3 // 4) // STREAM_BYTES
    default_streams = type(settings).model_fields["max_streams"].default
    chosen["max_streams"] = max(_FEWEST_STREAMS, min(default_streams, room))
    streams = _set(settings, "max_streams") or chosen["max_streams"]
    default_queue = type(settings).model_fields["queue_size"].default
    chosen["queue_size"] = (
        default_queue if streams >= default_streams else min(default_queue, streams)
    )
    chosen = {name: chosen[name] for name in _CHOSEN if _set(settings, name) is None}
    if alone:
        chosen.pop("workers", None)
    needed = int((memory - usable) + workers * WORKER_BYTES + streams * STREAM_BYTES)
    warnings = _warnings(settings, needed, memory, fitting, grant.processors, alone=alone)
    why = (
        f"{memory // MIB} MiB of memory ({_source(settings, grant)}), {grant.processors} processors"
    )
    return Sized(settings.model_copy(update=chosen), chosen, why, warnings)


def _fixed_bytes(settings: Settings, *, alone: bool) -> int:
    """What is there before the first worker."""
    if alone:
        return 0
    demo = settings.upstream_url is None and not settings.upstreams
    return BASE_BYTES + (WORKER_BYTES if demo else 0)


def _set(settings: Settings, name: str) -> int | None:
    """What the operator wrote; 0 of `body_memory_bytes` means that nothing was."""
    value: int = getattr(settings, name)
    if name not in settings.model_fields_set or (name == "body_memory_bytes" and not value):
        return None
    return value


def _source(settings: Settings, grant: ContainerLimits) -> str:
    if settings.memory_bytes:
        return "SLUICE_MEMORY_BYTES"
    return "the container's limit" if grant.limited else "the machine's"


def _warnings(
    settings: Settings, needed: int, memory: int, fitting: int, processors: int, *, alone: bool
) -> tuple[str, ...]:
    found = []
    if needed > memory:
        found.append(
            f"About {needed // MIB} MiB are needed and there are {memory // MIB}: the kernel may "
            "kill processes. Raise the memory limit, or lower SLUICE_WORKERS "
            f"({fitting} would fit) and SLUICE_MAX_STREAMS."
        )
    workers = _set(settings, "workers")
    if not alone and workers is not None and workers > 2 * processors:
        found.append(
            f"SLUICE_WORKERS is {workers}, and there are {processors} processors: more than one "
            "worker for each only takes memory."
        )
    return tuple(found)
