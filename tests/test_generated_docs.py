"""What stands between two marks of a page."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.generated_docs import put_between, update


def test_only_what_stands_between_the_marks_changes() -> None:
    """However often it is written."""
    once = put_between("a <b> old <e> z", "<b>", "<e>", "new")
    assert once == "a <b>\nnew\n<e> z"
    assert put_between(once, "<b>", "<e>", "new") == once


@pytest.mark.parametrize("text", ["", "<b> only", "only <e>"])
def test_without_its_marks_nothing_is_guessed(text: str) -> None:
    """A page that lost a mark is an error."""
    with pytest.raises(ValueError, match="marks"):
        put_between(text, "<b>", "<e>", "new")


def test_a_file(tmp_path: Path) -> None:
    """It is written in place."""
    page = tmp_path / "page.md"
    page.write_text("<b><e>")
    update(str(page), "<b>", "<e>", "é")
    assert page.read_text(encoding="utf-8") == "<b>\né\n<e>"
