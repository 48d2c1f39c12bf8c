from __future__ import annotations

from pathlib import Path

import pytest

from proxy import settings_table
from proxy.generated_docs import put_between
from proxy.settings import Settings
from proxy.settings_table import BEGIN, END, table
from proxy.shared_settings import RELOADED

PAGE = Path(__file__).parents[1] / "docs" / "settings.md"


def test_the_page_holds_the_table() -> None:
    """What operators read is what the program does: else run `make docs`."""
    text = PAGE.read_text(encoding="utf-8")
    assert put_between(text, BEGIN, END, table()) == text


def test_every_setting_has_its_row_and_its_meaning() -> None:
    """No setting goes without a word on what it is for."""
    for name, field in Settings.model_fields.items():
        assert field.description
        assert f"| `SLUICE_{name.upper()}` | " in table()


def test_no_cell_breaks_its_row() -> None:
    """A bar in a text would begin another column."""
    assert {row.count("|") for row in table().splitlines()} == {5}


def test_what_a_signal_reloads_is_marked() -> None:
    """That, and nothing else: the rest waits for a restart."""
    rows = [row.strip("| ").split(" | ") for row in table().splitlines()[2:]]
    marked = {
        name.strip("`").removeprefix("SLUICE_").lower()
        for name, _, how, _ in rows
        if how == "SIGHUP"
    }
    assert marked == set(RELOADED)


def test_defaults_read_as_they_are_set() -> None:
    """Switches are true or false, and what is unset or worked out is a dash."""
    assert "| `SLUICE_LISTEN_PORT` | `8080` |" in table()
    assert "| `SLUICE_INCLUDE_USAGE` | `true` |" in table()
    assert "| `SLUICE_UPSTREAM_URL` | - |" in table()
    assert "| `SLUICE_WORKERS` | - |" in table()
    assert "| `SLUICE_CORS_ORIGINS` | - |" in table()


def test_only_what_is_between_the_marks_is_replaced(tmp_path: Path) -> None:
    """The rest of the file is its author's."""
    path = tmp_path / "page.md"
    path.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    assert settings_table.main(str(path)) == 0
    assert path.read_text() == f"before\n{BEGIN}\n{table()}\n{END}\nafter\n"


def test_a_page_without_marks_is_left_alone(tmp_path: Path) -> None:
    """Nothing is guessed about where the table should stand."""
    path = tmp_path / "page.md"
    path.write_text("no marks")
    with pytest.raises(ValueError, match="missing"):
        settings_table.main(str(path))
    assert path.read_text() == "no marks"
