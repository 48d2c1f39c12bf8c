"""Two self-signed certificates for localhost, good for a hundred years and for tests only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_FOLDER = Path(__file__).with_name("certificates")


@dataclass(frozen=True)
class Pair:
    """Paths of a certificate and its key."""

    certificate: str
    key: str


def _pair(name: str) -> Pair:
    return Pair(str(_FOLDER / f"{name}.cert.pem"), str(_FOLDER / f"{name}.key.pem"))


ONE = _pair("one")
TWO = _pair("two")
