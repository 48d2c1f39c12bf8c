"""How a load generator speaks to whoever started it: one JSON object per line."""

from __future__ import annotations

import json


def announce(event: str, **values: object) -> None:
    """One line on standard output."""
    print(json.dumps({"event": event, **values}), flush=True)
