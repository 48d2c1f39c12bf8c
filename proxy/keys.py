"""`sluice keys`: make a client key, and list those of a running Sluice."""

# ruff: noqa: T201 - a command's output
from __future__ import annotations

import json
import secrets
import sys
from typing import TYPE_CHECKING

from pydantic import ValidationError

from proxy.key_settings import KeySettings, digest_of

if TYPE_CHECKING:
    from proxy.settings import Settings

_BYTES = 32
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
    """Print the configured keys with their limits, never a key. Returns the exit status."""
    rows = [("NAME", "MODELS", "REQUESTS/MIN", "TOKENS/MIN", "STREAMS", "BUDGET", "EXPIRES")]
    for key in settings.all_keys:
        budget = f"{key.budget_usd:g} USD/{key.budget_period}" if key.budget_usd else "-"
        rows.append(
            (
                *(key.name, ",".join(key.models), _or_dash(key.requests_per_minute)),
                *(_or_dash(key.tokens_per_minute), _or_dash(key.max_streams), budget),
                key.expires.isoformat() if key.expires else "-",
            )
        )
    if len(rows) == 1:
        print("No keys: any client is let in. `sluice keys new NAME` makes one.")
        return 0
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(map(str.ljust, row, widths)).rstrip())
    return 0


def _or_dash(limit: int | None) -> str:
    return "-" if limit is None else f"{limit:,}"
