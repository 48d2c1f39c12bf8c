"""The static pages: which files there are, when they are served, and their policy."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from proxy import static_pages
from proxy.settings import Settings

UPSTREAM = "http://127.0.0.1:9/v1"


@pytest.mark.parametrize(
    ("playground", "upstream", "served"),
    [
        ("auto", None, True),
        ("auto", UPSTREAM, False),
        ("on", UPSTREAM, True),
        ("off", None, False),
    ],
)
def test_when_the_playground_is_on(playground: str, upstream: str | None, served: bool) -> None:
    """By itself only in front of the demo upstream, where it can cost nobody anything."""
    settings = Settings(playground=playground, upstream_url=upstream)
    assert static_pages.playground_is_on(settings) is served


def test_every_file_of_the_page_has_a_type() -> None:
    """A file without one would be left out silently."""
    folder = Path(str(static_pages.source())) / "html" / "playground"
    there = {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}
    assert there == set(static_pages.files("playground"))


def test_nothing_of_the_page_lies_elsewhere() -> None:
    """No script, style or picture of another host, and nothing inline that the policy forbids."""
    for path, entry in static_pages.files("playground").items():
        text = entry.read_text(encoding="utf-8")
        if path.endswith(".html"):
            assert "//" not in text.replace("<!doctype html>", "")
            assert "style=" not in text
            assert " on" not in [part[:3] for part in text.split("<")]
    assert "unsafe" not in static_pages.HEADERS["Content-Security-Policy"]
    assert "default-src 'none'" in static_pages.HEADERS["Content-Security-Policy"]


def test_vendored_files_are_what_was_vendored() -> None:
    """Each has its hash and its licence beside it."""
    files = static_pages.files("playground")
    listed = files["vendor/SHA256SUMS.txt"].read_text(encoding="utf-8").split("\n")
    hashes = {name: digest for digest, name in (line.split("  ") for line in listed if line)}
    vendored = {path for path in files if path.startswith("vendor/") and path.endswith(".js")}
    assert {f"vendor/{name}" for name in hashes if name.endswith(".js")} == vendored
    for name, digest in hashes.items():
        assert hashlib.sha256(files[f"vendor/{name}"].read_bytes()).hexdigest() == digest
    for path in vendored:
        assert path.removesuffix(".js") + ".LICENSE" in files
