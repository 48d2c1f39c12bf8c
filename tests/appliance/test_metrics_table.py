from __future__ import annotations

from pathlib import Path

import pytest

from proxy.appliance.metrics_table import BEGIN, END, described, main, table

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"


def test_the_page_is_up_to_date() -> None:
    """`python -m proxy.appliance.metrics_table` makes it so."""
    assert table() in PAGE.read_text(encoding="utf-8")


def test_every_metric_has_its_labels_and_its_meaning() -> None:
    """Those of the workers and those of the supervisor, each once, by the name of a scrape."""
    metrics = {metric.name: metric for metric in described()}
    assert len(metrics) == len(described())
    assert metrics["sluice_requests_total"].labels[-1] == "ended_by"
    assert metrics["sluice_requests_total"].kind == "counter"
    assert metrics["sluice_process_up"].labels == ("process",)
    assert all(metric.text.endswith(".") for metric in metrics.values())


def test_a_file_is_brought_up_to_date(tmp_path: Path) -> None:
    """Only between the marks; without marks it says so."""
    path = tmp_path / "page.md"
    path.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    assert main(str(path)) == 0
    assert path.read_text() == f"before\n{BEGIN}\n{table()}\n{END}\nafter\n"
    path.write_text("no marks")
    with pytest.raises(ValueError, match="missing"):
        main(str(path))
