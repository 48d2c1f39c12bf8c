"""The image's bill of materials (CycloneDX): what Python has installed, and what Debian has.

`python deploy/sbom.py PYTHON SYSTEM TARGET`: the packages of that interpreter as cyclonedx-py sees
them, together with those of `SYSTEM/status` (dpkg's own) on the release of `SYSTEM/os-release`.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

_INSTALLED = "install ok installed"


def main(python: str, system: str, target: str) -> int:
    """Write the file. Raises `subprocess.CalledProcessError` where cyclonedx-py has complaints."""
    command = ["cyclonedx-py", "environment", "--output-reproducible", "--of", "JSON"]
    # The root of all is Sluice itself.
    command += ["--pyproject", "pyproject.toml", "--mc-type", "application", python]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    bom: dict[str, Any] = json.loads(done.stdout)
    status = (Path(system) / "status").read_text(encoding="utf-8")
    release = _release((Path(system) / "os-release").read_text(encoding="utf-8"))
    bom["components"] += [_operating_system(release), *debian_components(status, release)]
    Path(target).write_text(json.dumps(bom, indent=1) + "\n", encoding="utf-8")
    return 0


def debian_components(status: str, release: dict[str, str]) -> Iterator[dict[str, str]]:
    """The packages that dpkg's status file calls installed, with their package URLs."""
    for paragraph in status.split("\n\n"):
        fields = dict(re.findall(r"^([\w-]+): (.*)$", paragraph, re.MULTILINE))
        if fields.get("Status") != _INSTALLED:
            continue
        # https://github.com/package-url/purl-spec, type deb
        version = quote(fields["Version"], safe="")
        qualifiers = f"arch={fields['Architecture']}&distro=debian-{release['VERSION_ID']}"
        purl = f"pkg:deb/debian/{quote(fields['Package'])}@{version}?{qualifiers}"
        yield {
            "type": "library",
            "bom-ref": purl,
            "name": fields["Package"],
            "version": fields["Version"],
            "purl": purl,
        }


def _operating_system(release: dict[str, str]) -> dict[str, str]:
    name, version = release["ID"], release["VERSION_ID"]
    return {
        "type": "operating-system",
        "bom-ref": f"{name}-{version}",
        "name": name,
        "version": version,
    }


def _release(text: str) -> dict[str, str]:
    """The fields of os-release(5), which a shell would read."""
    return dict(word.split("=", 1) for word in shlex.split(text, comments=True))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
