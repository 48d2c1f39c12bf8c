"""How many workers, streams and bodies fit."""

from __future__ import annotations

import pytest

from proxy.container_limits import ContainerLimits
from proxy.settings import Settings
from proxy.worker_sizing import BASE_BYTES, STREAM_BYTES, WORKER_BYTES, sized

MIB = 1024 * 1024
URL = "http://127.0.0.1:9/v1"


def made(**values: object) -> Settings:
    return Settings.model_construct(
        _fields_set=set(values) | {"upstream_url"},
        **{
            **{
                name: field.get_default(call_default_factory=True)
                for name, field in Settings.model_fields.items()
            },
            "upstream_url": URL,
            **values,
        },
    )


def test_128_mib_hold_one_worker_and_what_it_takes() -> None:
    """Although there are processors for two; what was chosen fits."""
    sizing = sized(made(), ContainerLimits(128 * MIB, True, 2))
    assert sizing.settings.workers == 1
    assert 100 <= sizing.settings.max_streams < 1000
    assert sizing.settings.queue_size == sizing.settings.max_streams
    needed = BASE_BYTES + WORKER_BYTES + sizing.settings.max_streams * STREAM_BYTES
    assert needed < 128 * MIB
    assert "128 MiB of memory (the container's limit)" in sizing.why
    assert sizing.warnings == ()


def test_where_there_is_enough_the_defaults_hold() -> None:
    """A worker for each processor, and the slots that the table of settings promises."""
    sizing = sized(made(), ContainerLimits(16_384 * MIB, False, 4))
    assert sizing.chosen == {
        "workers": 4,
        "max_streams": 1000,
        "queue_size": 1000,
        "body_memory_bytes": 512 * MIB,
    }


@pytest.mark.parametrize("memory", [48, 100, 150, 200, 256, 300, 512, 1024, 4096])
def test_more_memory_never_holds_less(memory: int) -> None:
    """Workers times their size, streams, and some for bodies, in any memory."""
    less, more = (
        sized(made(), ContainerLimits(size * MIB, True, 8)).settings
        for size in (memory, memory * 2)
    )
    assert 1 <= less.workers <= more.workers
    assert less.max_streams >= 16
    assert less.body_memory_bytes >= 8 * MIB * less.workers


def test_what_is_set_stays_and_is_warned_of() -> None:
    """By name, with what would fit."""
    settings = made(workers=4, max_streams=500)
    sizing = sized(settings, ContainerLimits(128 * MIB, True, 1))
    assert (sizing.settings.workers, sizing.settings.max_streams) == (4, 500)
    assert set(sizing.chosen) == {"queue_size", "body_memory_bytes"}
    memory, processors = sizing.warnings
    assert "SLUICE_WORKERS (1 would fit)" in memory
    assert "SLUICE_WORKERS is 4, and there are 1 processors" in processors


def test_a_worker_alone_has_all_of_it() -> None:
    """No supervisor and no nginx beside it."""
    alone = sized(made(), ContainerLimits(128 * MIB, True, 2), alone=True)
    assert "workers" not in alone.chosen
    assert (
        alone.settings.max_streams
        > sized(made(), ContainerLimits(128 * MIB, True, 2)).settings.max_streams
    )


def test_a_setting_stands_in_for_the_limit() -> None:
    """Where the machine is shared and no control group says how much is ours."""
    sizing = sized(made(memory_bytes=128 * MIB), ContainerLimits(16_384 * MIB, False, 4))
    assert sizing.settings.workers == 1
    assert "SLUICE_MEMORY_BYTES" in sizing.why
