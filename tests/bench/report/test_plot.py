from __future__ import annotations

from xml.etree import ElementTree as ET

from bench.report.plot import Axis, plot
from tests.bench.report.results import CPU, results


def test_a_run_of_two() -> None:
    """The plot is well-formed SVG with a mark for each of them."""
    root = ET.fromstring(plot(results(CPU)))
    circles = root.findall(".//{http://www.w3.org/2000/svg}circle")
    assert len(circles) == 2


def test_nothing_was_measured() -> None:
    """The plot is empty, not an error."""
    assert ET.fromstring(plot(results([]))).tag.endswith("svg")


def test_an_axis() -> None:
    """Whole decades hold all values, and equal ratios are equally far apart."""
    axis = Axis.over([1.0, 53.0])
    assert (axis.lowest, axis.highest) == (1, 100)
    assert round(axis.place(10) - axis.place(1)) == round(axis.place(100) - axis.place(10))
    assert axis.ticks()[0] == 1
    assert axis.ticks()[-1] == 100
