"""What is checked and made before the first process starts, so that mistakes are said at once."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import structlog

from proxy.appliance import nginx, nginx_config, nginx_program, ports, sizing
from proxy.appliance.monitor import CannotStart
from proxy.upstream.trust import tls_context

if TYPE_CHECKING:
    from proxy.appliance.directory import RunDirectory
    from proxy.appliance.nginx_program import NginxProgram
    from proxy.settings import Settings

_log = structlog.get_logger("appliance")


def preflight(settings: Settings, run: RunDirectory) -> NginxProgram:
    """Check the ports, find nginx, render its files and let it check them.

    Raises `CannotStart` with what is wrong and what to do about it.
    """
    _check_ports(settings)
    try:
        tls_context(settings.upstream_ca)
    except ValueError as error:
        raise CannotStart(str(error)) from None
    try:
        program = nginx_program.find(settings.nginx_path)
        sizes = sizing.sizes_for(
            settings, hard_limit=sizing.raise_limit(), somaxconn=sizing.somaxconn()
        )
        values = nginx_config.values_for(settings, run=run, program=program, sizes=sizes)
        nginx_config.render(values, run.nginx_conf.parent)
        complaint = nginx.complaint(program, run)
    except (nginx_program.NoNginx, nginx_config.CannotRender) as error:
        raise CannotStart(str(error)) from None
    except (OSError, subprocess.SubprocessError) as error:
        raise CannotStart(f"nginx cannot be prepared: {error}") from error
    if complaint is not None:
        raise CannotStart(f"nginx refuses its configuration:\n{complaint}")
    for warning in sizes.warnings:
        _log.warning("limits", advice=warning)
    return program


def _check_ports(settings: Settings) -> None:
    wanted = [
        ("SLUICE_LISTEN_PORT", settings.plain_address, settings.listen_port),
        ("SLUICE_ADMIN_PORT", settings.admin_address, settings.admin_port),
    ]
    if settings.tls_certificate is not None:
        wanted.append(("SLUICE_TLS_PORT", settings.listen_address, settings.tls_port))
    complaints = [words for one in wanted if (words := ports.complaint(*one)) is not None]
    if len({port for _, _, port in wanted}) < len(wanted):
        complaints.append(f"{', '.join(name for name, _, _ in wanted)} must all differ.")
    if complaints:
        raise CannotStart("\n".join(complaints))
