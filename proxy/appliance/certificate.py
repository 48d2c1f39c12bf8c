"""Checks a certificate and its key, and reads the certificate's expiry.

The standard library exposes dates only for a connection's peer and for CAs, so the expiry is parsed
from the DER here (RFC 5280, section 4.1).
"""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from pathlib import Path

import structlog

_log = structlog.get_logger("appliance")
_SEQUENCE, _VERSION, _UTC_TIME, _GENERALIZED_TIME = 0x30, 0xA0, 0x17, 0x18
_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
_LONG_LENGTH = 0x80
_MOST_LENGTH_BYTES = 4


def not_after(path: str) -> datetime:
    """Return the expiry of a PEM file's first certificate: in a chain, the server's own.

    Raises `OSError` if the file cannot be read, and `ValueError` if it holds no certificate.
    """
    text = Path(path).read_bytes().decode("ascii", "replace")
    _, begin, rest = text.partition(_BEGIN)
    body, end, _ = rest.partition(_END)
    if not begin or not end:
        raise ValueError("it contains no PEM certificate")
    try:
        return _not_after(ssl.PEM_cert_to_DER_cert(f"{begin}{body}{end}"))
    except (ValueError, IndexError):
        raise ValueError("its first certificate is malformed") from None


class ServedCertificate:
    """The expiry of the certificate that a server has loaded, read when it loaded it."""

    def __init__(self) -> None:
        self._read: tuple[str | None, object] = (None, None)
        self._end: float | None = None

    def end(self, path: str | None, loads: object) -> float | None:
        """Return the expiry in Unix time; None without a certificate, or if it is unreadable.

        `loads` changes each time the server loads its files.
        """
        if (path, loads) != self._read:
            self._read = (path, loads)
            self._end = None
            if path is not None:
                try:
                    self._end = not_after(path).timestamp()
                except (OSError, ValueError) as error:
                    _log.warning("certificate", path=path, complaint=str(error))
        return self._end


def pair_complaint(certificate: str, key: str) -> str | None:
    """Return why nginx cannot use these two files, naming the setting; None if it can."""
    try:
        not_after(certificate)
    except OSError as error:
        return _unreadable("SLUICE_TLS_CERTIFICATE", certificate, error)
    except ValueError as error:
        return f"SLUICE_TLS_CERTIFICATE: {certificate!r} cannot be used: {error}."
    try:
        Path(key).read_bytes()
    except OSError as error:
        return _unreadable("SLUICE_TLS_KEY", key, error)
    try:
        # An empty passphrase keeps OpenSSL from prompting for one; nginx cannot prompt either.
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(
            certificate, key, password=""
        )
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            return f"SLUICE_TLS_KEY: {key!r} is not the key of the certificate {certificate!r}."
        return (
            f"SLUICE_TLS_KEY: {key!r} cannot be used with {certificate!r}: it must be that "
            "certificate's private key, in PEM and without a passphrase."
        )
    return None


def _unreadable(name: str, path: str, error: OSError) -> str:
    return f"{name}: {path!r} cannot be read ({error.strerror})."


def _not_after(der: bytes) -> datetime:
    certificate = _content(_expect(_element(der), _SEQUENCE))
    signed = _content(_expect(_element(certificate), _SEQUENCE))
    if _element(signed)[0] == _VERSION:
        signed = _after(signed)
    # Skip serial number, algorithm and issuer; the expiry is the validity's second date.
    for _ in range(3):
        signed = _after(signed)
    validity = _content(_expect(_element(signed), _SEQUENCE))
    tag, value, _ = _element(_after(validity))
    text = value.decode("ascii")
    if tag == _UTC_TIME:
        # A two-digit year: 00 to 49 are in this century (RFC 5280, section 4.1.2.5.1).
        text = ("20" if int(text[:2]) < 50 else "19") + text
    elif tag != _GENERALIZED_TIME:
        raise ValueError
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)


def _element(der: bytes) -> tuple[int, bytes, bytes]:
    """Return the tag and the content of the first element, and the bytes after it."""
    tag, length, start = der[0], der[1], 2
    if length & _LONG_LENGTH:
        start += length & ~_LONG_LENGTH
        if not 2 < start <= 2 + _MOST_LENGTH_BYTES:
            raise ValueError
        length = int.from_bytes(der[2:start], "big")
    end = start + length
    if end > len(der):
        raise ValueError
    return tag, der[start:end], der[end:]


def _expect(element: tuple[int, bytes, bytes], tag: int) -> tuple[int, bytes, bytes]:
    if element[0] != tag:
        raise ValueError
    return element


def _content(element: tuple[int, bytes, bytes]) -> bytes:
    return element[1]


def _after(der: bytes) -> bytes:
    return _element(der)[2]
