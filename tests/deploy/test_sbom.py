"""Debian's half of the bill of materials; `tests/image` holds the whole against an image."""

from __future__ import annotations

from deploy.sbom import debian_components

STATUS = """\
Package: zlib1g
Status: install ok installed
Architecture: amd64
Version: 1:1.3.dfsg+really1.3.1-1+b1
Description: compression library
 Version: of another thing

Package: half
Status: install ok half-configured
Architecture: all
Version: 1

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 2
"""


def test_what_is_installed_has_a_package_url() -> None:
    """And nothing else; an epoch and a plus are encoded, as the URL's specification asks."""
    (only,) = debian_components(STATUS, {"ID": "debian", "VERSION_ID": "13"})
    assert only["name"] == "zlib1g"
    assert only["version"] == "1:1.3.dfsg+really1.3.1-1+b1"
    assert only["purl"] == only["bom-ref"]
    assert only["purl"] == (
        "pkg:deb/debian/zlib1g@1%3A1.3.dfsg%2Breally1.3.1-1%2Bb1?arch=amd64&distro=debian-13"
    )
