from __future__ import annotations

from proxy.demo.faults import FAULTS
from proxy.demo.grammar import PRESETS
from proxy.demo.grammar_settings import SETTINGS
from proxy.demo.settings_page import page


def test_the_page_lists_everything() -> None:
    """Each word of the grammar and each preset stands on the page, each in one table row."""
    text = page()
    for word in (*SETTINGS, *FAULTS):
        assert text.count(f"\n| `{word}` |") == 1
    assert all(f"`{name}`" in text for name in PRESETS)


def test_the_page_is_well_formed() -> None:
    """Every row of a table has as many cells as its head."""
    width = 0
    for line in page().splitlines():
        if not line.startswith("|"):
            width = 0
            continue
        width = width or line.count("|")
        assert line.count("|") == width, line
