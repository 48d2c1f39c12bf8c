"""Two self-signed certificates for localhost, good for a hundred years and for tests only."""

from __future__ import annotations

import re
import ssl
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


def ending(pair: Pair, folder: Path, when: bytes) -> str:
    """The path of that certificate with another end, `YYYYMMDDHHMMSSZ`; its key is the same."""
    der = ssl.PEM_cert_to_DER_cert(Path(pair.certificate).read_text())
    date = re.compile(rb"\x18\x0f\d{14}Z")
    assert len(date.findall(der)) == 1
    path = folder / "ending.pem"
    path.write_text(ssl.DER_cert_to_PEM_cert(date.sub(b"\x18\x0f" + when, der)))
    return str(path)
