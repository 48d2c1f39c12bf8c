"""Reloads settings, workers and nginx on SIGHUP, all or nothing."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import structlog

from proxy import config, shared_settings
from proxy.appliance import nginx, nginx_config, nginx_sizing, store_program
from proxy.appliance.banner import uses_demo
from proxy.appliance.certificate import ServedCertificate
from proxy.appliance.monitor import ProcessState
from proxy.appliance.preflight import file_complaints

if TYPE_CHECKING:
    from proxy.appliance.file_snapshots import FileSnapshots
    from proxy.appliance.nginx_program import NginxProgram
    from proxy.appliance.processes import Processes
    from proxy.appliance.run_directory import RunDirectory
    from proxy.settings import Settings

_log = structlog.get_logger("appliance")
_LONGEST_SECONDS = 15.0
_POLL_SECONDS = 0.1
_REMIND_AFTER = 10
"""Polls after which a worker that has not applied the settings is signalled again."""


class NotReloaded(Exception):
    """The reload failed, and nothing has changed; the message says why."""


class ApplianceReload:
    """The current settings, and how they are replaced."""

    def __init__(
        self,
        settings: Settings,
        at_start: Settings,
        directory: RunDirectory,
        program: NginxProgram,
        processes: Processes,
        files: FileSnapshots,
    ) -> None:
        """Take `settings`, which name the copies in `files`, and `at_start`, as configured."""
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
        """The time and the result of the latest reload, for `/status`."""

    def certificate_end(self) -> float | None:
        """Return when nginx's certificate expires, in Unix time; None without TLS.

        nginx reads the file at its start and at each reload only.
        """
        loads = (self._applied, self._processes.nginx.restarts)
        return self._certificate.end(self._settings.tls_certificate, loads)

    async def reload(self) -> None:
        """Read the settings and apply them everywhere, without cutting a stream."""
        async with self._lock:
            when = datetime.now(UTC).isoformat(timespec="seconds")
            before = self._settings
            try:
                frozen = await self._apply()
            except NotReloaded as error:
                advice = "The old settings stay in force."
                _log.error("not_reloaded", complaint=str(error), advice=advice)
                self.latest = {"at": when, "result": "refused", "complaint": str(error)}
                return
            finally:
                # A worker that is starting may still use the settings before these.
                await asyncio.to_thread(self._files.retain, before, self._settings)
            if frozen:
                _log.warning("frozen_settings", names=frozen, advice="A restart applies them.")
            _log.info("reloaded", what="upstreams, keys, prices, certificates, nginx")
            self.latest = {"at": when, "result": "applied", "frozen": frozen}

    async def _apply(self) -> list[str]:
        # 1. Check everything before anything changes.
        configured = await asyncio.to_thread(_read_settings)
        settings = await asyncio.to_thread(self._snapshot, configured)
        if uses_demo(settings) and self._processes.demo is None:
            raise NotReloaded("No upstream is set; the demo upstream is only started by a restart.")
        if store_program.wanted(settings) and self._processes.store is None:
            raise NotReloaded(
                "A key has a limit, and the embedded store is only started by a restart: "
                "set SLUICE_STORE_URL, or restart."
            )
        # 2. Write nginx's files, which it does not read before a signal.
        complaint = await asyncio.to_thread(self._render, settings)
        if complaint is not None:
            raise NotReloaded(complaint)
        # 3. Apply the settings in the workers; if one refuses, restore the old ones in all.
        complaint = await self._distribute(settings)
        if complaint is not None:
            await self._distribute(self._settings)
            await asyncio.to_thread(self._render, self._settings)
            raise NotReloaded(complaint)
        # 4. Reload nginx; its old processes finish their streams.
        self._processes.nginx.send(nginx.RELOAD)
        self._settings = settings
        self._applied += 1
        return shared_settings.frozen_changes(self._at_start, configured)

    def _snapshot(self, configured: Settings) -> Settings:
        """Merge the settings that may change into the current ones, with copies of all files."""
        # The path is frozen, but the file is read again, like the certificate.
        client_ca = {"tls_client_ca": self._at_start.tls_client_ca}
        merged = shared_settings.merged(self._settings, configured).model_copy(update=client_ca)
        try:
            return self._files.snapshot(merged)
        except OSError as error:
            raise NotReloaded(f"{error.filename}: {error.strerror}.") from None

    def _render(self, settings: Settings) -> str | None:
        """Write nginx's files and test them; restore the old ones if nginx rejects them."""
        folder = self._directory.nginx_conf.parent
        kept = folder.with_name("nginx.before")
        shutil.rmtree(kept, ignore_errors=True)
        folder.rename(kept)
        complaint: str | None = "nginx's files cannot be written."
        try:
            sizes = nginx_sizing.sizes_for(
                settings, hard_limit=nginx_sizing.raise_limit(), somaxconn=nginx_sizing.somaxconn()
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

    async def _distribute(self, settings: Settings) -> str | None:
        """Apply the settings in all workers. Return the first one's complaint; None if all did."""
        generation = self._processes.hand_over(settings)
        checks = 0
        deadline = asyncio.get_running_loop().time() + _LONGEST_SECONDS
        while asyncio.get_running_loop().time() < deadline:
            pending = []
            for worker, report in zip(
                self._processes.workers, await self._processes.worker_reports(), strict=True
            ):
                outcome = report.get("reload") or {"generation": -1, "complaint": None}
                if worker.state is not ProcessState.READY:
                    # It will read them when it starts.
                    continue
                if outcome["generation"] < generation:
                    pending.append(worker)
                elif outcome["complaint"] is not None:
                    return f"{worker.name}: {outcome['complaint']}"
            if not pending:
                return None
            if checks % _REMIND_AFTER == 0:
                for worker in pending:
                    worker.send(nginx.RELOAD)
            checks += 1
            await asyncio.sleep(_POLL_SECONDS)
        return f"{pending[0].name} did not apply the settings within {_LONGEST_SECONDS:g} s."


def _read_settings() -> Settings:
    try:
        settings = config.load()
    except config.BadSettings as error:
        raise NotReloaded(str(error)) from None
    if complaints := file_complaints(settings):
        raise NotReloaded("\n".join(complaints))
    return settings
