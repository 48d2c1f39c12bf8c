"""`sluice keys`: make a client key, and list those of a running Sluice."""

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
    """Print a fresh key, this once, and what to store of it. Returns the exit status."""
    key = f"{_PREFIX}{secrets.token_urlsafe(_BYTES)}"
    digest = digest_of(key).hex()
    try:
        KeySettings.model_validate({"name": name, "sha256": digest})
    except ValidationError:
        print(
            f"sluice: {name!r} is no name for a key: up to 64 characters, no braces, "
            "no control characters.",
            file=sys.stderr,
        )
        return 2
    entry = json.dumps({"name": name, "sha256": digest}, ensure_ascii=False)
    print(f"The key, shown only now; give it to {name}:\n\n  {key}\n")
    print("In the file of SLUICE_CONFIG:\n")
    # A JSON string is a TOML string, too (TOML 1.0, basic strings).
    print(f'[[keys]]\nname = {json.dumps(name, ensure_ascii=False)}\nsha256 = "{digest}"\n')
    print(f"Or in SLUICE_KEYS, a JSON list:\n\n{entry}")
    return 0


def listed(settings: Settings) -> int:
    """Print the configured keys, their limits, and what a running Sluice says is left of them.

    Never a key. Returns the exit status.
    """
    if not settings.all_keys:
        print("No keys: any client is let in. `sluice keys new NAME` makes one.")
        return 0
    running = _of_running(settings)
    rows = [("NAME", "MODELS", "REQUESTS/MIN", "TOKENS/MIN", "STREAMS", "BUDGET", "EXPIRES")]
    for key in settings.all_keys:
        known = (running or {}).get(key.name, {})
        budget = _used(key.budget_usd, known.get("budget_usd"))
        rows.append(
            (
                *(key.name, ",".join(key.models)),
                _used(key.requests_per_minute, known.get("requests_per_minute")),
                _used(key.tokens_per_minute, known.get("tokens_per_minute")),
                _used(key.max_streams, known.get("max_streams")),
                budget if key.budget_usd is None else f"{budget} USD/{key.budget_period}",
                key.expires.isoformat() if key.expires else "-",
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(map(str.ljust, row, widths)).rstrip())
    if running is None and any(key.limited for key in settings.all_keys):
        print(
            f"\nNo Sluice answers on the admin port {settings.admin_port}, so that what is used "
            "is not known.",
            file=sys.stderr,
        )
    return 0


def _of_running(settings: Settings) -> dict[str, Any] | None:
    """What the Sluice on this machine's admin port says of its keys; None where none answers."""
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
        # Never by a proxy of the environment's.
        with build_opener(ProxyHandler({})).open(request, timeout=_STATUS_SECONDS) as answer:
            keys = json.load(answer).get("keys")
    except (OSError, HTTPException, ValueError):
        return None
    return keys if isinstance(keys, dict) else None


def _used(limit: float | None, known: dict[str, Any] | None) -> str:
    if limit is None:
        return "-"
    if not known or known.get("left") is None:
        return f"{limit:,}"
    # The limit that is in force: the file may have been changed since.
    return f"{known['used']:,} used, {known['left']:,} left of {known.get('limit', limit):,}"
