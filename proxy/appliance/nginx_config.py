"""Renders nginx's configuration: the files of `nginx/` with their `${NAMES}` filled in."""

from __future__ import annotations

import grp
import ipaddress
import math
import os
import pwd
import re
import string
from pathlib import Path
from typing import TYPE_CHECKING

from proxy import static_pages
from proxy.appliance import nginx_sizing, nginx_timeouts

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

    from proxy.appliance.nginx_program import NginxProgram
    from proxy.appliance.run_directory import RunDirectory
    from proxy.settings import Settings

# Characters that end a quoted string of nginx's configuration, or begin a variable.
_UNQUOTABLE = re.compile(r'["\\$\x00-\x1f]')
_LOG_LEVELS = {"debug": "info", "info": "warn", "warning": "warn", "error": "error"}


class CannotRender(Exception):
    """A setting's value cannot be written in nginx's configuration; the message names it."""


class _Template(string.Template):
    """`${UPPER_CASE}` is substituted; every other dollar sign is nginx's own."""

    pattern = r"""
        \$(?:\{(?P<braced>[A-Z][A-Z0-9_]*)\}|(?P<named>(?!))|(?P<escaped>(?!))|(?P<invalid>(?!)))
    """  # type: ignore[assignment] # typeshed has the compiled pattern, the class takes the text


def render(values: dict[str, str], target: Path) -> None:
    """Write all files of `nginx/` below `target`, with the values filled in.

    The TLS server is omitted without a certificate. Raises `KeyError` for a name without a value,
    and `OSError` if a file cannot be written.
    """
    _render_folder(static_pages.source(), values, target)
    if values["PLAYGROUND_FILES"]:
        _copy_page("playground", target.parent / "playground")


def values_for(
    settings: Settings,
    *,
    run: RunDirectory,
    program: NginxProgram,
    sizes: nginx_sizing.Connections,
) -> dict[str, str]:
    """Return the value of every `${NAME}`.

    Raises `CannotRender` for a path that cannot be quoted.
    """
    all_origins = "*" in settings.cors_origins
    playground = static_pages.playground_is_on(settings)
    return {
        "RUN": _quotable("TMPDIR", str(run.path)),
        "USER_DIRECTIVE": _user_directive(run.nginx_user),
        "LOG_LEVEL": _LOG_LEVELS[settings.log_level],
        "LOG_RELAYED": str(int(settings.access_log == "all")),
        "LOG_OWN": str(int(settings.access_log != "off")),
        "NGINX_WORKERS": str(sizes.processes),
        "NGINX_CONNECTIONS": str(sizes.connections),
        "NGINX_FILES": str(sizes.files),
        "LISTEN_ADDRESS": _bracketed(settings.listen_address),
        "LISTEN_PORT": str(settings.listen_port),
        "TLS_PORT": str(settings.tls_port),
        "LISTEN_OPTIONS": _listen_options(settings, sizes.backlog, sizes.processes),
        "HTTP2_LISTEN_OPTION": "" if program.has_http2_directive else "http2",
        "HTTP2_DIRECTIVE": "http2 on;" if program.has_http2_directive else "",
        "PLAIN_ADDRESS": _bracketed(settings.plain_address),
        "TLS_CLIENT_CA": _client_ca(settings.tls_client_ca),
        "HSTS": f'"max-age={settings.hsts_seconds}"' if settings.hsts_seconds else '""',
        "ADDRESS_LIMITS": "\n".join(_address_limits(settings)),
        "TRUSTED_PROXIES": "\n".join(
            f"set_real_ip_from {network};" for network in settings.trusted_proxies
        ),
        "TRUSTED_NETWORKS": "\n".join(
            f"    {network} 1;" for network in _trusted_networks(settings)
        ),
        "REAL_IP_HEADER": "proxy_protocol" if settings.proxy_protocol else "X-Forwarded-For",
        # The address that the PROXY protocol states.
        "PEER": "$remote_addr" if settings.proxy_protocol else "$realip_remote_addr",
        "TLS_CERTIFICATE": _quotable("SLUICE_TLS_CERTIFICATE", settings.tls_certificate or ""),
        "TLS_KEY": _quotable("SLUICE_TLS_KEY", settings.tls_key or ""),
        "MAX_BODY_BYTES": str(settings.max_body_bytes),
        "HEADER_SECONDS": f"{math.ceil(settings.header_timeout_seconds)}",
        # Longer than the worker's own limit, whose error response is better.
        "BODY_SECONDS": f"{math.ceil(settings.body_timeout_seconds) + 5}",
        "WORKER_SILENCE_SECONDS": f"{nginx_timeouts.worker_silence(settings):.0f}",
        "CLIENT_SILENCE_SECONDS": f"{nginx_timeouts.client_silence(settings):.0f}",
        "WORKER_SERVERS": "\n".join(
            f'    server "unix:{run.worker_socket(index)}" max_fails=0;'
            for index in range(settings.workers)
        ),
        "PLAYGROUND_FILES": str(run.path / "playground") if playground else "",
        "PLAYGROUND_HEADERS": _page_headers(),
        "CORS_DEFAULT": '"*"' if all_origins else '""',
        "CORS_ORIGINS": "" if all_origins else _origins(settings.cors_origins),
        "CORS_UNREAD": _unread_origin(settings.cors_origins),
        "CORS_CREDENTIALS": "true" if settings.cors_credentials else '""',
        "CORS_VARY": "Origin" if settings.cors_origins else '""',
    }


def _render_folder(source: Traversable, values: dict[str, str], target: Path) -> None:
    target.mkdir(exist_ok=True)
    for entry in source.iterdir():
        if entry.is_dir():
            _render_folder(entry, values, target / entry.name)
        elif entry.name.endswith(".conf") and _is_wanted(entry.name, values):
            text = _Template(entry.read_text(encoding="utf-8")).substitute(values)
            (target / entry.name).write_text(text, encoding="utf-8")


def _is_wanted(name: str, values: dict[str, str]) -> bool:
    needs = {"https.conf": "TLS_CERTIFICATE", "playground.conf": "PLAYGROUND_FILES"}
    return name not in needs or bool(values[needs[name]])


def _copy_page(name: str, target: Path) -> None:
    """Copy a page's files: nginx, as user nobody, may not be able to reach the package."""
    for path, entry in static_pages.files(name).items():
        file = target / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(entry.read_bytes())


def _quotable(name: str, path: str) -> str:
    if _UNQUOTABLE.search(path):
        raise CannotRender(f'{name}: {path!r} has a character that nginx cannot quote: " \\ or $.')
    return path


def _user_directive(user: str | None) -> str:
    if user is None and os.geteuid() == 0:
        # By default nginx, as root, uses the user that it was built with.
        user = f"{pwd.getpwuid(0).pw_name} {grp.getgrgid(0).gr_name}"
    return "" if user is None else f"user {user};"


def _client_ca(path: str | None) -> str:
    if path is None:
        return ""
    quoted = _quotable("SLUICE_TLS_CLIENT_CA", path)
    return f'ssl_client_certificate "{quoted}";\nssl_verify_client on;\nssl_verify_depth 4;'


def _address_limits(settings: Settings) -> list[str]:
    lines = []
    if max_connections := settings.address_connections:
        lines.append("limit_conn_zone $limited_address zone=at_once:10m;")
        lines.append(f"limit_conn at_once {max_connections};")
    if rate := settings.address_requests_per_second:
        zone = f"limit_req_zone $limited_address zone=each_second:10m rate={rate}r/s;"
        lines += [zone, f"limit_req zone=each_second burst={2 * rate} nodelay;"]
    return lines


def _trusted_networks(settings: Settings) -> tuple[str, ...]:
    """Return the networks whose `Forwarded` nginx trusts: none with the PROXY protocol."""
    return () if settings.proxy_protocol else settings.trusted_proxies


def _listen_options(settings: Settings, backlog: int, processes: int) -> str:
    # Keepalive: on a silent stream only TCP probes notice a client that vanished. sndbuf: by
    # default the kernel buffers megabytes for a client that does not read; with this limit one
    # connection still carries several MB/s over 100 ms, enough for all streams of HTTP/2.
    options = [f"backlog={backlog}", "so_keepalive=60s:15s:4", "sndbuf=512k"]
    if processes > 1:
        # The kernel distributes the connections; otherwise one process accepts most of them.
        options.append("reuseport")
    if settings.proxy_protocol:
        options.append("proxy_protocol")
    if settings.listen_address == "::":
        # `::` means IPv4, too.
        options.append("ipv6only=off")
    return " ".join(options)


def _bracketed(address: str) -> str:
    return f"[{address}]" if ipaddress.ip_address(address).version == 6 else address


def _page_headers() -> str:
    return "\n".join(
        f'    add_header {name} "{text}" always;' for name, text in static_pages.HEADERS.items()
    )


def _unread_origin(origins: tuple[str, ...]) -> str:
    """Return the CORS origin for a refusal sent before nginx has read the `Origin` header."""
    if not origins:
        return '""'
    return f'"{origins[0]}"' if len(set(origins)) == 1 else '"*"'


def _origins(origins: tuple[str, ...]) -> str:
    # nginx rejects duplicates.
    return "\n".join(f'    "{origin}" "{origin}";' for origin in dict.fromkeys(origins))
