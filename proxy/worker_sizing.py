"""Computes how many workers, streams and bodies fit into the container, unless they are set.

The figures are proportional set sizes, measured (docs/operating.md says how).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from proxy.container_limits import ContainerLimits
    from proxy.settings import Settings

MIB = 1024 * 1024
BASE_BYTES = 58 * MIB
"""The supervisor with the admin port, and an idle nginx."""
WORKER_BYTES = 58 * MIB
"""An idle worker; the demo upstream uses as much."""
STREAM_BYTES = 40 * 1024
"""A stream in its worker and in nginx, with a short prompt."""
SMALLEST_BODIES = 8 * MIB
LARGEST_BODIES = 128 * MIB
"""For each worker."""
_USABLE = 0.95
"""The rest is for peaks: scrapes, reloads of nginx, socket buffers counted by the control group."""
_FEWEST_STREAMS = 16
_CHOSEN = ("workers", "max_streams", "queue_size", "body_memory_bytes")


class Sized(NamedTuple):
    """The settings, completed by the computed ones."""

    settings: Settings
    chosen: dict[str, int]
    """The computed settings, by name; none that the operator has set."""
    why: str
    warnings: tuple[str, ...]
    """Settings of the operator that do not fit into the container."""


def sized(settings: Settings, limits: ContainerLimits, *, alone: bool = False) -> Sized:
    """Compute the settings that are not set. `alone`: for a worker without supervisor and nginx."""
    memory = settings.memory_bytes or limits.memory
    usable = int(memory * _USABLE) - _fixed_bytes(settings, alone=alone)
    fitting = max(1, usable // (WORKER_BYTES + SMALLEST_BODIES))
    chosen = {"workers": 1 if alone else min(limits.processors, fitting)}
    workers = 1 if alone else _set(settings, "workers") or chosen["workers"]
    free = max(0, usable - workers * WORKER_BYTES)
    smallest = SMALLEST_BODIES * workers
    largest = min(memory // 4, LARGEST_BODIES * workers)
    chosen["body_memory_bytes"] = max(smallest, min(largest, free // 2))
    fitting_streams = max(free - chosen["body_memory_bytes"], free * 3 // 4) // STREAM_BYTES
    default_streams = type(settings).model_fields["max_streams"].default
    chosen["max_streams"] = max(_FEWEST_STREAMS, min(default_streams, fitting_streams))
    streams = _set(settings, "max_streams") or chosen["max_streams"]
    default_queue = type(settings).model_fields["queue_size"].default
    chosen["queue_size"] = (
        default_queue if streams >= default_streams else min(default_queue, streams)
    )
    chosen = {name: chosen[name] for name in _CHOSEN if _set(settings, name) is None}
    if alone:
        chosen.pop("workers", None)
    needed = int((memory - usable) + workers * WORKER_BYTES + streams * STREAM_BYTES)
    warnings = _warnings(settings, needed, memory, fitting, limits.processors, alone=alone)
    source = _source(settings, limits)
    why = f"{memory // MIB} MiB of memory ({source}), {limits.processors} processors"
    return Sized(settings.model_copy(update=chosen), chosen, why, warnings)


def _fixed_bytes(settings: Settings, *, alone: bool) -> int:
    """Return the memory used without any worker."""
    if alone:
        return 0
    demo = settings.upstream_url is None and not settings.upstreams
    return BASE_BYTES + (WORKER_BYTES if demo else 0)


def _set(settings: Settings, name: str) -> int | None:
    """Return the operator's value; None if unset, or if `body_memory_bytes` is 0."""
    value: int = getattr(settings, name)
    if name not in settings.model_fields_set or (name == "body_memory_bytes" and not value):
        return None
    return value


def _source(settings: Settings, limits: ContainerLimits) -> str:
    if settings.memory_bytes:
        return "SLUICE_MEMORY_BYTES"
    return "the container's limit" if limits.limited else "the machine's"


def _warnings(
    settings: Settings, needed: int, memory: int, fitting: int, processors: int, *, alone: bool
) -> tuple[str, ...]:
    warnings = []
    if needed > memory:
        warnings.append(
            f"About {needed // MIB} MiB are needed and there are {memory // MIB}: the kernel may "
            "kill processes. Raise the memory limit, or lower SLUICE_WORKERS "
            f"({fitting} would fit) and SLUICE_MAX_STREAMS."
        )
    workers = _set(settings, "workers")
    if not alone and workers is not None and workers > 2 * processors:
        warnings.append(
            f"SLUICE_WORKERS is {workers}, and there are {processors} processors: more than one "
            "worker per processor only uses memory."
        )
    return tuple(warnings)
