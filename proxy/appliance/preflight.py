"""Checks settings, files and ports, and renders nginx's files, before any process starts."""

from __future__ import annotations

import ssl
import subprocess
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import structlog

from proxy.appliance import certificate, nginx, nginx_config, nginx_program, nginx_sizing, ports
from proxy.appliance.file_snapshots import FileSnapshots
from proxy.appliance.monitor import CannotStart
from proxy.meter.prices import PricesError, read_prices
from proxy.upstream.tls_trust import load_ca

if TYPE_CHECKING:
    from proxy.appliance.nginx_program import NginxProgram
    from proxy.appliance.run_directory import RunDirectory
    from proxy.settings import Settings

_log = structlog.get_logger("appliance")


def preflight(
    settings: Settings, run: RunDirectory, files: FileSnapshots | None = None
) -> NginxProgram:
    """Check files and ports, find nginx, render its files and test them.

    nginx uses the copies in `files` of the files that settings name. Raises `CannotStart`, which
    says what is wrong and what to do.
    """
    if complaints := [*_port_complaints(settings), *file_complaints(settings)]:
        raise CannotStart("\n".join(complaints))
    try:
        held = (files or FileSnapshots(run.path)).snapshot(settings)
        program = nginx_program.find(settings.nginx_path)
        sizes = nginx_sizing.sizes_for(
            settings, hard_limit=nginx_sizing.raise_limit(), somaxconn=nginx_sizing.somaxconn()
        )
        values = nginx_config.values_for(held, run=run, program=program, sizes=sizes)
        nginx_config.render(values, run.nginx_conf.parent)
        complaint = nginx.complaint(program, run)
    except (nginx_program.NoNginx, nginx_config.CannotRender) as error:
        raise CannotStart(str(error)) from None
    except (OSError, subprocess.SubprocessError) as error:
        raise CannotStart(f"nginx cannot be prepared: {error}") from error
    if complaint is not None:
        raise CannotStart(f"nginx rejects its configuration:\n{complaint}")
    for warning in sizes.warnings:
        _log.warning("limits", advice=warning)
    for warning in certificate_warnings(settings):
        _log.warning("certificate", advice=warning)
    return program


def file_complaints(settings: Settings) -> list[str]:
    """Return the problems of files that settings name, one sentence each, with the setting."""
    complaints: list[str | None] = []
    if settings.tls_certificate and settings.tls_key:
        complaints.append(certificate.pair_complaint(settings.tls_certificate, settings.tls_key))
    for name, path in (
        ("SLUICE_TLS_CLIENT_CA", settings.tls_client_ca),
        ("SLUICE_UPSTREAM_CA", settings.upstream_ca),
        *((upstream.ca_name, upstream.ca) for upstream in settings.upstreams),
    ):
        try:
            if path is not None:
                load_ca(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), name, path)
        except ValueError as error:
            complaints.append(str(error))
    if settings.prices:
        try:
            read_prices(settings.prices)
        except PricesError as error:
            complaints.append(f"SLUICE_PRICES: {error}")
    return [complaint for complaint in complaints if complaint is not None]


def certificate_warnings(settings: Settings) -> list[str]:
    """Warn about an expired certificate, which nginx accepts but clients reject."""
    if settings.tls_certificate is None:
        return []
    end = certificate.not_after(settings.tls_certificate)
    if end > datetime.now(UTC):
        return []
    return [f"SLUICE_TLS_CERTIFICATE: {settings.tls_certificate!r} expired on {end:%Y-%m-%d}."]


def _port_complaints(settings: Settings) -> list[str]:
    wanted = [
        ("SLUICE_LISTEN_PORT", settings.plain_address, settings.listen_port),
        ("SLUICE_ADMIN_PORT", settings.admin_address, settings.admin_port),
    ]
    if settings.tls_certificate is not None:
        wanted.append(("SLUICE_TLS_PORT", settings.listen_address, settings.tls_port))
    complaints = [
        complaint for listener in wanted if (complaint := ports.complaint(*listener)) is not None
    ]
    if len({port for _, _, port in wanted}) < len(wanted):
        complaints.append(f"{', '.join(name for name, _, _ in wanted)} must all differ.")
    return complaints
