from __future__ import annotations

import re
import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest
import structlog.testing

from proxy.appliance import ports
from proxy.appliance.certificate import not_after, pair_complaint
from proxy.appliance.directory import run_directory
from proxy.appliance.preflight import preflight
from tests.appliance.test_preflight import settings
from tests.nginx import pem


def ending(folder: Path, written: bytes) -> str:
    """The first test certificate with another end, as the DER of a date."""
    der = ssl.PEM_cert_to_DER_cert(Path(pem.ONE.certificate).read_text())
    end = f"{not_after(pem.ONE.certificate):%Y%m%d%H%M%SZ}".encode()
    assert der.count(b"\x18\x0f" + end) == 1
    changed = der.replace(b"\x18\x0f" + end, b"\x18\x0f" + written)
    path = folder / "changed.pem"
    path.write_text(ssl.DER_cert_to_PEM_cert(changed))
    return str(path)


def test_the_end_of_a_certificate_is_the_one_that_openssl_sees(tmp_path: Path) -> None:
    """Read as the library reads it; of a chain the first counts."""
    known = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    known.load_verify_locations(pem.ONE.certificate)
    stated = str(known.get_ca_certs()[0]["notAfter"])
    assert not_after(pem.ONE.certificate).timestamp() == ssl.cert_time_to_seconds(stated)
    chain = tmp_path / "chain.pem"
    first = ending(tmp_path, b"20200229120000Z")
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
    with pytest.raises(ValueError, match="cannot be read"):
        not_after(str(path))


@pytest.mark.parametrize(
    ("certificate", "key", "said"),
    [
        (pem.ONE.certificate, pem.ONE.key, None),
        ("/no/c.pem", pem.ONE.key, "SLUICE_TLS_CERTIFICATE: '/no/c.pem' cannot be read"),
        (pem.ONE.key, pem.ONE.key, "SLUICE_TLS_CERTIFICATE: .* no certificate in PEM"),
        (pem.ONE.certificate, "/no/k.pem", "SLUICE_TLS_KEY: '/no/k.pem' cannot be read"),
        (pem.ONE.certificate, pem.TWO.key, "SLUICE_TLS_KEY: .* is not the key of"),
        (pem.ONE.certificate, pem.ONE.certificate, "SLUICE_TLS_KEY: .* private key"),
    ],
)
def test_a_pair_that_cannot_serve_is_explained(
    certificate: str, key: str, said: str | None
) -> None:
    """The sentence names the one setting to look at."""
    complaint = pair_complaint(certificate, key)
    if said is None:
        assert complaint is None
    else:
        assert complaint is not None
        assert re.search(said, complaint)


def test_an_expired_certificate_is_a_warning(tmp_path: Path) -> None:
    """Sluice starts: it may be renewed and reloaded while it runs."""
    old = ending(tmp_path, b"20200229120000Z")
    given = settings(tls_certificate=old, tls_key=pem.ONE.key, tls_port=ports.free_port())
    with run_directory() as run, structlog.testing.capture_logs() as logged:
        preflight(given, run)
    said = [entry["advice"] for entry in logged if entry["event"] == "certificate"]
    assert said == [f"SLUICE_TLS_CERTIFICATE: {old!r} expired on 2020-02-29."]
