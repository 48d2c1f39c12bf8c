"""SIGHUP for the appliance: settings, workers and nginx are reloaded together, or not at all."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import structlog

from proxy import config, shared_settings
from proxy.appliance import nginx, nginx_config, sizing, store_program
from proxy.appliance.banner import uses_demo
from proxy.appliance.certificate import ServedCertificate
from proxy.appliance.monitor import ProcessState
from proxy.appliance.preflight import file_complaints

if TYPE_CHECKING:
    from proxy.appliance.directory import RunDirectory
    from proxy.appliance.held_files import HeldFiles
    from proxy.appliance.nginx_program import NginxProgram
    from proxy.appliance.processes import Processes
    from proxy.settings import Settings

_log = structlog.get_logger("appliance")
_LONGEST_SECONDS = 15.0
_LOOK_SECONDS = 0.1
_REMIND_AFTER = 10
"""Looks after which a worker that has not taken the settings is told again."""


class NotReloaded(Exception):
    """The text says why; everything is as it was."""


class ApplianceReload:
    """The settings that hold, and how others take their place."""

    def __init__(
        self,
        settings: Settings,
        at_start: Settings,
        directory: RunDirectory,
        program: NginxProgram,
        processes: Processes,
        files: HeldFiles,
    ) -> None:
        """`settings` name the copies in `files`; those of the start, what was set."""
        self._settings = settings
        self._files = files
        self._at_start = at_start
        self._directory = directory
        self._program = program
        self._processes = processes
        self._lock = asyncio.Lock()
        self._applied = 0
        self._certificate = ServedCertificate()
        self.latest: dict[str, object] | None = None
        """When the latest was, and with what result, for `/status`."""

    def certificate_end(self) -> float | None:
        """When the certificate that nginx serves expires, in Unix time; None without TLS.

        nginx reads the file as it starts and with each reload; what lies there since then is not
        served yet.
        """
        loads = (self._applied, self._processes.nginx.restarts)
        return self._certificate.end(self._settings.tls_certificate, loads)

    async def reload(self) -> None:
        """Read the settings anew and apply them everywhere; what runs goes on."""
        async with self._lock:
            when = datetime.now(UTC).isoformat(timespec="seconds")
            before = self._settings
            try:
                frozen = await self._apply()
            except NotReloaded as error:
                _log.error("not_reloaded", complaint=str(error), advice="The old settings hold.")
                self.latest = {"at": when, "result": "refused", "complaint": str(error)}
                return
            finally:
                # A worker that is just starting may have the settings before these.
                await asyncio.to_thread(self._files.keep_only, before, self._settings)
            if frozen:
                _log.warning("frozen_settings", names=frozen, advice="A restart applies them.")
            _log.info("reloaded", what="upstreams, keys, prices, certificates, nginx")
            self.latest = {"at": when, "result": "applied", "frozen": frozen}

    async def _apply(self) -> list[str]:
        # 1. What is wrong is found before anything changes.
        read_anew = await asyncio.to_thread(_checked)
        settings = await asyncio.to_thread(self._held, read_anew)
        if uses_demo(settings) and self._processes.demo is None:
            raise NotReloaded("No upstream is left; the demo upstream comes only with a start.")
        if store_program.wanted(settings) and self._processes.store is None:
            raise NotReloaded(
                "A key has a limit, and the embedded store comes only with a start: "
                "set SLUICE_STORE_URL, or restart."
            )
        # 2. nginx's files, which it reads only when it is told to.
        complaint = await asyncio.to_thread(self._rendered, settings)
        if complaint is not None:
            raise NotReloaded(complaint)
        # 3. The workers; if one refuses, all have the old ones again.
        complaint = await self._handed_over(settings)
        if complaint is not None:
            await self._handed_over(self._settings)
            await asyncio.to_thread(self._rendered, self._settings)
            raise NotReloaded(complaint)
        # 4. nginx: its streams go on in its old processes.
        self._processes.nginx.send(nginx.RELOAD)
        self._settings = settings
        self._applied += 1
        return shared_settings.frozen_changes(self._at_start, read_anew)

    def _held(self, read_anew: Settings) -> Settings:
        """What is to hold: the settings that may change, with copies of all files as they are."""
        # Its path is frozen, and what lies there is read anew like the certificate.
        client_ca = {"tls_client_ca": self._at_start.tls_client_ca}
        merged = shared_settings.merged(self._settings, read_anew).model_copy(update=client_ca)
        try:
            return self._files.hold(merged)
        except OSError as error:
            raise NotReloaded(f"{error.filename}: {error.strerror}.") from None

    def _rendered(self, settings: Settings) -> str | None:
        """Write nginx's files and let it check them; with a complaint the old ones are back."""
        folder = self._directory.nginx_conf.parent
        kept = folder.with_name("nginx.before")
        shutil.rmtree(kept, ignore_errors=True)
        folder.rename(kept)
        complaint: str | None = "nginx's files cannot be written."
        try:
            sizes = sizing.sizes_for(
                settings, hard_limit=sizing.raise_limit(), somaxconn=sizing.somaxconn()
            )
            values = nginx_config.values_for(
                settings, run=self._directory, program=self._program, sizes=sizes
            )
            nginx_config.render(values, folder)
            complaint = nginx.complaint(self._program, self._directory)
        except (OSError, subprocess.SubprocessError, nginx_config.CannotRender) as error:
            complaint = str(error)
        finally:
            if complaint is not None:
                shutil.rmtree(folder, ignore_errors=True)
                kept.rename(folder)
        return complaint

    async def _handed_over(self, settings: Settings) -> str | None:
        """Have all workers take the settings. What the first that cannot says; None if all did."""
        generation = self._processes.hand_over(settings)
        looks = 0
        deadline = asyncio.get_running_loop().time() + _LONGEST_SECONDS
        while asyncio.get_running_loop().time() < deadline:
            pending = []
            for worker, report in zip(
                self._processes.workers, await self._processes.worker_reports(), strict=True
            ):
                said = report.get("reload") or {"generation": -1, "complaint": None}
                if worker.state is not ProcessState.READY:
                    # It reads them when it starts.
                    continue
                if said["generation"] < generation:
                    pending.append(worker)
                elif said["complaint"] is not None:
                    return f"{worker.name}: {said['complaint']}"
            if not pending:
                return None
            if looks % _REMIND_AFTER == 0:
                for worker in pending:
                    worker.send(nginx.RELOAD)
            looks += 1
            await asyncio.sleep(_LOOK_SECONDS)
        return f"{pending[0].name} did not take the settings within {_LONGEST_SECONDS:g} s."


def _checked() -> Settings:
    try:
        settings = config.load()
    except config.BadSettings as error:
        raise NotReloaded(str(error)) from None
    if complaints := file_complaints(settings):
        raise NotReloaded("\n".join(complaints))
    return settings
