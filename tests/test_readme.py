"""What the README repeats of the program is what the program says."""

from __future__ import annotations

import re
from pathlib import Path

from proxy.demo.page import page

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_page_of_faults() -> None:
    """Else put in what `sluice demo --faults` prints now."""
    _, _, rest = README.partition("<!-- faults: what `sluice demo --faults` prints -->\n")
    held, _, _ = rest.partition("\n<!-- faults: end -->")
    assert held.strip() == page().strip()


def test_every_link_leads_somewhere() -> None:
    """Files and pictures that the README points at are there."""
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", README):
        assert (ROOT / target).exists(), target


def test_every_make_target_named_is_there() -> None:
    """A command that can be pasted works."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"(?:^|`)make ([a-z][a-z-]+)", README, re.MULTILINE)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_every_test_named_is_there() -> None:
    """A promise is held by the test that stands beside it."""
    named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", README)
    assert named
    for file, test in named:
        assert f"def {test}(" in (ROOT / file).read_text(encoding="utf-8"), f"{file}::{test}"
