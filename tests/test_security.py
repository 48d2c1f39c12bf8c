"""SECURITY.md promises nothing that is not there and held by a test."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from proxy.setting_errors import CONFIG, PREFIX
from proxy.settings import Settings

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
NAMED = re.findall(r"`([^`]+)`", TEXT)
DEFENCES = [
    [cell.strip() for cell in row.strip("|").split("|")]
    for row in TEXT.partition("## What is defended")[2].partition("\n## ")[0].splitlines()
    if row.startswith("| ")
][1:]


@pytest.mark.parametrize("row", DEFENCES, ids=[row[0] for row in DEFENCES])
def test_a_defence_is_something_and_is_tested(row: list[str]) -> None:
    """It says against what, where and by what; its last cell names nothing but files of tests."""
    against, where, by, held_by = row
    assert against
    assert where
    assert by
    tests = re.findall(r"`([^`]+)`", held_by)
    assert tests
    for test in tests:
        assert re.fullmatch(r"tests/(?:\w+/)*test_\w+\.py", test), test
        assert "\ndef test_" in (text := (ROOT / test).read_text(encoding="utf-8")) or (
            "\nasync def test_" in text
        )
    assert re.sub(r"`[^`]+`|[, ]", "", held_by) == ""


@pytest.mark.parametrize(
    "name", sorted({name for name in NAMED if name.startswith(PREFIX)} - {CONFIG})
)
def test_a_setting_exists(name: str) -> None:
    """By the name that it has; with `=`, with a value that it takes."""
    setting, _, value = name.removeprefix(PREFIX).partition("=")
    field = setting.removesuffix("_FILE").lower()
    assert field in Settings.model_fields
    if value:
        given: Any = {field: value, "trusted_proxies": "127.0.0.1"}
        Settings(**given)


@pytest.mark.parametrize(
    "path", sorted({name for name in NAMED if "/" in name and re.fullmatch(r"[a-z][\w./-]+", name)})
)
def test_a_file_exists(path: str) -> None:
    """Where it is said to be."""
    assert (ROOT / path).is_file()


@pytest.mark.parametrize("target", ["audit", "sbom"])
def test_what_checks_the_packages_looks_at_the_lock_of_the_runtime(target: str) -> None:
    """All that is installed with Sluice, and what was installed when that was tested."""
    assert f"make {target}" in NAMED
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    recipe = re.search(rf"^{target}: setup\n((?:\t.*\n)+)", makefile, re.MULTILINE)
    assert recipe
    assert "deploy/lock/runtime.txt" in recipe[1]


def test_the_image_is_built_of_locked_packages_only() -> None:
    """Each `pip install` of the Dockerfile asks for hashes, or for no index at all."""
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    installs = re.findall(r"pip (?:--python \S+ )?(?:install|wheel) [^&\n]*", dockerfile)
    assert len(installs) >= 4
    for command in installs:
        assert "--require-hashes" in command or "--no-index" in command, command
