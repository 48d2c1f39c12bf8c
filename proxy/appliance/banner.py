"""The startup banner: where Sluice listens, and a command to try it."""

from __future__ import annotations

import ipaddress
import json
import shlex
from typing import TYPE_CHECKING

from proxy.appliance.http_probe import reachable

if TYPE_CHECKING:
    from proxy.settings import Settings

_DEMO_MODEL = "demo"
OPEN_TO_ANYBODY = (
    "ANYONE WHO CAN REACH THIS PORT CAN SPEND THE UPSTREAM'S KEY: set SLUICE_CLIENT_KEYS, "
    "or SLUICE_LISTEN_ADDRESS=127.0.0.1."
)


def banner_text(settings: Settings) -> str:
    """Build the text for stdout."""
    lines = [
        "Sluice is ready.",
        f"  public  {public_url(settings)}",
        f"  admin   {_url('http', settings.admin_address, settings.admin_port)}",
        f"  try     {curl_line(settings)}",
    ]
    if settings.tls_certificate is not None:
        tls = _url("https", settings.listen_address, settings.tls_port)
        lines.insert(2, f"  TLS     {tls}")
    if uses_demo(settings):
        lines.insert(1, "  NO MODEL ANSWERS, ONLY THE DEMO UPSTREAM: set SLUICE_UPSTREAM_URL.")
    if spends_key_for_anybody(settings):
        lines.insert(1, f"  {OPEN_TO_ANYBODY}")
    return "\n".join(lines)


def spends_key_for_anybody(settings: Settings) -> bool:
    """Whether other machines can spend the upstream's key without one of their own."""
    reached = not ipaddress.ip_address(settings.listen_address).is_loopback
    return settings.has_upstream_key and not settings.all_keys and reached


def uses_demo(settings: Settings) -> bool:
    """Whether no upstream is set, so that the embedded demo upstream answers."""
    return settings.upstream_url is None and not settings.upstreams


def public_url(settings: Settings) -> str:
    """Return the base URL of the public routes, as reached from this machine."""
    return _url("http", settings.plain_address, settings.listen_port)


def curl_line(settings: Settings) -> str:
    """Build a curl command that streams an answer."""
    body = {
        "model": _model(settings),
        "stream": True,
        "messages": [{"role": "user", "content": "Hello"}],
    }
    parts = ["curl -N", f"{public_url(settings)}/v1/chat/completions"]
    parts.append("-H 'Content-Type: application/json'")
    if settings.all_keys:
        parts.append('-H "Authorization: Bearer $SLUICE_KEY"')
    elif not uses_demo(settings) and settings.upstream_api_key is None:
        parts.append('-H "Authorization: Bearer $OPENAI_API_KEY"')
    parts.append(f"-d {shlex.quote(json.dumps(body, separators=(',', ':')))}")
    return " ".join(parts)


def _model(settings: Settings) -> str:
    """Return a model that an upstream lists without wildcards, or a default."""
    for upstream in settings.upstreams:
        for model in upstream.models:
            if not set(model) & set("*?["):
                return model
    return _DEMO_MODEL if uses_demo(settings) else "gpt-4o-mini"


def _url(scheme: str, address: str, port: int) -> str:
    host = reachable(address)
    return f"{scheme}://{f'[{host}]' if ipaddress.ip_address(host).version == 6 else host}:{port}"
