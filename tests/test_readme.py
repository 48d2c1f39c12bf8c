"""What the pages for people repeat of the program is what the program says."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path

import pytest

from proxy.config import load
from proxy.demo.settings_page import page
from proxy.setting_errors import PREFIX
from proxy.settings import Settings

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = sorted(
    [
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
        *(ROOT / "docs").glob("*.md"),
        *(ROOT / folder / "README.md" for folder in ("bench", "monitoring")),
    ]
)
NAMES = [str(path.relative_to(ROOT)) for path in PAGES]
MOST_BYTES = 8192
"""The README's limit: nobody reads more than that before trying a program."""

BESIDE_SETTINGS = re.compile(
    r"CONFIG|\w+_FILE|TEST_\w+|SOAK_SECONDS|PROMETHEUS_URL"  # read by others than `Settings`
)
all_pages = pytest.mark.parametrize("path", PAGES, ids=NAMES)


def test_the_readme_stays_short() -> None:
    """What is left out stands in docs/."""
    assert len(README.read_bytes()) <= MOST_BYTES


def test_the_page_of_faults() -> None:
    """Else run `make docs`."""
    text = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")
    _, _, rest = text.partition("<!-- faults: what `sluice demo --faults` prints -->\n")
    held, _, _ = rest.partition("\n<!-- faults: end -->")
    assert held.strip() == page().strip()


@all_pages
def test_every_link_leads_somewhere(path: Path) -> None:
    """Files and pictures that a page points at are there, seen from the page."""
    text = path.read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", text):
        assert (path.parent / target).exists(), target


@all_pages
def test_every_make_target_named_is_there(path: Path) -> None:
    """A command that can be pasted works."""
    targets = make_targets()
    text = path.read_text(encoding="utf-8")
    for target in re.findall(r"(?:^|`)make ([a-z][a-z-]+)", text, re.MULTILINE):
        assert target in targets, target


@all_pages
def test_every_setting_named_is_there(path: Path) -> None:
    """A variable that somebody sets from a page does not stop the start."""
    known = {name.upper() for name in Settings.model_fields}
    text = path.read_text(encoding="utf-8")
    for name in re.findall(rf"\b{PREFIX}([A-Z0-9_]*[A-Z0-9])\b", text):
        assert name in known or BESIDE_SETTINGS.fullmatch(name), f"{PREFIX}{name}"


@all_pages
def test_every_toml_example_is_a_file_that_starts(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is copied from a page is taken, once the dots are filled in."""
    blocks = re.findall(r"```toml\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL)
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)
    monkeypatch.setenv(f"{PREFIX}CONFIG", str(tmp_path / "sluice.toml"))
    for block in blocks:
        filled = re.sub(r'(sha256 = )"…"', rf'\1"{"0" * 64}"', block).replace("…", "secret")
        (tmp_path / "sluice.toml").write_text(filled, encoding="utf-8")
        load()


def test_the_settings_that_matter_are_as_the_readme_says() -> None:
    """Ten of them, and a default that is spelt out is the program's."""
    text = README.read_text(encoding="utf-8")
    rows = re.findall(rf"^\| `{PREFIX}(\w+)` \| (\S+) \|", text, re.MULTILINE)
    assert len(rows) == 10
    for name, default in rows:
        if default.startswith("`"):
            assert str(Settings.model_fields[name.lower()].default) == default.strip("`"), name


@all_pages
def test_every_file_named_is_there(path: Path) -> None:
    """A module or a test that a page names was not renamed since."""
    text = path.read_text(encoding="utf-8")
    for name in re.findall(r"`((?:proxy|tests|nginx|monitoring|docs|deploy)/[\w./-]+)`", text):
        assert (ROOT / name).exists(), name


def test_every_module_of_the_flow_is_there() -> None:
    """The page that leads through the code names files of today."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    there = {path.name for path in (ROOT / "proxy").rglob("*.py")}
    named = re.findall(r"`(?:(?:proxy/)?(\w+)/)?(\w+\.py)`", text)
    assert named
    for room, file in named:
        if room in ("tests", "proxy"):
            continue  # a whole path, which every page's are looked up
        assert file in there, file
        assert not room or (ROOT / "proxy" / room / file).exists(), f"{room}/{file}"


def test_every_test_named_is_there() -> None:
    """A promise is held by the test that stands beside it."""
    text = (ROOT / "docs" / "claims.md").read_text(encoding="utf-8")
    named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", text)
    assert named
    for file, test in named:
        assert f"def {test}(" in (ROOT / file).read_text(encoding="utf-8"), f"{file}::{test}"


def test_every_marker_has_a_command_that_runs_it() -> None:
    """A marked test that nothing runs is no test, and a command that finds none is no command."""
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    options = pyproject["tool"]["pytest"]["ini_options"]
    described = dict(marker.split(": ", 1) for marker in options["markers"])
    left_out = set(re.findall(r"\w+", options["addopts"][-1])) - {"m", "not", "or"}
    run = marker_of_target()
    assert left_out == set(run.values())
    for marker in left_out:
        named = re.findall(r"make ([\w-]+)", described[marker])
        assert named == [target for target, runs in run.items() if runs == marker], marker


def makefile() -> str:
    return (ROOT / "Makefile").read_text(encoding="utf-8")


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z][\w-]*):", makefile(), re.MULTILINE))


def marker_of_target() -> dict[str, str]:
    """Which marked tests each target of the Makefile runs."""
    runs: dict[str, str] = {}
    target = ""
    for line in makefile().splitlines():
        head = re.match(r"([a-z][\w-]*):", line)
        if head:
            target = head[1]
        command = re.match(r"\t.*\$\(PYTEST\).* -m (\w+)", line)
        if command:
            runs[target] = command[1]
    return runs
