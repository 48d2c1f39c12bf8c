"""`sluice keys`: creates a client key, and lists the configured keys with their usage."""

# ruff: noqa: T201 - a command's output
from __future__ import annotations

import json
import secrets
import sys
from http.client import HTTPException
from typing import TYPE_CHECKING, Any
from urllib.request import ProxyHandler, Request, build_opener

from pydantic import ValidationError

from proxy.key_settings import KeySettings, digest_of

if TYPE_CHECKING:
    from proxy.settings import Settings

_BYTES = 32
_STATUS_SECONDS = 3.0
_PREFIX = "sk-sluice-"


def new(name: str) -> int:
    """Print a new key, which is shown only once, and its configuration. Return the exit status."""
    key = f"{_PREFIX}{secrets.token_urlsafe(_BYTES)}"
    digest = digest_of(key).hex()
    try:
        KeySettings.model_validate({"name": name, "sha256": digest})
    except ValidationError:
        print(
            f"sluice: {name!r} is not a valid name for a key: use up to 64 characters, "
            "without braces and control characters.",
            file=sys.stderr,
        )
        return 2
    entry = json.dumps({"name": name, "sha256": digest}, ensure_ascii=False)
    print(f"The key, shown only now; give it to {name}:\n\n  {key}\n")
    print("In the file of SLUICE_CONFIG:\n")
    # A JSON string is also a TOML string (TOML 1.0, "Basic strings").
    print(f'[[keys]]\nname = {json.dumps(name, ensure_ascii=False)}\nsha256 = "{digest}"\n')
    print(f"Or in SLUICE_KEYS, a JSON list:\n\n{entry}")
    return 0


def listed(settings: Settings) -> int:
    """Print the configured keys, their limits, and what a running Sluice reports as left.

    The keys themselves are never printed. Return the exit status.
    """
    if not settings.all_keys:
        print("No keys: any client is let in. `sluice keys new NAME` makes one.")
        return 0
    running = _of_running(settings)
    rows = [("NAME", "MODELS", "REQUESTS/MIN", "TOKENS/MIN", "STREAMS", "BUDGET", "EXPIRES")]
    for key in settings.all_keys:
        usage = (running or {}).get(key.name, {})
        budget = _used(key.budget_usd, usage.get("budget_usd"))
        rows.append(
            (
                *(key.name, ",".join(key.models)),
                _used(key.requests_per_minute, usage.get("requests_per_minute")),
                _used(key.tokens_per_minute, usage.get("tokens_per_minute")),
                _used(key.max_streams, usage.get("max_streams")),
                budget if key.budget_usd is None else f"{budget} USD/{key.budget_period}",
                key.expires.isoformat() if key.expires else "-",
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(map(str.ljust, row, widths)).rstrip())
    if running is None and any(key.limited for key in settings.all_keys):
        print(
            f"\nNo Sluice answers on the admin port {settings.admin_port}, so the usage of keys "
            "is unknown.",
            file=sys.stderr,
        )
    return 0


def _of_running(settings: Settings) -> dict[str, Any] | None:
    """Return the key report of the Sluice on this machine's admin port; None if none answers."""
    if not any(key.limited for key in settings.all_keys):
        return None
    host = "[::1]" if ":" in settings.admin_address else "127.0.0.1"
    if settings.admin_address not in {"0.0.0.0", "::"}:  # noqa: S104 compared, not bound
        address = settings.admin_address
        host = f"[{address}]" if ":" in address else address
    request = Request(f"http://{host}:{settings.admin_port}/status")
    token = getattr(settings, "admin_token", None)
    if token is not None:
        request.add_header("Authorization", f"Bearer {token.get_secret_value()}")
    try:
        # Not through a proxy that the environment sets.
        with build_opener(ProxyHandler({})).open(request, timeout=_STATUS_SECONDS) as answer:
            keys = json.load(answer).get("keys")
    except (OSError, HTTPException, ValueError):
        return None
    return keys if isinstance(keys, dict) else None


def _used(limit: float | None, usage: dict[str, Any] | None) -> str:
    if limit is None:
        return "-"
    if not usage or usage.get("left") is None:
        return f"{limit:,}"
    # The limit in force, which may differ from the file's.
    return f"{usage['used']:,} used, {usage['left']:,} left of {usage.get('limit', limit):,}"
