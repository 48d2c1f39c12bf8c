from __future__ import annotations

import re
import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest
import structlog.testing

from proxy.appliance.certificate import ServedCertificate, not_after, pair_complaint
from proxy.appliance.preflight import preflight
from proxy.appliance.run_directory import run_directory
from tests.appliance.test_preflight import settings
from tests.fixtures.ports import free_port
from tests.nginx import pem


def test_the_end_of_a_certificate_is_the_one_that_openssl_sees(tmp_path: Path) -> None:
    """Read as the library reads it; of a chain the first counts."""
    known = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    known.load_verify_locations(pem.ONE.certificate)
    stated = str(known.get_ca_certs()[0]["notAfter"])
    assert not_after(pem.ONE.certificate).timestamp() == ssl.cert_time_to_seconds(stated)
    chain = tmp_path / "chain.pem"
    first = pem.ending(pem.ONE, tmp_path, b"20200229120000Z")
    chain.write_text(
        "words before\n" + Path(first).read_text() + Path(pem.ONE.certificate).read_text()
    )
    assert not_after(str(chain)) == datetime(2020, 2, 29, 12, tzinfo=UTC)


@pytest.mark.parametrize("size", [0, 1, 2, 5, 40, 200])
def test_what_is_no_certificate_is_refused(tmp_path: Path, size: int) -> None:
    """Cut at any place, it is said to be unreadable, and nothing else is raised."""
    der = ssl.PEM_cert_to_DER_cert(Path(pem.ONE.certificate).read_text())
    path = tmp_path / "cut.pem"
    path.write_text(ssl.DER_cert_to_PEM_cert(der[:size]))
    with pytest.raises(ValueError, match="malformed"):
        not_after(str(path))


def element(tag: int, *content: bytes) -> bytes:
    """One element of DER."""
    joined = b"".join(content)
    return bytes((tag, len(joined))) + joined


@pytest.mark.parametrize(
    ("tag", "date", "year"),
    [
        (0x17, b"491231235959Z", 2049),
        (0x17, b"500101000000Z", 1950),
        (0x18, b"20500101000000Z", 2050),
        (0x0C, b"20500101000000Z", None),
        (0x18, b"tomorrow", None),
    ],
)
def test_the_forms_of_a_date(tmp_path: Path, tag: int, date: bytes, year: int | None) -> None:
    """Two digits of a year are this century's up to 49 (RFC 5280); all else is no date."""
    validity = element(0x30, element(tag, date), element(tag, date))
    signed = element(0x30, element(2, b"1"), element(0x30), element(0x30), validity)
    path = tmp_path / "made.pem"
    path.write_text(ssl.DER_cert_to_PEM_cert(element(0x30, signed)))
    if year is not None:
        assert not_after(str(path)).year == year
        return
    with pytest.raises(ValueError, match="malformed"):
        not_after(str(path))


@pytest.mark.parametrize(
    ("certificate", "key", "reason"),
    [
        (pem.ONE.certificate, pem.ONE.key, None),
        ("/no/c.pem", pem.ONE.key, "SLUICE_TLS_CERTIFICATE: '/no/c.pem' cannot be read"),
        (pem.ONE.key, pem.ONE.key, "SLUICE_TLS_CERTIFICATE: .* contains no PEM certificate"),
        (pem.ONE.certificate, "/no/k.pem", "SLUICE_TLS_KEY: '/no/k.pem' cannot be read"),
        (pem.ONE.certificate, pem.TWO.key, "SLUICE_TLS_KEY: .* is not the key of"),
        (pem.ONE.certificate, pem.ONE.certificate, "SLUICE_TLS_KEY: .* private key"),
    ],
)
def test_a_pair_that_cannot_serve_is_explained(
    certificate: str, key: str, reason: str | None
) -> None:
    """The sentence names the one setting to look at."""
    complaint = pair_complaint(certificate, key)
    if reason is None:
        assert complaint is None
    else:
        assert complaint is not None
        assert re.search(reason, complaint)


def test_an_expired_certificate_is_a_warning(tmp_path: Path) -> None:
    """Sluice starts: it may be renewed and reloaded while it runs."""
    old = pem.ending(pem.ONE, tmp_path, b"20200229120000Z")
    given = settings(tls_certificate=old, tls_key=pem.ONE.key, tls_port=free_port())
    with run_directory() as run, structlog.testing.capture_logs() as logged:
        preflight(given, run)
    advice = [entry["advice"] for entry in logged if entry["event"] == "certificate"]
    assert advice == [f"SLUICE_TLS_CERTIFICATE: {old!r} expired on 2020-02-29."]


def test_the_end_is_of_the_certificate_that_was_loaded(tmp_path: Path) -> None:
    """A renewed file counts from the next load on; one that is gone by then has no end."""
    path = Path(pem.ending(pem.ONE, tmp_path, b"20200229120000Z"))
    served = ServedCertificate()
    first = served.end(str(path), 0)
    assert first == datetime(2020, 2, 29, 12, tzinfo=UTC).timestamp()
    path.write_text(Path(pem.ONE.certificate).read_text())
    assert served.end(str(path), 0) == first
    assert served.end(str(path), 1) == not_after(pem.ONE.certificate).timestamp()
    path.unlink()
    assert served.end(str(path), 2) is None
    assert served.end(None, 2) is None
