"""What stands in more than one of the project's papers is the same in all of them."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT: dict[str, Any] = PYPROJECT["project"]


def test_the_licence_is_the_whole_text() -> None:
    """Who takes the code reads its terms in the same place."""
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text
    assert "The Sluice authors" in text
    assert PROJECT["license"] == "Apache-2.0"
    assert PROJECT["authors"] == [{"name": "The Sluice authors"}]


def test_the_forge_runs_every_python_that_is_promised() -> None:
    """Classifiers, the workflow's matrix and `requires-python` name the same versions."""
    promised = [
        match[1]
        for match in map(re.compile(r".* :: (3\.\d+)$").match, PROJECT["classifiers"])
        if match
    ]
    matrix = workflow()["jobs"]["test"]["strategy"]["matrix"]["python"]
    assert matrix == promised
    assert PROJECT["requires-python"] == f">={promised[0]}"


def test_the_workflow_runs_commands_that_are_there() -> None:
    """A forge that runs what a developer cannot is no help to either."""
    runs = " ".join(
        step.get("run", "") for job in workflow()["jobs"].values() for step in job["steps"]
    )
    named = set(re.findall(r"make ([a-z][\w-]*)", runs))
    assert {"run", "coverage", "lint", "bench-guard"} <= named
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in named:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_the_hooks_are_the_lint() -> None:
    """What passes before a commit passes afterwards: the same commands, from the same packages."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    recipe = re.search(r"^lint: setup\n((?:\t.*\n)+)", makefile, re.MULTILINE)
    assert recipe
    lint = {
        " ".join(
            word for word in line.split() if word != "." and not re.search(r"/|^Dockerfile", word)
        )
        for line in recipe[1].replace("$(VENV)/bin/", "").splitlines()
    }
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    hooks = [hook for repo in config["repos"] for hook in repo["hooks"]]
    assert {hook["entry"].removeprefix(".venv/bin/") for hook in hooks} == lint


def test_the_version_stands_in_one_place() -> None:
    """The compose file's image and the changelog follow `pyproject.toml`."""
    version = PROJECT["version"]
    compose = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text(encoding="utf-8"))
    assert compose["services"]["sluice"]["image"] == f"sluice:{version}"
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    released = re.findall(r"^## (\d+\.\d+\.\d+)", changelog, re.MULTILINE)
    assert released
    assert released[0] == version
    assert "## Unreleased" in changelog


def test_aiohttp_is_bounded_by_what_was_tried() -> None:
    """The lock's minor version is the newest that may be installed: the next is untried."""
    lock = (ROOT / "deploy" / "lock" / "runtime.txt").read_text(encoding="utf-8")
    locked = re.search(r"^aiohttp==(\d+)\.(\d+)\.", lock, re.MULTILINE)
    assert locked
    major, minor = int(locked[1]), int(locked[2])
    wanted = next(need for need in PROJECT["dependencies"] if re.match(r"aiohttp[<>=]", need))
    assert wanted.endswith(f",<{major}.{minor + 1}")


def workflow() -> dict[str, Any]:
    text = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    loaded: dict[str, Any] = yaml.safe_load(text)
    return loaded
