"""Takes new settings into a running worker, all or nothing; what runs keeps what it began with."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from proxy import config, shared_settings
from proxy.edge.auth import Keys
from proxy.edge.worker_state import Reload, WorkerState
from proxy.meter.prices import PricesError
from proxy.relay.timeouts import Timeouts
from proxy.settings import Settings

_log = structlog.get_logger()


async def apply(state: WorkerState, settings: Settings) -> None:
    """Swap upstreams, keys, prices and timeouts.

    Raises `ValueError` if a part cannot be made of the settings; then nothing has changed.
    """
    # 1. What may fail, beside what is there.
    keys = Keys(settings.all_keys)
    targets = await asyncio.to_thread(state.upstreams.targets_from, settings)
    prices = await state.telemetry.prices_from(settings)
    # 2. What cannot fail, without a pause in between.
    state.settings = settings
    state.keys = keys
    state.upstreams.replace(targets)
    state.telemetry.replace_prices(prices, (target.name for target in targets))
    state.upstream_timeouts = {own.name: Timeouts.of(settings, own) for own in settings.upstreams}
    if state.upstreams.index == 0:
        state.key_report.apply(settings.all_keys)
    await state.upstreams.probe_anew()
    await state.limiter.apply(settings)


class Reloader:
    """SIGHUP, for one worker."""

    def __init__(self, state: WorkerState, descriptor: int | None, at_start: Settings) -> None:
        """`descriptor` is where a supervisor puts the settings; None for a worker alone.

        `at_start` are the settings as they were read then, before anything was chosen.
        """
        self._state = state
        self._descriptor = descriptor
        self._at_start = at_start
        self._lock = asyncio.Lock()
        if descriptor is not None:
            state.reload = Reload(shared_settings.read(descriptor)[0])
        else:
            state.reload = Reload(0)

    async def reload(self) -> None:
        """Read the settings anew and apply them; bad ones change nothing, and the log says why."""
        async with self._lock:
            generation = self._state.reload.generation + 1
            try:
                generation, settings = await asyncio.to_thread(self._read(generation))
                await apply(self._state, settings)
            except (config.BadSettings, PricesError, ValueError, OSError) as error:
                self._state.reload = Reload(generation, str(error))
                _log.error("not_reloaded", complaint=str(error))
            else:
                self._state.reload = Reload(generation)
                _log.info("reloaded", what="upstreams, keys and prices")

    def _read(self, generation: int) -> Callable[[], tuple[int, Settings]]:
        descriptor = self._descriptor
        if descriptor is not None:
            return lambda: shared_settings.read(descriptor)

        def read() -> tuple[int, Settings]:
            found = config.load()
            if names := shared_settings.frozen_changes(self._at_start, found):
                # What was chosen at the start is not in the environment.
                _log.warning("frozen_settings", names=names, advice="A restart applies them.")
            return generation, shared_settings.merged(self._state.settings, found)

        return read
